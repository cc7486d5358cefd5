package acme_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/certs/acme"
	"github.com/openslipway/slipway/internal/certs/acme/acmetest"
)

// With a DNS provider all services have one certificate, for a wildcard. Custom domains are
// not in the provider's zone, and go on as without. No record is left in DNS.
func TestWildcard(t *testing.T) {
	t.Parallel()
	zone := acmetest.NewZone(t, "apps.test")
	f := setUp(t, acmetest.Options{Resolver: zone.Addr})
	provider, err := acme.OpenDNS("rfc2136", zone.Settings())
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.DNS, f.cfg.Resolvers = provider, []string{zone.Addr}
	f.add("shop")
	f.add("blog")
	f.domain("shop", "shop.example.com", false)
	begun := time.Now()
	f.run()
	wild := "*." + suffix
	f.await("the wildcard", func() bool { return f.row(wild).State() == slipway.CertificateIssued })
	t.Logf("the wildcard after %v", time.Since(begun).Round(time.Millisecond))
	for _, label := range []string{"shop.", "blog.", "next."} {
		if leaf := f.served(label + suffix); leaf.DNSNames[0] != wild {
			t.Errorf("%s%s has the certificate of %q", label, suffix, leaf.DNSNames)
		}
		if !f.current().Has(label + suffix) {
			t.Errorf("%s%s counts as without a certificate", label, suffix)
		}
	}
	if f.current().Has("a.b."+suffix) || f.row("shop."+suffix).Name != "" {
		t.Error("a name is covered that is not, or certified twice")
	}
	f.await("the custom domain", func() bool { return f.row("shop.example.com").State() == slipway.CertificateIssued })
	if now, most := zone.TXT(); now != 0 || most != 1 {
		t.Errorf("%d TXT records are left; there were %d at most, want 1", now, most)
	}
}

// A provider that refuses is told in its own words.
func TestWildcardRefused(t *testing.T) {
	t.Parallel()
	zone := acmetest.NewZone(t, "apps.test")
	f := setUp(t, acmetest.Options{Resolver: zone.Addr})
	provider, err := acme.OpenDNS("rfc2136", []byte(strings.Replace(string(zone.Settings()), "c2VjcmV0", "b3RoZXIh", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.DNS, f.cfg.Resolvers = provider, []string{zone.Addr}
	f.run()
	wild := "*." + suffix
	f.await("it is refused", func() bool { return f.row(wild).State() == slipway.CertificateRefused })
	if c := f.row(wild); !strings.Contains(c.Failure, "NOTAUTH") && !strings.Contains(c.Failure, "signature") || !strings.Contains(c.Advice, "--acme-dns-file") {
		t.Errorf("the row: %+v", c)
	}
}

func TestOpenDNS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, settings, want string }{
		{"cloudflare", `{"api_token": "x"}`, ""},
		{"route53", ``, ""},
		{"bind", ``, "it can be cloudflare, rfc2136, route53"},
		{"rfc2136", `{"keyname": "x"}`, `unknown field "keyname"`},
		{"rfc2136", `{`, "the settings of rfc2136"},
	} {
		_, err := acme.OpenDNS(c.name, []byte(c.settings))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with %s: %v, want %q", c.name, c.settings, err, c.want)
		}
	}
}
