package wire_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openslipway/slipway/internal/wire"
)

func TestExceptionBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		message string
		want    string
	}{
		{"InvalidStateException", 400, `it's "so"`, `{"__type":"InvalidStateException","Message":"it's \"so\""}`},
		{"ResourceNotFoundException", 400, "", `{"__type":"ResourceNotFoundException","Message":""}`},
		{"ServiceQuotaExceededException", 402, "x", `{"__type":"ServiceQuotaExceededException","Message":"x"}`},
		{"InternalServiceErrorException", 500, "x", `{"__type":"InternalServiceErrorException","Message":"x"}`},
		{"UnknownOperationException", 404, "x", `{"__type":"UnknownOperationException","Message":"x"}`},
		{"InvalidSignatureException", 403, "bad \xff text", `{"__type":"InvalidSignatureException","Message":"bad � text"}`},
	} {
		e := wire.NewException(c.name, c.message)
		if e.Status != c.status {
			t.Errorf("%s has status %d, want %d", c.name, e.Status, c.status)
		}
		if got := string(e.Body()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestExceptionTextIsBounded(t *testing.T) {
	t.Parallel()
	body := string(wire.NewException("InvalidRequestException", strings.Repeat("é", 5000)).Body())
	if n := strings.Count(body, "é"); n != 597 || !strings.Contains(body, `é..."`) || !utf8.ValidString(body) {
		t.Errorf("a text of 5000 characters became %d and %q", n, body[len(body)-10:])
	}
}
