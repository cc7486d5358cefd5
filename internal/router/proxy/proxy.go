package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/httpdrain"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// Config configures a Proxy. Fields below "defaults" may be zero.
type Config struct {
	Router *router.Router
	Dialer Dialer
	Log    *slog.Logger

	// Trusted are the addresses of proxies whose X-Forwarded headers and
	// X-Request-Id are used. Those of all other clients are dropped.
	Trusted []netip.Prefix

	// Underscores lets fields of requests pass whose names have underscores, except those
	// that an application may take for one of a router's or of the protocol.
	Underscores bool

	// The defaults are in parentheses.

	RequestTimeout  time.Duration // from the head of a request to the end of its response (120 s, as in App Runner)
	HeadTimeout     time.Duration // from the first byte of a head to its last (30 s)
	IdleTimeout     time.Duration // of a client connection between requests (75 s)
	TunnelIdle      time.Duration // of a WebSocket without a byte in either direction (1 h)
	ShutdownTimeout time.Duration // for requests in flight when the context of Serve ends (30 s)
}

func (c *Config) setDefaults() {
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 120*time.Second)
	c.HeadTimeout = cmp.Or(c.HeadTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 75*time.Second)
	c.TunnelIdle = cmp.Or(c.TunnelIdle, time.Hour)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 30*time.Second)
}

// Proxy is an engine of the router on net/http.
type Proxy struct {
	cfg   Config
	pools sync.Map // *router.Target -> *http.Transport
}

var _ router.Pool = (*Proxy)(nil)

// New returns a proxy that serves nothing before Serve. It must be called before
// the router runs, because it attaches to it.
func New(cfg Config) (*Proxy, error) {
	if cfg.Router == nil || cfg.Dialer == nil || cfg.Log == nil {
		return nil, errors.New("router/proxy: Router, Dialer and Log are required")
	}
	cfg.setDefaults()
	p := &Proxy{cfg: cfg}
	cfg.Router.Attach(p)
	return p, nil
}

// transport returns the pooled connections to a target. The caller has a lease of
// it, so Retire is not running.
func (p *Proxy) transport(t *router.Target) *http.Transport {
	if pool, ok := p.pools.Load(t); ok {
		return pool.(*http.Transport)
	}
	pool, _ := p.pools.LoadOrStore(t, newTransport(p.cfg.Dialer, t))
	return pool.(*http.Transport)
}

// Retire implements router.Pool. A connection that a response has just been read
// from may still be on its way to the pool: a transport closes it instead, once
// CloseIdleConnections was called and no request follows.
func (p *Proxy) Retire(t *router.Target) {
	if pool, ok := p.pools.LoadAndDelete(t); ok {
		pool.(*http.Transport).CloseIdleConnections()
	}
}

// front is what serves the requests of one listener.
type front struct {
	*Proxy
	listener, scheme string // its id, and what applications are told
}

// Handler returns a handler for requests of the listener. Use Serve for client
// connections: it puts a guard in front of them.
func (p *Proxy) Handler(as router.Listener) http.Handler {
	return &front{Proxy: p, listener: as.ID, scheme: as.ForwardedProto()}
}

type guardKey struct{}

// Serve serves HTTP/1 on the network listener l, which it closes; as says what l
// stands for. Serve starts when the router has loaded its first table and ends with
// ctx. Then it stops accepting connections, gives the requests in flight and open
// WebSockets ShutdownTimeout to finish, cuts the rest, and returns nil.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, as router.Listener) error {
	select {
	case <-p.cfg.Router.Loaded():
	case <-ctx.Done():
		return l.Close()
	}
	if as.TLS != nil {
		l = tls.NewListener(l, as.TLS)
	}
	ts := &tunnels{}
	srv := p.server(p.Handler(as))
	err := httpdrain.Drain{Limit: p.cfg.ShutdownTimeout, Finish: ts.shutdown}.Serve(ctx, srv,
		guarded{Listener: l, trusted: p.cfg.Trusted, headTime: p.cfg.HeadTimeout, tunnels: ts})
	if ctx.Err() == nil {
		return err
	}
	if err != nil {
		p.cfg.Log.Warn("requests cut at shutdown", "listener", l.Addr().String(), "err", err)
	}
	return nil
}

// server returns the net/http server of one listener. Its timeouts are only a
// backstop: the guard limits the time of a head, and a context the time of a
// request.
func (p *Proxy) server(h http.Handler) *http.Server {
	backstop := p.cfg.RequestTimeout + 5*time.Second
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is for applications
		ReadHeaderTimeout:            p.cfg.IdleTimeout,
		ReadTimeout:                  backstop,
		WriteTimeout:                 backstop,
		IdleTimeout:                  p.cfg.IdleTimeout,
		MaxHeaderBytes:               http1.MaxHead,
		Protocols:                    &protocols,
		ErrorLog:                     slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guardKey{}, c)
		},
	}
}
