package awshttp_test

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

type form struct {
	Name *string
	Tags []struct{ Key, Value *string }
}

// queryBench is a bench with a service of the query protocol beside one of AWS
// JSON.
func queryBench(t *testing.T) *gatewaytest.Bench {
	t.Helper()
	b := gatewaytest.New(t)
	b.Open([]gateway.Service{
		service("one", "application/x-amz-json-1.0", "One.Echo"),
		{
			Name: "forms", Internal: "ServiceFailure",
			Protocol: gateway.Protocol{ContentType: "text/xml", Version: "2010-05-08", Namespace: "https://forms.test/doc/", Global: true},
			Operations: []gateway.Operation{
				gateway.Read("Repeat", func(_ context.Context, _ *gateway.Call, in *form) (*form, error) {
					if in.Name != nil && *in.Name == "fail" {
						return nil, errors.New("hush")
					}
					return in, nil
				}, gateway.AnyResource),
			},
		},
	})
	return b
}

// raw makes a call whose answer is not JSON.
func raw(b *gatewaytest.Bench, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	return w
}

func TestQueryProtocol(t *testing.T) {
	t.Parallel()
	b := queryBench(t)
	w := raw(b, b.Form("forms", "2010-05-08", "Repeat", "Name", "a<b", "Tags.member.1.Key", "k", "Tags.member.1.Value", ""))
	id := w.Header().Get("X-Amzn-Requestid")
	want := `<RepeatResponse xmlns="https://forms.test/doc/"><RepeatResult><Name>a&lt;b</Name>` +
		`<Tags><member><Key>k</Key><Value></Value></member></Tags></RepeatResult>` +
		`<ResponseMetadata><RequestId>` + id + `</RequestId></ResponseMetadata></RepeatResponse>`
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "text/xml" || w.Header().Get("Date") == "" {
		t.Errorf("%d %s\nwant %s", w.Code, w.Body, want)
	}
}

func TestQueryErrors(t *testing.T) {
	t.Parallel()
	b := queryBench(t)
	b.Update(func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertUser(slipway.User{Name: "ann", ID: "AIDAANN", Path: "/"}),
			tx.InsertAccessKey(slipway.AccessKey{ID: "AKIAANN", Secret: "s", User: "ann"}),
			tx.InsertSession(slipway.Session{ID: "ASIAOLD", Secret: "s", Token: "t", User: "root", ExpiresAt: gatewaytest.T0}, time.Time{}),
		)
	})
	ok := func(b *gatewaytest.Bench) *http.Request { return b.Form("forms", "2010-05-08", "Repeat") }
	unsigned := ok(b)
	unsigned.Header.Del("Authorization")
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		code   string
	}{
		"unknown action":   {b.Form("forms", "2010-05-08", "Destroy"), 400, "InvalidAction"},
		"other version":    {b.Form("forms", "2011-05-08", "Repeat"), 400, "InvalidAction"},
		"no action":        {b.Form("forms", "2010-05-08", ""), 400, "MissingAction"},
		"unknown service":  {b.Form("one", "2010-05-08", "Repeat"), 400, "InvalidAction"},
		"not signed":       {unsigned, 403, "MissingAuthenticationToken"},
		"unknown key":      {ok(b.As(slipway.AccessKey{ID: "AKIANOBODY", Secret: "s"}, "")), 403, "InvalidClientTokenId"},
		"wrong secret":     {ok(b.As(slipway.AccessKey{ID: "AKIAANN", Secret: "t"}, "")), 403, "SignatureDoesNotMatch"},
		"expired token":    {ok(b.As(slipway.AccessKey{ID: "ASIAOLD", Secret: "s"}, "t")), 403, "ExpiredToken"},
		"no permission":    {ok(b.As(slipway.AccessKey{ID: "AKIAANN", Secret: "s"}, "")), 403, "AccessDenied"},
		"internal failure": {b.Form("forms", "2010-05-08", "Repeat", "Name", "fail"), 500, "ServiceFailure"},
	} {
		w := raw(b, c.r)
		var doc struct {
			XMLName   xml.Name `xml:"ErrorResponse"`
			Error     struct{ Type, Code, Message string }
			RequestID string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Errorf("%s: %v: %s", name, err, w.Body)
			continue
		}
		fault := "Sender"
		if c.status == 500 {
			fault = "Receiver"
		}
		if w.Code != c.status || doc.Error.Code != c.code || doc.Error.Type != fault || doc.Error.Message == "" || doc.RequestID != w.Header().Get("X-Amzn-Requestid") {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.code)
		}
		if strings.Contains(w.Body.String(), "hush") {
			t.Errorf("%s: the answer tells the cause", name)
		}
	}
}

// A field that comes twice is refused: readers take the first or the last.
func TestFieldTwice(t *testing.T) {
	t.Parallel()
	b := queryBench(t)
	for _, fields := range [][]string{
		{"Name", "a", "Name", "b"}, {"Name", "a", "Name", "a"}, {"Action", "Repeat"}, {"Version", "2010-05-08"}, {"Tags.member.1.Key", "a", "Tags.member.1.Key", "b"},
	} {
		w := raw(b, b.Form("forms", "2010-05-08", "Repeat", fields...))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), " 2 times; it must have it once") {
			t.Errorf("%q: %d %s", fields, w.Code, w.Body)
		}
	}
	if w := raw(b, b.Form("forms", "2010-05-08", "Repeat", "Name", "a", "Tags.member.1.Key", "b")); w.Code != http.StatusOK {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
}
