package scale

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Demand tells the demand for services as one router knows it: see router.Router.
type Demand interface {
	Demand(serviceID string) (inFlight, waiting int, integral float64, ok bool)

	// Idle returns for how long a service has had no request, 0 if that is not known.
	Idle(serviceID string) time.Duration

	// Began returns the services that had no request and then one, since the last call. A
	// service whose Idle is not 0 has none until it is among them.
	Began() []string
}

// Config configures a Scaler. Zero durations take the default.
type Config struct {
	Store  *store.Store
	Demand Demand
	Router string // id in the store of the router that Demand asks
	Log    *slog.Logger
	Loops  *loop.Set // shows how the loop is doing; nil is allowed

	RouterSilent time.Duration // after this time without a heartbeat a router counts as gone (10 s)

	Interval time.Duration // between decisions without a nudge (2 s)
	Stable   time.Duration // for which fewer instances must have been enough to scale in (1 minute)
	Cooldown time.Duration // between two steps of scaling in (10 s)
	Resync   time.Duration // between reads of what other processes have changed (1 minute)
}

// Scaler sets the sizes of active releases.
type Scaler struct {
	cfg Config

	mu      sync.Mutex // guards urgent and decided
	urgent  map[string]struct{}
	decided map[string]Explanation // by service
	nudge   chan struct{}

	// Used only by Run.
	targets map[string]*target // by service
	version int64              // of the services, as last read; see store.Tx.ChangedServices
	ticked  time.Time          // when the demand that began was last asked for
}

// target is an active release and the demand observed for it.
type target struct {
	active
	window  window
	changed time.Time // when the size changed
	grown   time.Time // when it grew, or the release began to take requests
	told    told

	// rests says that the next decision would be this one, until there is news of the
	// service, or demand, or the time is after due. A zero due never comes.
	rests bool
	due   time.Time
}

// active is what the store says of the release that takes the requests of a service.
type active struct {
	release slipway.Release
	rules   Rules
	busy    bool // an operation on the service is live
}

// New returns a scaler that does nothing before Run.
func New(cfg Config) (*Scaler, error) {
	if cfg.Store == nil || cfg.Demand == nil || cfg.Log == nil {
		return nil, errors.New("scale: store, demand and log are required")
	}
	cfg.Interval = cmp.Or(cfg.Interval, 2*time.Second)
	cfg.Stable = cmp.Or(cfg.Stable, time.Minute)
	cfg.Cooldown = cmp.Or(cfg.Cooldown, 10*time.Second)
	cfg.Resync = cmp.Or(cfg.Resync, time.Minute)
	cfg.RouterSilent = cmp.Or(cfg.RouterSilent, 10*time.Second)
	return &Scaler{cfg: cfg, urgent: map[string]struct{}{}, decided: map[string]Explanation{}, nudge: make(chan struct{}, 1), targets: map[string]*target{}}, nil
}

// Nudge makes Run decide the size of a service now, because a request waits. It
// does not block.
func (s *Scaler) Nudge(serviceID string) {
	s.mu.Lock()
	s.urgent[serviceID] = struct{}{}
	s.mu.Unlock()
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

func (s *Scaler) takeUrgent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.urgent))
	for id := range s.urgent {
		ids = append(ids, id)
	}
	clear(s.urgent)
	return ids
}

// Run decides sizes until ctx ends and returns nil.
func (s *Scaler) Run(ctx context.Context) error {
	watch := s.cfg.Store.Watch(store.Releases | store.Routes)
	defer watch.Close()
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	resync := time.NewTicker(s.cfg.Resync)
	defer resync.Stop()
	turns := s.cfg.Loops.Enter("scale")
	defer turns.Leave()
	s.ticked = time.Now()
	s.logError(ctx, "read all services", turns.Do(func() error { return s.readAll(ctx) }))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C:
			s.logError(ctx, "read services", turns.Do(func() error { return s.read(ctx, watch.Take()) }))
		case <-resync.C:
			s.logError(ctx, "read changed services", turns.Do(func() error { return s.readChanged(ctx) }))
		case <-s.nudge:
			_ = turns.Do(func() error { s.decideUrgent(ctx); return nil })
		case now := <-tick.C:
			_ = turns.Do(func() error { s.decideDue(ctx, now); return nil })
		}
	}
}

// decideUrgent decides for the services that have requests waiting.
func (s *Scaler) decideUrgent(ctx context.Context) {
	for _, id := range s.takeUrgent() {
		s.rouse(id)
		s.decide(ctx, id, true)
	}
}

