package ingress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Endpoint is a configured VPC endpoint.
type Endpoint struct {
	Addr string // host:port to listen at
	VPC  string // id of the only VPC it serves; empty for any
	TLS  bool   // it speaks TLS in place of plain HTTP
}

// Config configures an Ingress.
type Config struct {
	Store     *store.Store
	Endpoints map[string]Endpoint // by id
	Log       *slog.Logger
	Loops     *loop.Set // shows how the loop is doing; nil is allowed

	// Serve serves the requests of an endpoint. It closes the listener, ends
	// when ctx does, and then returns nil.
	Serve func(ctx context.Context, l net.Listener, endpoint string) error

	// Listen opens the listener of an endpoint. nil: at its address.
	Listen func(ctx context.Context, endpoint, addr string) (net.Listener, error)

	Retry time.Duration // between passes without a change, which retry to open listeners (5 s)
}

// Ingress keeps the listeners of endpoints open and connections up to date.
type Ingress struct {
	cfg   Config
	first chan struct{} // closed after the first pass
	ended chan struct{} // signalled when a listener ended by itself

	mu        sync.Mutex // guards what follows
	listeners map[string]net.Listener
	problems  map[string]string // why the others are not open
}

// New returns an Ingress that opens nothing before Run.
func New(cfg Config) (*Ingress, error) {
	if cfg.Store == nil || cfg.Serve == nil || cfg.Log == nil {
		return nil, errors.New("ingress: Store, Serve and Log are required")
	}
	cfg.Retry = cmp.Or(cfg.Retry, 5*time.Second)
	if cfg.Listen == nil {
		cfg.Listen = func(ctx context.Context, _, addr string) (net.Listener, error) {
			var lc net.ListenConfig
			return lc.Listen(ctx, "tcp", addr)
		}
	}
	return &Ingress{
		cfg: cfg, first: make(chan struct{}), ended: make(chan struct{}, 1),
		listeners: map[string]net.Listener{}, problems: map[string]string{},
	}, nil
}

// Run keeps endpoints open and connections up to date until ctx ends. Then it
// waits for the requests that came in through them and returns nil.
func (g *Ingress) Run(ctx context.Context) error {
	watch := g.cfg.Store.Watch(store.Ingresses)
	defer watch.Close()
	var serving errgroup.Group
	err := loop.Run(ctx, loop.Config{
		Name: "ingress", Log: g.cfg.Log, Set: g.cfg.Loops, Watch: watch.C, Nudge: g.ended, Every: g.cfg.Retry,
	}, func(ctx context.Context) error {
		watch.Take() // every pass looks at all connections
		g.open(ctx, &serving)
		if err := g.reconcile(ctx); err != nil {
			return err
		}
		g.markReady()
		return nil
	})
	return errors.Join(err, serving.Wait())
}

func (g *Ingress) markReady() {
	select {
	case <-g.first:
	default:
		close(g.first)
	}
}

// Ready returns a channel that is closed after the first pass over all
// endpoints and connections.
func (g *Ingress) Ready() <-chan struct{} { return g.first }

// Addrs returns the addresses of the open endpoints, by id.
func (g *Ingress) Addrs() map[string]net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	addrs := make(map[string]net.Addr, len(g.listeners))
	for id, l := range g.listeners {
		addrs[id] = l.Addr()
	}
	return addrs
}

// Port returns the TCP port of an open endpoint, 0 if it is not open.
func (g *Ingress) Port(endpoint string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.listeners[endpoint]; l != nil {
		return l.Addr().(*net.TCPAddr).Port
	}
	return 0
}

// open opens the endpoints that are not open.
func (g *Ingress) open(ctx context.Context, serving *errgroup.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, e := range g.cfg.Endpoints {
		if g.listeners[id] != nil {
			continue
		}
		l, err := g.cfg.Listen(ctx, id, e.Addr)
		if err != nil {
			g.fail(id, fmt.Sprintf("VPC endpoint %s can't listen: %v", id, err))
			continue
		}
		delete(g.problems, id)
		g.listeners[id] = l
		g.cfg.Log.Info("VPC endpoint open", "endpoint", id, "addr", l.Addr().String())
		serving.Go(func() error { return g.serve(ctx, id, l) })
	}
}

// fail records why an endpoint is not open and logs it once. mu is held.
func (g *Ingress) fail(id, problem string) {
	if g.problems[id] != problem {
		g.cfg.Log.Error("VPC endpoint not open", "endpoint", id, "problem", problem)
	}
	g.problems[id] = problem
}

// serve has the router serve a listener. The next pass reopens a listener that
// ends by itself.
func (g *Ingress) serve(ctx context.Context, id string, l net.Listener) error {
	err := g.cfg.Serve(ctx, l, id)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.listeners, id)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	g.fail(id, fmt.Sprintf("VPC endpoint %s was closed: %v", id, err))
	select {
	case g.ended <- struct{}{}:
	default:
	}
	return nil
}

// observe returns the observed state of the endpoints.
func (g *Ingress) observe() map[string]observed {
	g.mu.Lock()
	defer g.mu.Unlock()
	endpoints := make(map[string]observed, len(g.cfg.Endpoints))
	for id, e := range g.cfg.Endpoints {
		endpoints[id] = observed{vpc: e.VPC, problem: g.problems[id]}
	}
	return endpoints
}

// reconcile writes the observed state of every connection that has changed.
func (g *Ingress) reconcile(ctx context.Context) error {
	endpoints := g.observe()
	changes := func(tx *store.Tx) (list []slipway.VPCIngressConnection, err error) {
		all, err := tx.VPCIngresses("", "", time.Time{}, "", 0)
		for _, c := range all {
			if next := decide(c, endpoints, time.Now()); next != c {
				list = append(list, next)
			}
		}
		return list, err
	}
	var due []slipway.VPCIngressConnection
	err := g.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { due, err = changes(tx); return err })
	if err != nil || len(due) == 0 {
		return err
	}
	err = g.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if due, err = changes(tx); err != nil { // read again: the API may have changed it
			return err
		}
		for _, c := range due {
			if err := tx.SaveVPCIngressState(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range due {
		g.report(c)
	}
	return nil
}

func (g *Ingress) report(c slipway.VPCIngressConnection) {
	level := slog.LevelInfo
	if c.Failure != "" && c.DeletedAt.IsZero() {
		level = slog.LevelWarn // the API has no field for the reason
	}
	g.cfg.Log.Log(context.Background(), level, "VPC ingress connection", "arn", c.ARN, "status", c.Status(), "failure", c.Failure)
}
