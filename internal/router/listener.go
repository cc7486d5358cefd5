package router

import (
	"cmp"
	"crypto/tls"
)

// Listener says what a network listener stands for. Engines serve listeners with
// it.
type Listener struct {
	// ID is the id of a VPC endpoint, and empty for the public listener. Public
	// services answer only at the public listener. A private service answers at
	// the endpoints of its VPC ingress connections.
	ID string

	// Scheme is what applications get in X-Forwarded-Proto. The default is
	// "https" with TLS and "http" without.
	Scheme string

	// TLS is the configuration of TLS, nil for a plain listener.
	TLS *tls.Config

	// HTTPS returns where a host of a plain listener is served with TLS, as host or
	// host:port, and "" if it is not. Requests are sent there unless their service has the
	// setting. It may be nil.
	HTTPS func(host string) string

	// Challenge answers a certificate authority that asks for a path below
	// /.well-known/acme-challenge/ whether this server has the host. It comes before all
	// else: the host may have no service yet. ok is false for questions that it does not
	// expect. It may be nil.
	Challenge func(host, path string) (answer string, ok bool)
}

// ForwardedProto returns the scheme, or its default.
func (l Listener) ForwardedProto() string {
	if l.TLS != nil {
		return cmp.Or(l.Scheme, "https")
	}
	return cmp.Or(l.Scheme, "http")
}
