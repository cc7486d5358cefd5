// Package daemon is the server of `slipway serve`: it opens the parts that the
// other packages implement, connects them, runs them and ends them in order.
//
// A process has four roles, each with only what it needs: api answers calls,
// control turns intent into releases, node runs instances, router takes requests
// to them. They share a core and meet in New; today one process has all four.
//
// It has no logic of its own beyond that. It reads no flags and no environment
// variables: cmd/slipway, its only caller, gives it a Config.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/health"
	"github.com/openslipway/slipway/internal/store"
)

// settleTime is how long after the start memory that only the start needed is
// given back.
const settleTime = 5 * time.Second

// runner is a part that works until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// role is a group of parts that belong on one machine. open opens and connects
// them and starts nothing; parts run until everything else has ended;
// close closes what open came to, also after an error.
type role interface {
	open(ctx context.Context) error
	parts() []runner
	close() error
}

// Daemon is a server that has been opened.
type Daemon struct {
	core      *core
	listeners *listeners
	node      *nodeRole
	router    *routerRole
	control   *controlRole
	api       *apiRole
	retention retention

	closers closers
	serving atomic.Bool   // everything is up
	start   chan struct{} // closed when calls and requests may be served
	up      chan struct{} // closed when everything is up

	life context.Context // of Run

	elder *elder // that this server takes over from; nil if there is none
	succession
}

// New opens everything that a daemon needs, and starts nothing. Only one daemon
// can have a data directory at a time: with Config.TakeOver the one that runs lets go of
// it. Close must be called afterwards, unless New failed.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Daemon, error) {
	if err := checkRights(os.Geteuid()); err != nil {
		return nil, err // before anything is written
	}
	var before *elder
	if cfg.TakeOver {
		var err error
		if before, err = meetElder(ctx, cfg, log); err != nil {
			return nil, fmt.Errorf("take over from the server that runs: %w", err)
		}
	}
	return newDaemon(ctx, cfg, log, before)
}

// newDaemon is New, after an elder unless it is nil.
func newDaemon(ctx context.Context, cfg Config, log *slog.Logger, before *elder) (*Daemon, error) {
	d := &Daemon{
		core: newCore(cfg, log), listeners: &listeners{cfg: cfg, elder: before}, elder: before,
		start: make(chan struct{}), up: make(chan struct{}), succession: newSuccession(),
	}
	if before == nil {
		close(d.start)
	}
	if err := d.open(ctx); err != nil {
		d.undo(ctx)
		before.fail(err)
		d.Close()
		return nil, err
	}
	return d, nil
}

// open locks the directory and opens the listeners first: a second server of a
// directory or an address in use is found at once, and connections wait for the rest
// instead of being refused. Then it opens the core and the roles, each after those
// that it is given parts of.
func (d *Daemon) open(ctx context.Context) error {
	d.closers.add(d.core.close)
	if err := d.enter(ctx); err != nil {
		return err
	}
	if err := d.core.open(ctx); err != nil {
		return err
	}
	d.node = &nodeRole{core: d.core, listeners: d.listeners}
	if err := d.openRole(ctx, d.node); err != nil {
		return err
	}
	d.router = &routerRole{
		core: d.core, listeners: d.listeners, driver: d.node.driver, access: d.node.access, start: d.start, heir: d.elder != nil,
		onWait: func(id string) { d.control.scale.Nudge(id) }, onHung: d.node.fleet.Hung,
	}
	if err := d.openRole(ctx, d.router); err != nil {
		return err
	}
	d.control = &controlRole{core: d.core, images: d.node.images, logs: d.node.logs, jobs: d.node.driver, demand: d.router.router, heir: d.elder != nil, certified: d.router.certified()}
	if err := d.openRole(ctx, d.control); err != nil {
		return err
	}
	d.api = &apiRole{
		core: d.core, listeners: d.listeners, images: d.node.images, logs: d.node.logs,
		pushed: d.control.pushed, gitPushed: d.control.polling.Pushed, checkRepository: d.control.git.Check, endpointPort: d.router.ingress.Port,
		start: d.start, uploads: d.control.uploads, checks: d.control.checks, builds: d.control.builds, health: health.New(d.core.part("health"), d.checks()...), usage: usage{d.node.driver}.all, sleep: d.router.router.Sleep, await: d.router.router.Await, authority: d.router.authority, tls: d.router.tls, traffic: trafficOf(d.router.router), explain: explain(d.control.scale, d.router.router, d.node.fleet.HeldUntil),
	}
	if err := d.openRole(ctx, d.api); err != nil {
		return err
	}
	d.retention = retention{d.core.clock, d.core.store, d.node.images, d.api.ecr, d.node.logs, d.control.builder.Remove, d.control.builder.Prune, d.control.uploads.Collect, d.control.runtimes.Digests, d.node.driver.Images, d.core.loops, d.core.part("retention")}
	return nil
}

// enter makes this process the only server of the data directory, with listeners. An elder
// is asked to let go of it when all else is known to be right.
func (d *Daemon) enter(ctx context.Context) error {
	if d.elder == nil {
		if err := d.core.lock(); err != nil {
			return err
		}
		return d.listeners.openAll(ctx)
	}
	if err := d.listeners.openAll(ctx); err != nil {
		return err
	}
	own := d.elder.conn.Own() // this is what the elder goes on as
	migrates := false
	if !own {
		var err error
		if migrates, err = store.Foresee(ctx, d.core.dirs.database()); err != nil {
			return err
		}
	}
	if err := d.elder.release(ctx); err != nil {
		return err
	}
	if err := d.core.lockAfter(ctx); err != nil {
		return err
	}
	before := store.SpareOf(d.core.dirs.database())
	if own {
		return before.PutBack()
	}
	if err := before.Drop(); err != nil { // a copy from another time must not be put back
		return err
	}
	if migrates {
		return before.Keep(ctx)
	}
	return nil
}