// decideDue decides for the services whose last decision does not stand any more.
func (s *Scaler) decideDue(ctx context.Context, now time.Time) {
	s.rouseBegun(now)
	for id, t := range s.targets {
		if !t.rests || !t.due.IsZero() && !now.Before(t.due) {
			s.decide(ctx, id, false)
		}
	}
}

func (s *Scaler) logError(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error(doing, "err", err)
	}
}

// readAll reads the services that have or want instances, at the start.
func (s *Scaler) readAll(ctx context.Context) error {
	var ids []string
	var version int64
	err := s.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) {
		if ids, err = tx.ServicesWithInstances(); err != nil {
			return err
		}
		_, version, err = tx.ChangedServices(0)
		return err
	})
	if err == nil {
		err = s.read(ctx, ids)
	}
	if err == nil {
		s.version = version
	}
	return err
}

// readChanged reads the services that have changed since the last call. It finds what other
// processes have changed: Run hears at once of what this one has.
func (s *Scaler) readChanged(ctx context.Context) error {
	var ids []string
	version := s.version
	if err := s.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { ids, version, err = tx.ChangedServices(version); return err }); err != nil {
		return err
	}
	if err := s.read(ctx, ids); err != nil {
		return err
	}
	s.version = version
	return nil
}

// rouseBegun has those services decided about again whose demand has begun.
func (s *Scaler) rouseBegun(now time.Time) {
	for _, id := range s.cfg.Demand.Began() {
		s.rouse(id)
	}
	s.ticked = now
}

// rouse has a service decided about again. It has had no demand until the last tick.
func (s *Scaler) rouse(id string) {
	if t := s.targets[id]; t != nil && t.rests {
		t.rests = false
		t.window.idled(s.ticked)
	}
}

// read brings the targets of these services up to date.
func (s *Scaler) read(ctx context.Context, ids []string) error {
	return s.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			now, ok, err := serving(tx, id)
			if errors.Is(err, store.ErrDamagedRow) { // it keeps its size
				if err := tx.PassOver("service "+id, err); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			s.rouse(id)
			t := s.targets[id]
			switch {
			case !ok:
				s.forget(id)
			case t == nil || t.release.ID != now.release.ID:
				// Demand belongs to the service: a new release inherits
				// what was observed.
				n := &target{active: now, changed: time.Now(), grown: time.Now()}
				if t != nil {
					n.window, n.told = t.window, t.told
				}
				s.targets[id] = n
			default:
				t.active = now
			}
		}
		return nil
	})
}

// serving returns the release that takes the requests of a service. ok is false
// if there is none whose size matters.
func serving(tx *store.Tx, serviceID string) (a active, ok bool, err error) {
	v, err := tx.Service(serviceID)
	if errors.Is(err, store.ErrNotFound) {
		return a, false, nil
	}
	if err != nil || v.Wanted != slipway.WantedRunning || v.ActiveRelease == "" {
		return a, false, err
	}
	a.release, err = tx.Release(v.ActiveRelease)
	if errors.Is(err, store.ErrNotFound) {
		return a, false, nil
	}
	if err != nil || a.release.Desired != slipway.DesiredRun {
		return a, false, err
	}
	settings, err := tx.RoutingSettings(v.Service)
	a.rules, a.busy = rulesOf(a.release.Scaling, settings), v.Live != nil
	return a, err == nil, err
}

