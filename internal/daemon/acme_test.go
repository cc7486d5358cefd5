package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What --acme and its companions may say is checked before anything is opened.
func TestACMEFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		acme ACME
		want string // in the error; "" for none
	}{
		{ACME{}, ""},
		{ACME{Agreed: true}, ""},
		{ACME{Agreed: true, Email: "ops@example.com", URL: "https://ca.test/dir"}, ""},
		{ACME{Email: "ops@example.com"}, "--acme is not given"},
		{ACME{Agreed: true, Email: "Ops <ops@example.com>"}, "--acme-email is"},
		{ACME{Agreed: true, URL: "http://ca.test/dir"}, "--acme-url is"},
		{ACME{Agreed: true, URL: "ca.test"}, "--acme-url is"},
		{ACME{Agreed: true, DNSFile: "x"}, "--acme-dns-file is given without --acme-dns"},
	} {
		err := TLS{Addr: ":443", ACME: c.acme}.check(false)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.acme, err, c.want)
		}
	}
	if err := (TLS{ACME: ACME{Agreed: true}}).check(false); err == nil || !strings.Contains(err.Error(), "--https-addr") {
		t.Errorf("without --https-addr: %v", err)
	}
}

func TestReadEAB(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "eab.json")
	for content, want := range map[string]string{
		`{"key_id": "k", "mac_key": "m"}`: "", `{"key_id": "k"}`: "must be {", `x`: "must be {",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := readEAB(file)
		if want == "" && (err != nil || e.KeyID != "k" || e.MACKey != "m") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %+v, %v, want %q", content, e, err, want)
		}
	}
}
