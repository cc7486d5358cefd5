package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Config is what a Router needs. Zero values below "defaults" take those.
type Config struct {
	Store  *store.Store
	Dialer Dialer
	Log    *slog.Logger

	// Suffix follows a service's label in its host name, without a leading
	// dot: "us-east-1.slipway.localhost".
	Suffix string

	// Trusted are the addresses of proxies whose X-Forwarded headers and
	// X-Request-Id are believed. All others' are dropped.
	Trusted []netip.Prefix

	// OnWait is called each time a request of the service begins to wait for
	// an instance. It must not block. Nil is allowed.
	OnWait func(serviceID string)

	// Defaults follow in parentheses.

	Scheme          string        // what applications are told in X-Forwarded-Proto ("http")
	RequestTimeout  time.Duration // from a request's head to the end of its response (120 s, as in App Runner)
	HeadTimeout     time.Duration // from a head's first byte to its last (30 s)
	IdleTimeout     time.Duration // of a client's connection between requests (75 s)
	TunnelIdle      time.Duration // of a WebSocket without a byte either way (1 h)
	ShutdownTimeout time.Duration // for the requests in flight when Serve's context ends (30 s)
	Heartbeat       time.Duration // between signs of life in the store (5 s)

	// A service's queue holds QueuePerSlot (10) requests for each that its
	// instances can take at once, and no less than QueueLeast (1,000). Who is
	// tenth in line for a slot still gets an answer if requests take under
	// 12 s; further back waiting turns into time-outs, so 429 is kinder. A
	// waiting request costs some 20 KB: the least, which is all there is while
	// no instance runs, holds a service to 20 MB.
	QueuePerSlot int
	QueueLeast   int
}

func (c *Config) setDefaults() {
	c.Scheme = cmp.Or(c.Scheme, "http")
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 120*time.Second)
	c.HeadTimeout = cmp.Or(c.HeadTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 75*time.Second)
	c.TunnelIdle = cmp.Or(c.TunnelIdle, time.Hour)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 30*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 5*time.Second)
	c.QueuePerSlot = cmp.Or(c.QueuePerSlot, 10)
	c.QueueLeast = cmp.Or(c.QueueLeast, 1000)
}

// Router takes requests to services. It is a prometheus.Collector and, for
// listeners other than Serve's, an http.Handler.
type Router struct {
	cfg    Config
	id     string // of this process's router, new with each start
	table  atomic.Pointer[table]
	strays [pageCount]atomic.Uint64 // requests of no service, by page

	loaded chan struct{} // closed when there is a first table
	idle   chan struct{} // nudged when a closed instance became idle

	mu      sync.Mutex // guards stirred and awake
	stirred []*service // of which something became empty since the loop looked
	awake   []*service // whose demand is to be sampled from the next tick on

	// The loading loop's own.
	version   int64               // of the table
	services  map[string]*service // by id; gone ones too until they are empty
	unsettled map[*service]bool   // changed, stirred, or with something to report
}

// New returns a router. It does nothing before Run.
func New(cfg Config) (*Router, error) {
	if cfg.Store == nil || cfg.Dialer == nil || cfg.Log == nil {
		return nil, errors.New("router: Store, Dialer and Log are required")
	}
	if _, ok := normalHost(cfg.Suffix); !ok || strings.ContainsAny(cfg.Suffix, "[:") {
		return nil, fmt.Errorf("router: %q is not a domain", cfg.Suffix)
	}
	return newRouter(cfg), nil
}

func newRouter(cfg Config) *Router {
	cfg.setDefaults()
	r := &Router{
		cfg:      cfg,
		id:       slipway.NewID(),
		loaded:   make(chan struct{}),
		idle:     make(chan struct{}, 1),
		services: map[string]*service{},

		unsettled: map[*service]bool{},
	}
	r.table.Store(newTable())
	return r
}

// Run keeps the table as the store says, reports what has become empty and
// samples demand, until ctx ends; then it returns nil.
func (r *Router) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { r.follow(ctx) })
	parts.Go(func() { r.sample(ctx) })
	parts.Wait()
	return nil
}

type guardKey struct{}

// Serve serves plain HTTP/1 on the listener, which it closes. It begins when
// Run has loaded the table, and ends when ctx does: then it accepts no more,
// gives the requests in flight and open WebSockets ShutdownTimeout to end, cuts
// those that do not, and returns nil.
func (r *Router) Serve(ctx context.Context, l net.Listener) error { return r.serve(ctx, l, r) }

// ServeEndpoint is Serve for the listener of a VPC endpoint: there the private
// services answer whose VPC ingress connections lead through it, and no others.
func (r *Router) ServeEndpoint(ctx context.Context, l net.Listener, endpoint string) error {
	return r.serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handle(w, req, endpoint) }))
}

func (r *Router) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	select {
	case <-r.loaded:
	case <-ctx.Done():
		return l.Close()
	}
	ts := &tunnels{}
	srv := r.server(h)
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(guarded{Listener: l, trusted: r.cfg.Trusted, headTime: r.cfg.HeadTimeout, tunnels: ts})
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.ShutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		r.cfg.Log.Warn("requests cut at shutdown", "listener", l.Addr().String(), "err", err)
		srv.Close()
	}
	ts.shutdown(limit)
	<-served
	return nil
}

// server returns the net/http server of one listener. Its own time-outs only
// back ours up: a head's is the guard's, a request's its context's.
func (r *Router) server(h http.Handler) *http.Server {
	backstop := r.cfg.RequestTimeout + 5*time.Second
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is for applications
		ReadHeaderTimeout:            r.cfg.IdleTimeout,
		ReadTimeout:                  backstop,
		WriteTimeout:                 backstop,
		IdleTimeout:                  r.cfg.IdleTimeout,
		MaxHeaderBytes:               maxHead,
		Protocols:                    &http1,
		ErrorLog:                     slog.NewLogLogger(r.cfg.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guardKey{}, c)
		},
	}
}
