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

// Config configures a Router. Fields below "defaults" may be zero.
type Config struct {
	Store  *store.Store
	Dialer Dialer
	Log    *slog.Logger

	// Suffix is appended to the label of a service to form its host name,
	// without a leading dot: "us-east-1.slipway.localhost".
	Suffix string

	// Trusted are the addresses of proxies whose X-Forwarded headers and
	// X-Request-Id are used. Those of all other clients are dropped.
	Trusted []netip.Prefix

	// OnWait is called each time a request of the service starts to wait for
	// an instance. It must not block. It may be nil.
	OnWait func(serviceID string)

	// The defaults are in parentheses.

	Scheme          string        // value of X-Forwarded-Proto ("http")
	RequestTimeout  time.Duration // from the head of a request to the end of its response (120 s, as in App Runner)
	HeadTimeout     time.Duration // from the first byte of a head to its last (30 s)
	IdleTimeout     time.Duration // of a client connection between requests (75 s)
	TunnelIdle      time.Duration // of a WebSocket without a byte in either direction (1 h)
	ShutdownTimeout time.Duration // for requests in flight when the context of Serve ends (30 s)
	Heartbeat       time.Duration // between heartbeats in the store (5 s)

	// The queue of a service holds QueuePerSlot (10) requests for each slot of
	// its instances, and at least QueueLeast (1,000). The tenth request in
	// line for a slot is still answered if requests take less than 12 s;
	// beyond that waiting would end in timeouts, so a 429 is better. A waiting
	// request costs about 20 KB, so the minimum, which applies while no
	// instance runs, limits a service to 20 MB.
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

// Router proxies requests to services. It is a prometheus.Collector and, for
// listeners other than those of Serve, an http.Handler.
type Router struct {
	cfg    Config
	id     string // of the router in this process, new with each start
	table  atomic.Pointer[table]
	strays [pageCount]atomic.Uint64 // requests without a service, by page

	loaded chan struct{} // closed after the first table
	idle   chan struct{} // signalled when a closed instance became idle

	mu         sync.Mutex // guards woken and sampleNext
	woken      []*service // services with an instance that became idle since the last look
	sampleNext []*service // services to sample from the next tick on

	// Used only by the loading loop.
	version  int64               // of the table
	services map[string]*service // by id; deleted ones stay until they have drained
	dirty    map[*service]bool   // changed, woken, or with something left to drain
}

// New returns a router that does nothing before Run.
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

		dirty: map[*service]bool{},
	}
	r.table.Store(newTable())
	return r
}

// Run keeps the table in sync with the store, reports what has drained and
// samples demand. It blocks until ctx ends and returns nil.
func (r *Router) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { r.syncLoop(ctx) })
	parts.Go(func() { r.sample(ctx) })
	parts.Wait()
	return nil
}

type guardKey struct{}

// Serve serves HTTP/1 on the listener, which it closes. It starts when Run has
// loaded the first table and ends with ctx. Then it stops accepting
// connections, gives the requests in flight and open WebSockets ShutdownTimeout
// to finish, cuts the rest, and returns nil.
func (r *Router) Serve(ctx context.Context, l net.Listener) error { return r.serve(ctx, l, r) }

// ServeEndpoint is Serve for the listener of a VPC endpoint. Only private
// services that have a VPC ingress connection through the endpoint answer
// there.
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

// server returns the net/http server of one listener. Its timeouts are only a
// backstop: the guard limits the time of a head, and a context the time of a
// request.
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
