package router

import (
	"context"
	"time"
)

// Freezer stops the processes of instances where they are, and lets them go on. A frozen
// instance keeps memory and sockets, and takes no processor time.
type Freezer interface {
	Freeze(ctx context.Context, instance string) error
	Thaw(ctx context.Context, instance string) error

	// Frozen reports whether the instance is frozen, as an earlier process may have left it.
	Frozen(instance string) bool
}

// sleepTick is how often the services at rest are looked at.
const sleepTick = time.Second

// sleeper freezes the instances of services that have had no request for the time of their
// setting, and thaws them for the next request. Requests alone decide: what an application
// does by itself, and what it sends and receives elsewhere, keeps nothing awake.
//
// That an instance is frozen is a fact of the kernel and nowhere stored. A frozen instance
// is closed, so that none of its slots is claimed before it runs.
type sleeper struct {
	freezer Freezer
	rest    map[*Service]time.Time // since when a service has had no demand; used by one loop only
}

// rests notes that a service has no demand, as far as the caller knows.
func (r *Router) rests(s *Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting = append(r.resting, s)
}

// sleepLoop puts services to sleep until ctx ends.
func (r *Router) sleepLoop(ctx context.Context) error {
	w := sleeper{freezer: r.cfg.Freezer, rest: map[*Service]time.Time{}}
	tick := time.NewTicker(sleepTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.mu.Lock()
			for _, s := range r.resting {
				w.rest[s] = now
			}
			r.resting = nil
			r.mu.Unlock()
			for s, since := range w.rest {
				if w.look(ctx, r, s, now.Sub(since)) {
					delete(w.rest, s)
				}
			}
		}
	}
}

// look freezes the instances of a service that was idle for long enough. It reports
// whether nothing is to be done until the service rests again.
func (w *sleeper) look(ctx context.Context, r *Router, s *Service, idle time.Duration) (done bool) {
	after := s.Settings().SleepAfter
	if f, q := s.gate.demand(); f+q > 0 {
		return false // it is being sampled, and rests when that ends
	}
	if after == 0 || idle < after {
		return after == 0
	}
	for _, i := range s.gate.view.Load().instances {
		if err := i.sleep(ctx, w.freezer); err != nil {
			r.cfg.Log.Warn("cannot freeze an instance", "service", s.id, "instance", i.Instance, "err", err)
		}
	}
	if s.gate.waiting.Load() > 0 { // a request has come meanwhile
		r.wake1(s)
	}
	return true
}

// sleep freezes the instance if it has no request.
func (i *instance) sleep(ctx context.Context, f Freezer) error {
	i.freezing <- struct{}{}
	defer func() { <-i.freezing }()
	if !i.load.CompareAndSwap(0, closedBit) {
		return nil // it has a request, or is closed anyway
	}
	i.flags.Lock()
	i.asleep = true
	i.flags.Unlock()
	err := f.Freeze(ctx, i.Instance)
	if err != nil {
		i.awake()
	}
	return err
}

// awake notes that the instance runs.
func (i *instance) awake() {
	i.flags.Lock()
	defer i.flags.Unlock()
	i.asleep = false
	i.close(!i.open)
}

// isAsleep reports whether the instance is frozen, or about to be.
func (i *instance) isAsleep() bool {
	i.flags.Lock()
	defer i.flags.Unlock()
	return i.asleep
}

// wake thaws the instance. It reports whether it was asleep.
func (i *instance) wake(ctx context.Context, f Freezer) (was bool, err error) {
	i.freezing <- struct{}{}
	defer func() { <-i.freezing }()
	if !i.isAsleep() {
		return false, nil
	}
	err = f.Thaw(ctx, i.Instance)
	i.awake() // one that is gone takes no connection: its request tries another
	return true, err
}

// wake1 thaws instances of a service as long as requests wait for more than are awake. It
// returns at once.
func (r *Router) wake1(s *Service) {
	if r.cfg.Freezer == nil || !s.waking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		for {
			woke := r.wakeOne(s)
			if woke {
				continue
			}
			s.waking.Store(false)
			// A request may have begun to wait after the last look.
			if s.gate.waiting.Load() == 0 || !s.hasAsleep() || !s.waking.CompareAndSwap(false, true) {
				return
			}
		}
	}()
}

// wakeOne thaws one instance if requests wait, and reports whether it did.
func (r *Router) wakeOne(s *Service) bool {
	if s.gate.waiting.Load() == 0 {
		return false
	}
	for _, i := range s.gate.view.Load().instances {
		began := time.Now()
		woke, err := i.wake(context.Background(), r.cfg.Freezer)
		if err != nil {
			r.cfg.Log.Warn("cannot thaw an instance", "service", s.id, "instance", i.Instance, "err", err)
		}
		if woke {
			r.cfg.Log.Debug("thawed an instance", "service", s.id, "instance", i.Instance, "took", time.Since(began))
			s.gate.kick()
			return true
		}
	}
	return false
}

func (s *Service) hasAsleep() bool {
	for _, i := range s.gate.view.Load().instances {
		if i.isAsleep() {
			return true
		}
	}
	return false
}
