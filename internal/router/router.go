package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/router/http1"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures a Router. Fields below "defaults" may be zero.
type Config struct {
	ID    string // of this router in the store; a new one if empty
	Log   *slog.Logger
	Loops *loop.Set // shows how the loop is doing; nil is allowed

	// Store is where routes come from and where drained releases and instances
	// are reported. Nil if the owner of the router calls Apply instead.
	Store *store.Store

	// Freezer freezes instances at rest, and Throttler bounds their processor time; nil if
	// that cannot be done here.
	Freezer   Freezer
	Throttler Throttler

	// Heir says that another process's router still has requests. Until Lend says which,
	// no instance is frozen and none is reported as drained.
	Heir bool

	// Suffix is appended to the label of a service to form its host name,
	// without a leading dot: "us-east-1.slipway.localhost".
	Suffix string

	// OnWait is called each time a request of the service starts to wait for an
	// instance. It must not block. It may be nil.
	OnWait func(serviceID string)

	// OnHung is called when an instance answers no request for as long as the setting
	// replace-hung-after says, and with the zero Silence when it answers one after that. It
	// must not block. It may be nil.
	OnHung func(instance string, s Silence)

	// OnGone is called once a deleted service has no requests left. It must not block. It
	// may be nil.
	OnGone func(serviceID string)

	// The defaults are in parentheses.

	Heartbeat time.Duration // between heartbeats in the store (5 s)

	// The queue of a service holds QueuePerSlot (10) requests for each slot of
	// its instances, and at least QueueLeast (1,000). The tenth request in line
	// for a slot is still answered if requests take less than 12 s; beyond that
	// waiting would end in timeouts, so a 429 is better. A waiting request costs
	// about 20 KB, so the minimum, which applies while no instance runs, limits
	// a service to 20 MB.
	QueuePerSlot int
	QueueLeast   int
}

func (c *Config) setDefaults() {
	c.Heartbeat = cmp.Or(c.Heartbeat, 5*time.Second)
	c.QueuePerSlot = cmp.Or(c.QueuePerSlot, 10)
	c.QueueLeast = cmp.Or(c.QueueLeast, 1000)
}

// Router admits requests to services. It is a metrics.Source.
type Router struct {
	cfg    Config
	id     string // of this router in the store
	pools  []Pool // of the attached engines; not changed after Run
	table  atomic.Pointer[table]
	strays [pageCount]atomic.Uint64 // requests without a service, by page

	handshakes [2]atomic.Uint64 // of TLS: that failed, and that did not
	applied    applied

	loaded  chan struct{} // closed after the first table
	settled chan struct{} // closed once the requests of an elder are known
	ended   chan struct{} // closed when the loading loop has ended
	idle    chan struct{} // signalled when a closed instance became idle

	demands chan struct{} // signalled when a service is to be sampled
	atRest  chan struct{} // signalled when a service has come to rest

	mu         sync.Mutex          // guards the next five
	woken      []*Service          // services with an instance that became idle since the last look
	sampleNext []*Service          // services to sample from the next tick on
	resting    []*Service          // services that have no demand since the last look
	began      map[string]struct{} // services whose demand has begun since the last call of Began
	loans      loans

	after sync.Mutex // guards what the loading loop used, after that has ended

	// Used only by the loading loop.
	version      int64               // of the table
	services     map[string]*Service // by id; deleted ones stay until they have drained
	dirty        map[*Service]bool   // changed, woken, or with something left to drain
	heartbeatDue time.Time
}

// Loaded returns a channel that is closed after the first table. Requests must not
// be served before it: every service would be unknown.
func (r *Router) Loaded() <-chan struct{} { return r.loaded }

// New returns a router that does nothing before Run.
func New(cfg Config) (*Router, error) {
	if cfg.Log == nil {
		return nil, errors.New("router: Log is required")
	}
	if _, ok := http1.NormalHost(cfg.Suffix); !ok || strings.ContainsAny(cfg.Suffix, "[:") {
		return nil, fmt.Errorf("router: %q is not a domain", cfg.Suffix)
	}
	return newRouter(cfg), nil
}

func newRouter(cfg Config) *Router {
	cfg.setDefaults()
	r := &Router{
		cfg:      cfg,
		id:       cmp.Or(cfg.ID, slipway.NewID()),
		loaded:   make(chan struct{}),
		settled:  make(chan struct{}),
		ended:    make(chan struct{}),
		idle:     make(chan struct{}, 1),
		demands:  make(chan struct{}, 1),
		atRest:   make(chan struct{}, 1),
		services: map[string]*Service{},
		began:    map[string]struct{}{},

		dirty: map[*Service]bool{},
	}
	r.table.Store(newTable())
	if !cfg.Heir {
		close(r.settled)
	}
	return r
}

// Run keeps the table in sync with the store, reports what has drained and
// samples demand. It blocks until ctx ends and returns nil. Without a store it
// only samples demand.
func (r *Router) Run(ctx context.Context) error {
	var parts errgroup.Group
	if r.cfg.Store != nil {
		parts.Go(func() error {
			defer close(r.ended)
			return r.syncLoop(ctx)
		})
	}
	parts.Go(func() error { r.sample(ctx); return nil })
	if r.cfg.Freezer != nil || r.cfg.Throttler != nil {
		parts.Go(func() error { r.restLoop(ctx); return nil })
	}
	return parts.Wait()
}
