package daemon

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"strings"

	"github.com/openslipway/slipway/internal/certs/acme"
)

// DefaultACME is the authority if no other is named: Let's Encrypt.
const DefaultACME = "https://acme-v02.api.letsencrypt.org/directory"

// ACME says from which authority services get certificates.
type ACME struct {
	Agreed  bool   // with the authority's terms; nothing is asked for without
	Email   string // at which the authority reaches the operator; may be empty
	URL     string // of its directory; "" for DefaultACME
	CAFile  string // authorities of its API in place of the host's; "" for the host's
	EABFile string // JSON with the key of a customer; "" for none
	DNS     string // provider of the zone of services; "" for none
	DNSFile string // JSON with the provider's settings; "" for none
}

// check returns the first mistake.
func (a ACME) check() error {
	if !a.Agreed {
		if a != (ACME{}) {
			return fmt.Errorf("--acme is not given; it says that you agree to the terms of the authority, without which the other --acme flags mean nothing")
		}
		return nil
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			return fmt.Errorf("--acme-email is %q; it must be an address of mail, such as ops@example.com", a.Email)
		}
	}
	if u, err := url.Parse(a.URL); a.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("--acme-url is %q; it must be an https URL, such as %s", a.URL, DefaultACME)
	}
	if a.DNS == "" && a.DNSFile != "" {
		return fmt.Errorf("--acme-dns-file is given without --acme-dns, whose settings it has; set that to one of %s", strings.Join(acme.DNSProviders(), ", "))
	}
	return nil
}

// acmeConfig returns how certificates are got from an authority, nil if none are.
func (r *routerRole) acmeConfig() (*acme.Config, error) {
	a := r.cfg.TLS.ACME
	if !a.Agreed {
		return nil, nil
	}
	dns, err := r.dns()
	if err != nil {
		return nil, err
	}
	c := &acme.Config{
		Node: r.node.id, Directory: a.URL, Email: a.Email, Resolvers: dns.Servers, TrustClock: r.clock.Trusted,
		Resolves: func(ctx context.Context, name string) (bool, error) {
			if trusts(r.cfg.TrustedDomains, name) {
				return true, nil
			}
			return dns.Resolves(ctx, name)
		},
	}
	if c.Directory == "" {
		c.Directory = DefaultACME
	}
	if a.CAFile != "" {
		b, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--acme-ca-file: %w", err)
		}
		c.Roots = x509.NewCertPool()
		if !c.Roots.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--acme-ca-file: %s has no certificate in PEM", a.CAFile)
		}
	}
	if a.EABFile != "" {
		if c.EAB, err = readEAB(a.EABFile); err != nil {
			return nil, fmt.Errorf("--acme-eab-file: %w", err)
		}
	}
	return c, a.openDNS(c)
}

func (a ACME) openDNS(c *acme.Config) (err error) {
	if a.DNS == "" {
		return nil
	}
	var settings []byte
	if a.DNSFile != "" {
		if settings, err = os.ReadFile(a.DNSFile); err != nil {
			return fmt.Errorf("--acme-dns-file: %w", err)
		}
	}
	if c.DNS, err = acme.OpenDNS(a.DNS, settings); err != nil {
		return fmt.Errorf("--acme-dns: %w", err)
	}
	return nil
}

// readEAB reads the key that an authority has given a customer.
func readEAB(file string) (*acme.EAB, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var e acme.EAB
	if err := json.Unmarshal(b, &e); err != nil || e.KeyID == "" || e.MACKey == "" {
		return nil, fmt.Errorf(`%s must be {"key_id": "...", "mac_key": "..."}, with what the authority gave you`, file)
	}
	return &e, nil
}

// trusts reports whether a name is at or below one of the domains.
func trusts(domains []string, name string) bool {
	for _, d := range domains {
		if name == d || strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return false
}

// acme returns what gets certificates from an authority, nil if nothing does.
func (r *routerRole) acme() *acme.Manager {
	if r.certs == nil {
		return nil
	}
	return r.certs.ACME()
}

// certified is domain.Config.Certified: a domain waits for its certificate where an authority
// issues them, and for names that it can issue some for.
func (r *routerRole) certified() func(host string) bool {
	if r.acme() == nil {
		return nil
	}
	return func(host string) bool { return !acme.Certifiable(host) || r.certs.Has(host) }
}
