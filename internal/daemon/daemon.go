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
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
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
	up      chan struct{} // closed then
}

// New opens everything that a daemon needs, and starts nothing. Only one daemon
// can have a data directory at a time. Close must be called afterwards, unless
// New failed.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Daemon, error) {
	if err := checkRights(os.Geteuid()); err != nil {
		return nil, err // before anything is written
	}
	d := &Daemon{core: newCore(cfg, log), listeners: &listeners{}, up: make(chan struct{})}
	if err := d.open(ctx); err != nil {
		d.undo(ctx)
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
	if err := d.core.lock(); err != nil {
		return err
	}
	d.closers.add(d.listeners.close)
	if err := d.listeners.open(ctx, d.core.cfg); err != nil {
		return err
	}
	if err := d.core.open(ctx); err != nil {
		return err
	}
	d.node = &nodeRole{core: d.core, listeners: d.listeners}
	if err := d.openRole(ctx, d.node); err != nil {
		return err
	}
	d.router = &routerRole{core: d.core, listeners: d.listeners, dialer: d.node.driver, access: d.node.access, onWait: func(id string) { d.control.scale.Nudge(id) }}
	if d.node.driver.CanFreeze() {
		d.router.freezer = d.node.driver
	}
	if d.node.driver.Limits().CPU {
		d.router.throttler = d.node.driver
	}
	if err := d.openRole(ctx, d.router); err != nil {
		return err
	}
	d.control = &controlRole{core: d.core, images: d.node.images, logs: d.node.logs, jobs: d.node.driver, demand: d.router.router}
	if err := d.openRole(ctx, d.control); err != nil {
		return err
	}
	d.api = &apiRole{
		core: d.core, listeners: d.listeners, images: d.node.images, logs: d.node.logs,
		pushed: d.control.pushed, gitPushed: d.control.polling.Pushed, checkRepository: d.control.git.Check, endpointPort: d.router.ingress.Port,
		uploads: d.control.uploads, checks: d.control.checks, builds: d.control.builds, ready: d.serving.Load, usage: usage{d.node.driver}.all, sleep: d.router.router.Sleep, traffic: trafficOf(d.router.router), explain: explain(d.control.scale, d.router.router),
	}
	if err := d.openRole(ctx, d.api); err != nil {
		return err
	}
	d.retention = retention{d.core.store, d.node.images, d.api.ecr, d.node.logs, d.control.builder.Remove, d.control.builder.Prune, d.control.uploads.Collect, d.control.runtimes.Digests, d.core.loops, d.core.part("retention")}
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

// Close closes what New opened, last things first. Problems are logged.
func (d *Daemon) Close() {
	if err := d.closers.close(); err != nil {
		d.core.log.Warn("close", "err", err)
	}
}

// Up is closed once everything serves.
func (d *Daemon) Up() <-chan struct{} { return d.up }

// Run runs every part until ctx ends or one of them fails. First nothing new is
// let in, then what is in flight ends, and the loops end last. Instances run on.
// It returns nil when ctx ended it.
func (d *Daemon) Run(ctx context.Context) error {
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	inner, inside := errgroup.WithContext(loops)
	for _, r := range []role{d.node, d.router, d.control, d.api} {
		for _, p := range r.parts() {
			inner.Go(func() error { return p.Run(inside) })
		}
	}
	inner.Go(func() error { return d.core.watchDisk(inside) })
	inner.Go(func() error { return d.retention.Run(inside) })
	inner.Go(func() error { d.shrink(inside); return nil })

	front, fctx := errgroup.WithContext(ctx)
	front.Go(func() error { return d.api.serve(fctx) })
	front.Go(func() error { return d.api.serveMetrics(fctx) })
	d.router.serve(fctx, front)
	front.Go(func() error { return d.announce(fctx) })
	front.Go(func() error { // a part that fails ends the daemon
		select {
		case <-inside.Done():
			return context.Cause(inside)
		case <-fctx.Done():
			return nil
		}
	})
	err := front.Wait()
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
	return err
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
	d.serving.Store(true)
	close(d.up)
	a := d.Addresses()
	for id, addr := range d.router.ingress.Addrs() {
		a.Endpoints[id] = reachable(addr)
	}
	d.core.log.Info("serving", "api", a.API, "http", a.HTTP, "credentials", a.Credentials)
	if addr := d.listeners.beyondLoopback(); addr != "" {
		d.core.log.Warn("the API is reachable beyond this machine without TLS", "addr", addr)
	}
	if d.core.cfg.ReadyFile == "" {
		return nil
	}
	return a.write(d.core.cfg.ReadyFile)
}
