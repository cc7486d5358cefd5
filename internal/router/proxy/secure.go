package proxy

import (
	"context"
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// handshakeTime is how long a client has for the handshake of TLS.
const handshakeTime = 10 * time.Second

// handshake does that of TLS, unless the connection is plain. It reports whether requests may
// follow.
func (c *clientConn) handshake() bool {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	err := t.HandshakeContext(ctx)
	c.front.cfg.Router.CountHandshake(err == nil)
	if err != nil {
		c.front.cfg.Log.Debug("handshake failed", "client", c.peer.ip, "err", err)
	}
	return err == nil && t.ConnectionState().NegotiatedProtocol != challengeProtocol
}

// challengeProtocol is that of a certificate authority whose question the handshake was (RFC
// 8737). No request follows.
const challengeProtocol = "acme-tls/1"

// challenge answers a certificate authority that asks whether this server has the host. It
// returns "" for all other requests.
func (x *exchange) challenge() string {
	f := x.c.front
	if f.challenge == nil || !strings.HasPrefix(string(x.req.Path), "/.well-known/acme-challenge/") || string(x.req.Method) != "GET" {
		return ""
	}
	answer, ok := f.challenge(x.c.normal, string(x.req.Path))
	if !ok {
		return ""
	}
	return answer
}

// scheme is what applications are told of the connection.
func (c *clientConn) scheme() string {
	if c.origin.Secure {
		return "https"
	}
	return c.front.scheme
}

// ends reports whether the client is told that no request may follow on its connection. One
// whose bytes another process relays must end for that to end.
func (c *clientConn) ends() bool {
	return c.stream != nil || c.origin.Secure || c.front.closing.Load() && (c.front.tls != nil || !c.canPass())
}

// elsewhere returns the URL that the client is sent to, because this is not TLS and the
// service wants it. It returns "" if the request may go on.
func (x *exchange) elsewhere() string {
	f := x.c.front
	if f.https == nil || x.settings.PlainHTTP || x.cameSecure() {
		return ""
	}
	at := f.https(x.c.normal)
	if at == "" {
		return ""
	}
	path := string(x.req.Path)
	switch {
	case path == "*":
		path = "/"
	case path == "" || path[0] != '/': // of http://host?query
		path = "/" + path
	}
	return "https://" + at + path
}

// cameSecure reports whether the client came by TLS, to this server or, as it says, to a
// trusted proxy before it.
func (x *exchange) cameSecure() bool {
	if x.c.front.tls != nil || x.c.origin.Secure {
		return true
	}
	if !x.c.peer.trusted {
		return false
	}
	for i := range x.req.Fields {
		if f := &x.req.Fields[i]; http1.EqualFold(f.Name, "x-forwarded-proto") && http1.EqualFold(f.Value, "https") {
			return true
		}
	}
	return false
}

// appendHSTS tells a browser to come by TLS only, if the service has the setting and the
// application does not say so by itself. Without TLS it means nothing (RFC 6797, 7.2).
func (x *exchange) appendHSTS(b []byte) []byte {
	if x.settings.HSTS == 0 || !x.cameSecure() {
		return b
	}
	for i := range x.resp.Fields {
		if http1.EqualFold(x.resp.Fields[i].Name, "strict-transport-security") {
			return b
		}
	}
	b = append(b, "Strict-Transport-Security: max-age="...)
	b = strconv.AppendInt(b, int64(x.settings.HSTS/time.Second), 10)
	return append(b, "\r\n"...)
}