// undo removes from the host what a server that does not start has made there.
func (d *Daemon) undo(ctx context.Context) {
	if d.node != nil && !d.core.dirs.hasInstances() {
		d.node.tearDown(ctx)
	}
}

func (d *Daemon) openRole(ctx context.Context, r role) error {
	d.closers.add(r.close)
	return r.open(ctx)
}

// Close closes what New opened, last things first. An elder learns of it last: by then it
// can have everything again. Problems are logged.
func (d *Daemon) Close() {
	if err := errors.Join(d.closers.close(), d.listeners.close(), d.elder.close()); err != nil {
		d.core.log.Warn("close", "err", err)
	}
}

// Up is closed once everything serves.
func (d *Daemon) Up() <-chan struct{} { return d.up }

// Run runs every part until ctx ends, one of them fails, or another process has taken
// over. First nothing new is let in, then what is in flight ends, and the loops end last.
// Instances run on. It returns nil unless a part failed.
func (d *Daemon) Run(ctx context.Context) error {
	d.life = ctx
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	inner, inside := errgroup.WithContext(loops)
	for _, r := range []role{d.node, d.router, d.control, d.api} {
		for _, p := range r.parts() {
			inner.Go(func() error { return p.Run(inside) })
		}
	}
	inner.Go(func() error { return d.core.watchDisk(inside) })
	inner.Go(func() error { return d.keepDirs(inside) })
	inner.Go(func() error { return d.keepDoor(inside) })
	inner.Go(func() error { return d.retention.Run(inside) })
	inner.Go(func() error { d.shrink(inside); return nil })

	err := d.front(ctx, inside, func() {
		stopLoops()
		if err := inner.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			d.core.log.Warn("a part failed as it ended", "err", err)
		}
	})
	if d.released {
		return d.endAfterRelease(ctx, err)
	}
	d.closeDoor(true)
	idle := d.node.idle()
	stopLoops()
	// If a part failed, the front ended because of it, whatever its own error.
	if ierr := inner.Wait(); ierr != nil && !errors.Is(ierr, context.Canceled) || err == nil || errors.Is(err, context.Canceled) {
		err = ierr
	}
	if idle {
		d.node.tearDown(ctx)
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		d.core.log.Info("server ended; instances run on")
		return nil
	}
	if err != nil {
		d.elder.fail(err)
	}
	return err
}

// front answers calls and requests until ctx ends, a part fails, of which inside ends with
// the loops, or another server has taken over. For that, stopLoops ends the loops.
func (d *Daemon) front(ctx, inside context.Context, stopLoops func()) error {
	front, fctx := errgroup.WithContext(ctx)
	requests, endRequests := context.WithCancel(fctx)
	defer endRequests()
	calls, endCalls := context.WithCancel(fctx)
	defer endCalls()
	d.router.serve(requests, front)
	var called sync.WaitGroup
	for _, part := range []func(context.Context) error{
		d.api.serve, d.api.serveMetrics, d.router.ingress.Run, d.announce,
		func(ctx context.Context) error { // a part that fails ends the daemon
			select {
			case <-inside.Done():
				return context.Cause(inside)
			case <-ctx.Done():
				return nil
			}
		},
	} {
		called.Add(1)
		front.Go(func() error {
			defer called.Done()
			return part(calls)
		})
	}
	front.Go(func() error {
		return d.succeed(fctx, func() error {
			endCalls()
			called.Wait()
			d.router.outlive()
			stopLoops()
			return d.closers.close()
		}, endRequests)
	})
	return front.Wait()
}

// shrink returns memory that only the start needed to the operating system. The
// Go runtime would keep most of it for minutes, and some for ever.
func (d *Daemon) shrink(ctx context.Context) {
	select {
	case <-d.up:
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(settleTime):
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
}

// announce says where the daemon is once it serves.
func (d *Daemon) announce(ctx context.Context) error {
	if _, err := d.node.driver.List(ctx); err != nil { // waits until the driver runs
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	select {
	case <-d.router.ingress.Ready():
	case <-ctx.Done():
		return nil
	}
	if err := d.openDoor(); err != nil {
		return err
	}
	if d.elder != nil {
		d.listeners.dropGiven()
		if err := d.elder.assume(ctx, d.router); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		close(d.start)
		d.tasks.Go(func() { d.elder.follow(d.life, d.router) })
	}
	if err := store.SpareOf(d.core.dirs.database()).Drop(); err != nil {
		d.core.log.Warn("the copy of the database for the last server could not be removed", "err", err)
	}
	d.serving.Store(true)
	close(d.up)
	a := d.Addresses()
	for id, addr := range d.router.ingress.Addrs() {
		a.Endpoints[id] = reachable(addr)
	}
	d.core.log.Info("serving", "api", a.API, "http", a.HTTP, "credentials", a.Credentials)
	if d.router.certs != nil {
		d.core.log.Info("serving TLS", "https", a.HTTPS, "authority", fingerprint(d.router.authority()))
	}
	if addr := d.listeners.beyondLoopback(); addr != "" && !d.core.cfg.TLS.API {
		d.core.log.Warn("the API is reachable beyond this machine without TLS", "addr", addr)
	}
	if d.core.cfg.ReadyFile == "" {
		return nil
	}
	return a.write(d.core.cfg.ReadyFile)
}
