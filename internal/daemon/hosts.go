package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// anyHost in Config.APIHosts accepts all hosts.
const anyHost = "*"

// ownHosts are the names by which clients may call the API, the registry and the metrics.
// A page in a browser that has its own name resolved to this server's address (DNS
// rebinding) would otherwise be of the same origin as the API and could read its answers.
// It cannot do so with an address in place of a name, nor with a name whose owner does not
// resolve it.
type ownHosts struct {
	names  []string // in lower case
	domain string   // of services
}

// containerHosts are what containers call the machine that they run on. Nobody can own
// names below .internal.
var containerHosts = []string{"host.docker.internal", "gateway.docker.internal", "host.containers.internal"}

// ownHosts returns the names of this server.
func (c *Config) ownHosts() ownHosts {
	h := ownHosts{names: slices.Concat(containerHosts, c.APIHosts), domain: c.Domain}
	if host, _, err := net.SplitHostPort(c.APIAddr); err == nil {
		h.names = append(h.names, host)
	}
	if u, err := url.Parse(c.WebhookURL); err == nil {
		h.names = append(h.names, u.Hostname())
	}
	if name, err := os.Hostname(); err == nil {
		h.names = append(h.names, name)
	}
	for i, name := range h.names {
		h.names[i] = normalHost(name)
	}
	return h
}

// apiNames are the names in APIHosts.
func (c *Config) apiNames() []string {
	return slices.DeleteFunc(slices.Clone(c.APIHosts), func(name string) bool { return name == anyHost })
}

// checkHosts refuses what is no host's name in Config.APIHosts.
func (c *Config) checkHosts() error {
	for _, name := range c.APIHosts {
		if name != anyHost && !domainForm.MatchString(name) {
			return fmt.Errorf("--api-host has %q; it must be a host name in lower case without a port, or * for all", name)
		}
	}
	return nil
}

func normalHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// own reports whether a Host header, with or without a port, names this server. Clients of
// HTTP/1.0, such as health checks of load balancers, may send none; browsers always do.
func (h ownHosts) own(header string) bool {
	if header == "" {
		return true
	}
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = normalHost(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		host == h.domain || strings.HasSuffix(host, "."+h.domain) ||
		host != "" && slices.Contains(h.names, host) || slices.Contains(h.names, anyHost)
}

// only passes requests with a host of this server on, and refuses the others in the form
// that clients of AWS and of registries read.
func (h ownHosts) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.own(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		text := fmt.Sprintf("This server has no name %q. If it is meant to, start slipway serve with --api-host and that name, without the port; a proxy before it can also send the server's address as Host.", shortened(r.Host))
		body, err := json.Marshal(map[string]any{
			"__type": "InvalidRequestException", "message": text,
			"errors": []map[string]string{{"code": "DENIED", "message": text}},
		})
		if err != nil {
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-ErrorType", "InvalidRequestException")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusMisdirectedRequest)
		_, _ = w.Write(body) // the client is gone when it fails
	})
}

// shortened is a text of a stranger's, for a message.
func shortened(text string) string { return fmt.Sprintf("%.100s", text) }