// decide observes the demand for a service and writes the size of its release
// if it must change. An urgent decision concerns only this moment and leaves
// the window as it is.
func (s *Scaler) decide(ctx context.Context, id string, urgent bool) {
	t := s.targets[id]
	if t == nil {
		return
	}
	now := time.Now()
	inFlight, waiting, integral, known := s.cfg.Demand.Demand(id)
	if known && !urgent {
		t.window.observe(now, integral, s.cfg.Stable)
	}
	o := Observation{
		Known: known, Now: inFlight + waiting, Peak: t.window.peak(),
		WindowFull: t.window.full(now, s.cfg.Stable), CooldownOver: now.Sub(t.changed) >= s.cfg.Cooldown,
	}
	if known && o.Now == 0 {
		o.Idle = s.idle(ctx, id, t, now)
	}
	was := t.release.Size
	size, reason := Decide(t.rules, was, o)
	d := Decision{At: now, Was: was, Size: size, Reason: reason, Rules: t.rules, Observation: o}
	if size == was {
		if !urgent {
			t.rests, t.due = s.rests(id, t, o, now)
		}
		s.note(id, d, t.rests)
		if !s.cfg.Log.Enabled(ctx, slog.LevelDebug) {
			return // for most services, every time
		}
	}
	s.cfg.Log.Debug("size", "service", id, "release", t.release.ID, "was", was, "size", size, "reason", reason,
		"in_flight", inFlight, "waiting", waiting, "peak", o.Peak, "window_full", o.WindowFull, "cooldown_over", o.CooldownOver, "idle", o.Idle)
	if size == was {
		return
	}
	written, err := s.write(ctx, t, size, o, now)
	if err != nil {
		s.logError(ctx, "write a release's size", err)
	}
	if !written {
		return
	}
	s.note(id, d, false)
	s.cfg.Log.Info("scaling", "service", id, "release", t.release.ID, "from", was, "to", size, "reason", reason)
	t.release.Size, t.changed = size, now
	if size > was {
		t.grown = now
	}
}

// rests reports whether a decision that kept the size stands until there is news of the
// service or demand, or else until when.
func (s *Scaler) rests(id string, t *target, o Observation, now time.Time) (rests bool, due time.Time) {
	least := t.rules.Least
	if t.release.Size > 0 {
		least = max(least, 1)
	}
	switch {
	case !o.Known, o.Now > 0, o.Peak > 0, !o.WindowFull, !o.CooldownOver, t.release.Size > least, s.cfg.Demand.Idle(id) == 0:
		return false, due
	case t.rules.Least > 0, t.release.Size == 0, t.busy: // it is not to be stopped
		return true, due
	case o.Idle == 0:
		return false, due
	}
	return true, now.Add(t.rules.StopAfter - o.Idle)
}

// idle returns for how long the service certainly had no request. It reads rows only for
// a service that would be stopped.
func (s *Scaler) idle(ctx context.Context, id string, t *target, now time.Time) time.Duration {
	if t.rules.Least > 0 || t.release.Size == 0 || t.busy {
		return 0
	}
	idle := min(s.cfg.Demand.Idle(id), now.Sub(t.grown))
	if idle < t.rules.StopAfter {
		return idle
	}
	var rows time.Duration
	err := s.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { rows, err = s.idleRows(tx, t.release, now); return err })
	if err != nil {
		s.logError(ctx, "read instances", err)
		return 0
	}
	return min(idle, rows)
}

// idleRows returns for how long the rows allow that a release had no request: not while a
// router lives whose requests are unknown here, and only since its instances are ready.
// One that starts is let become ready, since a client that gave up may come again.
func (s *Scaler) idleRows(tx *store.Tx, r slipway.Release, now time.Time) (time.Duration, error) {
	others, err := tx.CountOtherRouters(s.cfg.Router, s.cfg.RouterSilent)
	if err != nil || others > 0 {
		return 0, err
	}
	list, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return 0, err
	}
	// The clock may have been set back since a row was written. What this process has seen
	// itself is then enough: it counts by the monotonic clock.
	since := func(at time.Time) time.Duration {
		if d := now.Sub(at); d >= 0 {
			return d
		}
		return math.MaxInt64
	}
	idle := since(r.CreatedAt)
	for _, i := range list {
		switch i.State {
		case slipway.InstanceStarting, slipway.InstanceKept: // the latter is being thawed
			return 0, nil
		case slipway.InstanceReady, slipway.InstanceUnhealthy:
			idle = min(idle, since(i.ReadyAt))
		}
	}
	return idle, nil
}

// write sets the size, unless the release no longer takes the requests, or is to keep an
// instance meanwhile.
func (s *Scaler) write(ctx context.Context, t *target, size int, o Observation, at time.Time) (written bool, err error) {
	err = s.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		written = false
		now, ok, err := serving(tx, t.release.ServiceID)
		if err != nil || !ok || now.release.ID != t.release.ID || size == 0 && (now.busy || now.rules.Least > 0) {
			return err
		}
		written = true
		if line := t.told.line(t.release.Size, size, o, at); line != "" {
			if err := tx.InsertEvent(slipway.Event{ServiceID: t.release.ServiceID, Stream: "events", At: at, Text: line}); err != nil {
				return err
			}
		}
		return tx.SetSize(now.release, size)
	})
	if written = written && err == nil; written {
		t.told.wrote(size, at)
	}
	return written, err
}
