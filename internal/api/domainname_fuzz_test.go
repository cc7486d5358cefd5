package api

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway"
)

// An accepted name is a host name or a wildcard directly below one, its records
// fit into DNS, and it is outside the server's domain.
func FuzzDomainName(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.co.uk", "a..b", "*.a.b.com", "WWW.Example.COM", "192.0.2.1", "x.slipway.localhost", "*"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, name string, www bool) {
		const own = "slipway.localhost"
		err := checkDomainName(name, www, own)
		if err != nil {
			if slipway.CodeOf(err) != slipway.InvalidRequest {
				t.Fatalf("%q: %v is not the caller's mistake", name, err)
			}
			return
		}
		d := slipway.CustomDomain{Name: name, WWW: www}
		for _, h := range d.Hosts() {
			h = strings.TrimPrefix(h, "*.")
			if len(h) > 253 || strings.Contains(h, "*") || h == own || strings.HasSuffix(h, "."+own) || !strings.Contains(h, ".") {
				t.Fatalf("%q is accepted and means %q", name, h)
			}
		}
		if www && strings.Contains(name, "*") {
			t.Fatalf("%q is accepted with www", name)
		}
		for _, r := range validationRecords("seed", d) {
			for _, n := range []string{r.Name, r.Value} {
				if len(n) > 254 || strings.Contains(n, "*") || n != strings.ToLower(n) || !strings.HasSuffix(n, ".") || strings.Contains(n, "..") {
					t.Fatalf("%q has a record with %q", name, n)
				}
			}
		}
	})
}
