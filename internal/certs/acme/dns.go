package acme

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/rfc2136"
	"github.com/libdns/route53"
)

// providers make the DNS providers, with the settings that their packages document.
var providers = map[string]func() certmagic.DNSProvider{
	"cloudflare": func() certmagic.DNSProvider { return &cloudflare.Provider{} },
	"rfc2136":    func() certmagic.DNSProvider { return &rfc2136.Provider{} },
	"route53":    func() certmagic.DNSProvider { return &route53.Provider{} },
}

// DNSProviders returns the names that OpenDNS takes, in order.
func DNSProviders() []string { return slices.Sorted(maps.Keys(providers)) }

// OpenDNS returns a DNS provider with its settings, a JSON object; empty for none. Some find
// theirs in the environment.
func OpenDNS(name string, settings []byte) (certmagic.DNSProvider, error) {
	open := providers[name]
	if open == nil {
		return nil, fmt.Errorf("%q is no DNS provider that this server knows; it can be %s", name, strings.Join(DNSProviders(), ", "))
	}
	p := open()
	if len(bytes.TrimSpace(settings)) == 0 {
		return p, nil
	}
	d := json.NewDecoder(bytes.NewReader(settings))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("the settings of %s: %w", name, err)
	}
	return p, nil
}
