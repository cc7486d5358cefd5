package outbound

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
)

// Transport sends HTTP requests to the addresses that a policy allows. Each redirect
// that a client follows is a request of its own and is decided on like the first.
//
// Where the proxy of an http.Transport applies, the proxy connects and not this server:
// the proxy's own address is the operator's and is not checked. The host of the request
// is: a forbidden one is refused, and so is a name that this host resolves to a forbidden
// address. A name that this host cannot resolve is left to the proxy.
type Transport struct {
	policy  *Policy
	proxy   func(*http.Request) (*url.URL, error)
	direct  *http.Transport
	proxied *http.Transport // with the proxy; nil: there is none
}

var _ http.RoundTripper = (*Transport)(nil)

// maxHeader is the limit of all headers of an answer, interim responses included, unless
// a transport has its own, in bytes. That of package http is 10 MiB.
const maxHeader = 64 << 10

// Transport returns a transport with the limits, the TLS configuration and the proxy of t,
// which it copies. t's way to connect is replaced.
func (p *Policy) Transport(t *http.Transport) *Transport {
	t = t.Clone()
	t.MaxResponseHeaderBytes = cmp.Or(t.MaxResponseHeaderBytes, maxHeader)
	direct := t.Clone()
	direct.Proxy, direct.DialContext, direct.DialTLSContext = nil, p.Dial, nil
	r := &Transport{policy: p, proxy: t.Proxy, direct: direct}
	if t.Proxy != nil {
		r.proxied = t.Clone()
		r.proxied.DialContext = (&net.Dialer{Timeout: DialLimit}).DialContext
	}
	return r
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.proxy == nil {
		return t.direct.RoundTrip(r)
	}
	proxy, err := t.proxy(r)
	if err == nil && proxy == nil {
		return t.direct.RoundTrip(r)
	}
	if err == nil {
		err = t.policy.checkProxied(r.Context(), net.DefaultResolver, hostPort(r.URL))
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return t.proxied.RoundTrip(r)
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	t.direct.CloseIdleConnections()
	if t.proxied != nil {
		t.proxied.CloseIdleConnections()
	}
}

// hostPort returns host and port of a URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// resolver looks addresses up: net.DefaultResolver.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// checkProxied refuses a host:port that a proxy is to connect to.
func (p *Policy) checkProxied(ctx context.Context, r resolver, address string) error {
	if err := p.CheckHost(address); err != nil {
		return err
	}
	host, port, err := split(address)
	if err != nil || p.allowsName(host, port) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, DialLimit)
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip", host)
	if _, unknown := errors.AsType[*net.DNSError](err); unknown {
		return nil
	}
	if err != nil {
		return err
	}
	own, err := ownAddresses()
	if err != nil {
		return err
	}
	for _, a := range found {
		if !p.allows(netip.AddrPortFrom(a, port), own) {
			return &ForbiddenError{address}
		}
	}
	return nil
}
