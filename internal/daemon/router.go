package daemon

import (
	"context"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/httplimit"
	"github.com/openslipway/slipway/internal/ingress"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/proxy"
)

// routerRole takes requests to instances: from the services' listener, and from
// those of VPC endpoints.
type routerRole struct {
	*core
	listeners *listeners
	dialer    proxy.Dialer
	access    proxy.AccessLog
	freezer   router.Freezer         // nil if this machine can freeze no instances
	throttler router.Throttler       // nil if it can bound no processor time
	onWait    func(serviceID string) // a request waits for an instance

	router  *router.Router
	proxy   *proxy.Proxy
	ingress *ingress.Ingress
	limit   *httplimit.Connections
}

func (r *routerRole) open(context.Context) (err error) {
	r.limit = r.clients(r.part("router"))
	r.router, err = router.New(router.Config{
		ID: r.node.id, Store: r.store, Log: r.part("router"), Loops: r.loops, Suffix: r.cfg.Region + "." + r.cfg.Domain, OnWait: r.onWait,
		Freezer: r.freezer, Throttler: r.throttler,
	})
	if err != nil {
		return err
	}
	r.proxy, err = proxy.New(proxy.Config{Router: r.router, Dialer: r.dialer, Access: r.access, Log: r.part("router"), Trusted: r.cfg.trusted, Underscores: r.cfg.Underscores})
	if err != nil {
		return err
	}
	r.ingress, err = ingress.New(ingress.Config{
		Store: r.store, Endpoints: r.cfg.Endpoints, Log: r.part("ingress"), Loops: r.loops, Listen: r.cfg.listenEndpoint,
		Serve: func(ctx context.Context, l net.Listener, endpoint string) error {
			return r.proxy.Serve(ctx, r.limit.Limit(l), router.Listener{ID: endpoint})
		},
	})
	if err != nil {
		return err
	}
	return r.metrics.Register(r.router)
}

// clients returns a limit of connections.
func (c *core) clients(log *slog.Logger) *httplimit.Connections {
	return &httplimit.Connections{All: c.cfg.Connections, PerAddress: c.cfg.PerAddress, Log: log, Exempt: c.cfg.trusted}
}

func (r *routerRole) parts() []runner { return []runner{r.router} }

// serve accepts requests until ctx ends, and returns when those in flight have
// ended.
func (r *routerRole) serve(ctx context.Context, group *errgroup.Group) {
	for _, l := range r.listeners.http {
		group.Go(func() error { return r.proxy.Serve(ctx, r.limit.Limit(l), router.Listener{}) })
	}
	group.Go(func() error { return r.ingress.Run(ctx) })
}

func (r *routerRole) close() error { return nil }
