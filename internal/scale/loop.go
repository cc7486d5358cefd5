package scale

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Demand returns the demand for a service: see router.Router.Demand.
type Demand interface {
	Demand(serviceID string) (inFlight, waiting int, integral float64, ok bool)
}

// Config configures a Scaler. Zero durations take the default.
type Config struct {
	Store  *store.Store
	Demand Demand
	Log    *slog.Logger

	Interval time.Duration // between decisions without a nudge (2 s)
	Stable   time.Duration // for which fewer instances must have been enough to scale in (1 minute)
	Cooldown time.Duration // between two steps of scaling in (10 s)
	Resync   time.Duration // between reads of all services (1 minute)
}

// Scaler sets the sizes of active releases.
type Scaler struct {
	cfg Config

	mu     sync.Mutex // guards urgent
	urgent map[string]struct{}
	nudge  chan struct{}

	targets map[string]*target // by service; used only by Run
}

// target is an active release and the demand observed for it.
type target struct {
	release slipway.Release
	window  window
	changed time.Time
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
	return &Scaler{cfg: cfg, urgent: map[string]struct{}{}, nudge: make(chan struct{}, 1), targets: map[string]*target{}}, nil
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
	s.logError(ctx, "read all services", s.readAll(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C:
			s.logError(ctx, "read services", s.read(ctx, watch.Take()))
		case <-resync.C:
			s.logError(ctx, "read all services", s.readAll(ctx))
		case <-s.nudge:
			for _, id := range s.takeUrgent() {
				s.decide(ctx, id, true)
			}
		case <-tick.C:
			for id := range s.targets {
				s.decide(ctx, id, false)
			}
		}
	}
}

func (s *Scaler) logError(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error(doing, "err", err)
	}
}

func (s *Scaler) readAll(ctx context.Context) error {
	var ids []string
	if err := s.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { ids, err = tx.ServicesWithInstances(); return err }); err != nil {
		return err
	}
	known := make(map[string]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	for id := range s.targets {
		if !known[id] {
			delete(s.targets, id)
		}
	}
	return s.read(ctx, ids)
}

// read brings the targets of these services up to date.
func (s *Scaler) read(ctx context.Context, ids []string) error {
	return s.cfg.Store.View(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			r, ok, err := serving(tx, id)
			if err != nil {
				return err
			}
			t := s.targets[id]
			switch {
			case !ok:
				delete(s.targets, id)
			case t == nil || t.release.ID != r.ID:
				// Demand belongs to the service: a new release inherits
				// what was observed.
				n := &target{release: r, changed: time.Now()}
				if t != nil {
					n.window = t.window
				}
				s.targets[id] = n
			default:
				t.release = r
			}
		}
		return nil
	})
}

// serving returns the release that takes the requests of a service. ok is false
// if there is none whose size matters.
func serving(tx *store.Tx, serviceID string) (r slipway.Release, ok bool, err error) {
	v, err := tx.Service(serviceID)
	if errors.Is(err, store.ErrNotFound) {
		return r, false, nil
	}
	if err != nil || v.Wanted != slipway.WantedRunning || v.ActiveRelease == "" {
		return r, false, err
	}
	r, err = tx.Release(v.ActiveRelease)
	if errors.Is(err, store.ErrNotFound) {
		return r, false, nil
	}
	return r, err == nil && r.Desired == slipway.DesiredRun, err
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
	was := t.release.Size
	size, reason := Decide(t.release.Scaling, was, o)
	s.cfg.Log.Debug("size", "service", id, "release", t.release.ID, "was", was, "size", size, "reason", reason,
		"in_flight", inFlight, "waiting", waiting, "peak", o.Peak, "window_full", o.WindowFull, "cooldown_over", o.CooldownOver)
	if size == was {
		return
	}
	if err := s.write(ctx, t.release, size); err != nil {
		s.logError(ctx, "write a release's size", err)
		return
	}
	s.cfg.Log.Info("scaling", "service", id, "release", t.release.ID, "from", was, "to", size, "reason", reason)
	t.release.Size, t.changed = size, now
}

// write sets the size, unless the release no longer takes the requests.
func (s *Scaler) write(ctx context.Context, r slipway.Release, size int) error {
	return s.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		now, ok, err := serving(tx, r.ServiceID)
		if err != nil || !ok || now.ID != r.ID {
			return err
		}
		return tx.SetSize(now, size)
	})
}
