package proxy

import (
	"crypto/tls"
	"net"

	"golang.org/x/net/http2"

	"github.com/openslipway/slipway/internal/router/h2"
)

// speaksH2 reports whether client and router have agreed on HTTP/2.
func (c *clientConn) speaksH2() bool {
	t, ok := c.Conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// knowsH2 reports whether a client without TLS begins with HTTP/2, as one that knows of it
// does. Nothing else begins so.
func (c *clientConn) knowsH2() bool {
	n := min(len(c.in), len(http2.ClientPreface))
	return c.front.cfg.PriorHTTP2 && c.front.tls == nil && n >= len("PRI ") && string(c.in[:n]) == http2.ClientPreface[:n]
}

// prefixed is a connection of which something was read already.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// serveH2 serves a connection of HTTP/2 until it ends. Each of its requests is a client of its
// own to the engine.
func (c *clientConn) serveH2(conn net.Conn) {
	f := c.front
	s := h2.New(conn, h2.Config{IdleTimeout: f.cfg.IdleTimeout, Log: f.cfg.Log, Serve: func(st *h2.Stream, head []byte) {
		from := Origin{Listener: f.listener}
		from.Client, from.Local = c.origin.ends(c.Conn)
		f.serveStream(st, from, head)
	}})
	f.mu.Lock()
	c.session = s
	f.mu.Unlock()
	c.begin() // it is not disturbed as a connection at rest
	if f.closing.Load() {
		s.Drain()
	}
	s.Run()
}

// serveStream serves a request that came by HTTP/2.
func (f *front) serveStream(st *h2.Stream, from Origin, head []byte) {
	f.serving.Add(1)
	f.serve(st, from, head)
}

// drainSessions has the clients of HTTP/2 make no further requests.
func (f *front) drainSessions() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.clients {
		if c.session != nil {
			go c.session.Drain() // a client that does not read must not hold up the others
		}
	}
}
