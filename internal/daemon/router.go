package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/certs"
	"github.com/openslipway/slipway/internal/certs/acme"
	"github.com/openslipway/slipway/internal/httplimit"
	"github.com/openslipway/slipway/internal/ingress"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/proxy"
	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// routerRole takes requests to instances: from the services' listener, and from
// those of VPC endpoints.
type routerRole struct {
	*core
	listeners *listeners
	driver    *embedded.Driver
	access    *logs.Access
	onWait    func(serviceID string)                                   // a request waits for an instance
	onHung    func(instance string, requests int, since time.Duration) // an instance answers no request, or with 0 again

	router  *router.Router
	proxy   *proxy.Proxy
	ingress *ingress.Ingress
	limit   *httplimit.Connections
	certs   *certs.Certs           // nil without TLS
	secure  map[string]*tls.Config // by id of a VPC endpoint, "" for the public listener

	start    chan struct{}   // closed when requests may be served
	heir     bool            // another process still has requests
	ending   atomic.Bool     // the driver ends, and requests go on
	group    *errgroup.Group // of what serves requests
	requests context.Context // of all that is in group
	serving  sync.WaitGroup  // what serves requests
}

func (r *routerRole) open(ctx context.Context) (err error) {
	var freezer router.Freezer
	if r.driver.CanFreeze() {
		freezer = r
	}
	var throttler router.Throttler
	if r.driver.Limits().CPU {
		throttler = r
	}
	r.limit = r.clients(r.descriptors.requests, r.part("router"))
	r.router, err = router.New(router.Config{
		ID: r.node.id, Store: r.store, Log: r.part("router"), Loops: r.loops, Suffix: r.cfg.Region + "." + r.cfg.Domain, OnWait: r.onWait,
		OnHung:  func(instance string, s router.Silence) { r.onHung(instance, s.Requests, s.For) },
		OnGone:  r.access.End,
		Freezer: freezer, Throttler: throttler, Heir: r.heir,
	})
	if err != nil {
		return err
	}
	if err := r.openTLS(ctx); err != nil {
		return err
	}
	r.proxy, err = proxy.New(proxy.Config{
		Router: r.router, Dialer: r, Access: r.access, Start: r.start, Log: r.part("router"), Trusted: r.cfg.trusted, ProxyProtocol: r.cfg.ProxyHeader, PriorHTTP2: r.cfg.PriorHTTP2, Underscores: r.cfg.Underscores,
		Loops: cmp.Or(r.cfg.EventLoops, -1),
	})
	if err != nil {
		return err
	}
	r.ingress, err = ingress.New(ingress.Config{
		Store: r.store, Endpoints: r.cfg.Endpoints, Log: r.part("ingress"), Loops: r.loops, Listen: r.listeners.listenEndpoint,
		Serve: func(ctx context.Context, l net.Listener, endpoint string) error {
			ended := make(chan error, 1)
			r.carry(func() error {
				err := r.proxy.Serve(r.requests, r.limit.Limit(l), router.Listener{ID: endpoint, TLS: r.tlsOf(endpoint)})
				ended <- err
				return nil // the ingress opens it again
			})
			select {
			case err := <-ended:
				return err
			case <-ctx.Done(): // of the ingress: requests may go on
				return nil
			}
		},
	})
	if err != nil {
		return err
	}
	return r.metrics.Register(r.router, acme.Source{Of: r.acme()})
}

// clients returns a limit of connections: so many in all.
func (c *core) clients(all int, log *slog.Logger) *httplimit.Connections {
	return &httplimit.Connections{All: all, PerAddress: c.cfg.PerAddress, Log: log, Exempt: c.cfg.trusted}
}

func (r *routerRole) parts() []runner {
	if r.certs == nil {
		return []runner{r.router}
	}
	return []runner{r.router, r.certs}
}

// serve accepts requests until ctx ends, and has the group wait until those in flight have
// ended.
func (r *routerRole) serve(ctx context.Context, group *errgroup.Group) {
	r.requests, r.group = ctx, group
	plain := router.Listener{}
	if len(r.listeners.https) > 0 {
		plain.HTTPS, plain.Challenge = r.secureHost, r.certs.Challenge
	}
	for _, l := range r.listeners.http {
		r.carry(func() error { return r.proxy.Serve(ctx, r.limit.Limit(l), plain) })
	}
	for _, l := range r.listeners.https {
		r.carry(func() error {
			return r.proxy.Serve(ctx, r.limit.Limit(l), router.Listener{TLS: r.secure[""]})
		})
	}
}

// carry runs a part of what serves requests.
func (r *routerRole) carry(f func() error) {
	r.serving.Add(1)
	r.group.Go(func() error {
		defer r.serving.Done()
		return f()
	})
}

// outlive has requests go on when the driver ends, which it does next.
func (r *routerRole) outlive() {
	r.driver.KeepWay()
	r.ending.Store(true)
}

// Dial reaches an instance, also while the driver ends and afterwards.
func (r *routerRole) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	conn, err := r.driver.Dial(ctx, id, port)
	if err == nil || !r.ending.Load() || ctx.Err() != nil {
		return conn, err
	}
	way, werr := r.driver.Way(ctx)
	if werr != nil {
		return nil, err
	}
	return way.Dial(ctx, id, port)
}

// Freeze implements router.Freezer.
func (r *routerRole) Freeze(ctx context.Context, id string) error { return r.driver.Freeze(ctx, id) }

// Thaw implements router.Freezer. It works like Dial.
func (r *routerRole) Thaw(ctx context.Context, id string) error {
	err := r.driver.Thaw(ctx, id)
	if err == nil || !r.ending.Load() || ctx.Err() != nil {
		return err
	}
	way, werr := r.driver.Way(ctx)
	if werr != nil {
		return err
	}
	return way.Thaw(ctx, id)
}

// Throttle implements router.Throttler. Giving an instance all of its processor time works
// like Dial.
func (r *routerRole) Throttle(ctx context.Context, id string, cpu int) error {
	err := r.driver.Throttle(ctx, id, cpu)
	if err == nil || cpu != 0 || !r.ending.Load() || ctx.Err() != nil {
		return err
	}
	way, werr := r.driver.Way(ctx)
	if werr != nil {
		return err
	}
	return way.Unthrottle(ctx, id)
}

// Frozen implements router.Freezer. It works like Dial.
func (r *routerRole) Frozen(id string) bool {
	if r.ending.Load() {
		if way, err := r.driver.Way(r.requests); err == nil {
			return way.Frozen(id)
		}
	}
	return r.driver.Frozen(id)
}

// resume serves a connection that came through another process.
func (r *routerRole) resume(ctx context.Context, conn net.Conn, from proxy.Origin, received []byte) {
	counted, ok := r.limit.Join(conn)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	err := r.proxy.Resume(ctx, counted, from, received)
	if tcp, ok := conn.(*net.TCPConn); ok && errors.Is(err, proxy.ErrYielding) {
		err = r.proxy.PassOn(tcp, from, received)
		counted.Close() // the next process has its own descriptor
	}
	if err != nil {
		r.log.Warn("a connection that was passed on could not be served", "listener", from.Listener, "err", err)
		counted.Close()
	}
}

func (r *routerRole) close() error { return nil }
