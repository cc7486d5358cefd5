package router

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway/internal/loop"
)

// Freezer stops the processes of instances where they are, and lets them go on. A frozen
// instance keeps memory and sockets, and takes no processor time.
type Freezer interface {
	// Freeze gives up when ctx ends. After a failure the instance runs, unless Frozen says
	// otherwise.
	Freeze(ctx context.Context, instance string) error

	// Thaw lets the instance go on. After a failure it is as Frozen says.
	Thaw(ctx context.Context, instance string) error

	// Frozen reports whether the instance is frozen, as an earlier process may have left it.
	Frozen(instance string) bool
}

// Throttler bounds the processor time of instances.
type Throttler interface {
	// Throttle bounds what an instance gets, in 1024ths of a core. With 0 it gets again
	// what its service has.
	Throttle(ctx context.Context, instance string, cpu int) error
}

const (
	// restTick is how often the services at rest are looked at.
	restTick = time.Second

	// throttleAfter is how long a service is at rest before its instances are throttled.
	// What an application does just after its response, as telemetry, is not slowed.
	throttleAfter = 10 * time.Second

	// idleCPU is what a throttled instance gets if its service does not say, in hundredths
	// of a core: enough for health checks and timers.
	idleCPU = 5

	// freezesAtOnce is how many instances are frozen at a time. One whose processes wait
	// for a disk takes a while.
	freezesAtOnce = 8

	// thawsAtOnce is how many instances of a service are thawed at a time.
	thawsAtOnce = 8

	// thawRetry is the time after a thaw that failed until the next one.
	thawRetry = 250 * time.Millisecond
)

// rester puts the instances of services at rest to sleep. Of an instance that has had no
// request for a while it first bounds the processor time, and later, if its service has
// that setting, it freezes the instance. The next request undoes both. Only requests count:
// what an application does by itself, and what it sends and receives elsewhere, keeps
// nothing awake.
//
// That an instance is frozen is a fact of the kernel and nowhere stored. A frozen instance
// is closed, so that none of its slots is claimed before it runs.
type rester struct {
	r    *Router
	rest map[*Service]time.Time // since when a service has had no demand; used by one loop only
	fell []*Service             // that are being frozen; likewise
}

// rests notes that a service has no demand, as far as the caller knows, or has changed.
func (r *Router) rests(s *Service) {
	if r.cfg.Freezer == nil && r.cfg.Throttler == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting = append(r.resting, s)
	select {
	case r.atRest <- struct{}{}:
	default:
	}
}

// restLoop puts services to sleep until ctx ends. While all of them sleep or have requests it
// does not even wake.
func (r *Router) restLoop(ctx context.Context) {
	w := rester{r: r, rest: map[*Service]time.Time{}}
	tick := time.NewTicker(restTick)
	defer tick.Stop()
	for {
		if w.idle() {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-r.atRest:
			}
			tick.Reset(restTick)
		}
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if r.isSettled() {
				w.pass(ctx, now)
			}
		}
	}
}

// idle reports whether no service is at rest and awake.
func (w *rester) idle() bool {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return len(w.rest)+len(w.r.resting) == 0
}

// pass looks at all services at rest.
func (w *rester) pass(ctx context.Context, now time.Time) {
	w.r.mu.Lock()
	for _, s := range w.r.resting {
		w.rest[s] = now
	}
	w.r.resting = nil
	w.r.mu.Unlock()
	var freezes errgroup.Group
	freezes.SetLimit(freezesAtOnce)
	for s, since := range w.rest {
		if w.look(ctx, s, now.Sub(since), freezes.Go) {
			delete(w.rest, s)
		}
	}
	_ = freezes.Wait() // they log what fails
	for _, s := range w.fell {
		if s.hasAwake() {
			s.rises(Frozen, time.Now())
		}
	}
	w.fell = nil
}

// look does what is due for a service that was at rest for some time. It reports whether
// nothing more is to be done until the service rests again.
func (w *rester) look(ctx context.Context, s *Service, idle time.Duration, freeze func(func() error)) (done bool) {
	if s.gate.sampled.Load() {
		return true // it has demand, and rests when that ends
	}
	v := s.gate.view.Load()
	asleep, throttle := v.settings.SleepAfter, throttleOf(v.settings.IdleCPU)
	if w.r.cfg.Freezer == nil {
		asleep = 0
	}
	if w.r.cfg.Throttler == nil {
		throttle = 0
	}
	sleeps := asleep > 0 && idle >= asleep
	if sleeps && len(v.instances) > 0 {
		s.falls(Frozen, time.Now()) // first: a request may wake it before all are frozen
		w.fell = append(w.fell, s)
	}
	for _, i := range v.instances {
		switch {
		case sleeps:
			freeze(func() error { w.r.sleep(ctx, s, i); return nil })
		case throttle > 0 && idle >= throttleAfter:
			w.r.throttle(ctx, s, i, throttle)
		}
	}
	return sleeps || asleep == 0 && (throttle == 0 || idle >= throttleAfter)
}

// throttleOf returns what a throttled instance gets, in 1024ths of a core, by the setting;
// 0: instances are not throttled.
func throttleOf(setting int) int {
	switch {
	case setting < 0:
		return 0
	case setting == 0:
		setting = idleCPU
	}
	return max(setting*1024/100, 1)
}

// sleep freezes the instance if it has no request.
func (r *Router) sleep(ctx context.Context, s *Service, i *instance) {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !i.fallAsleep(cancel) {
		return // it has a request, or is closed anyway
	}
	r.unthrottleNow(s, i) // a throttled process stops late
	err := r.cfg.Freezer.Freeze(ctx, i.Instance)
	if err != nil && !r.cfg.Freezer.Frozen(i.Instance) {
		i.awake()
		s.gate.kick() // a request may have come meanwhile
		if ctx.Err() == nil {
			r.cfg.Log.Warn("cannot freeze an instance", "service", s.id, "instance", i.Instance, "err", err)
			r.rests(s)
		}
	}
	i.flags.Lock()
	i.rouse = nil
	i.flags.Unlock()
	if s.gate.waiting.Load() > 0 {
		r.wakeFor(s)
	}
}

// fallAsleep closes an instance without a request. rouse is called if a request comes
// before it is frozen.
func (i *instance) fallAsleep(rouse func()) bool {
	i.flags.Lock()
	defer i.flags.Unlock()
	if !i.load.CompareAndSwap(0, closedBit) {
		return false
	}
	i.asleep, i.rouse = true, rouse
	return true
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

// wake thaws an instance that is asleep. It reports whether the instance may be claimed
// now and might not before.
func (r *Router) wake(s *Service, i *instance) (woke bool) {
	i.flags.Lock()
	asleep := i.asleep
	if i.rouse != nil {
		i.rouse()
	}
	i.flags.Unlock()
	if !asleep {
		return false
	}
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	if !i.isAsleep() {
		return true // the freeze was given up
	}
	began := time.Now()
	err := r.cfg.Freezer.Thaw(context.Background(), i.Instance)
	switch {
	case err != nil && r.cfg.Freezer.Frozen(i.Instance):
		r.cfg.Log.Warn("cannot thaw an instance", "service", s.id, "instance", i.Instance, "err", err)
		return false
	case err != nil:
		// It is gone or is being stopped: its request tries another.
		r.cfg.Log.Debug("nothing to thaw", "service", s.id, "instance", i.Instance, "err", err)
	default:
		r.cfg.Log.Debug("thawed an instance", "service", s.id, "instance", i.Instance, "took", time.Since(began))
	}
	i.awake()
	return true
}

// wakeFor thaws instances of a service as long as requests wait for more than are awake. It
// returns at once.
func (r *Router) wakeFor(s *Service) {
	if r.cfg.Freezer == nil || !s.hasAsleep() || !s.waking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		for {
			for s.gate.waiting.Load() > 0 && s.hasAsleep() {
				if !r.wakeSome(s) {
					loop.Pause(context.Background(), thawRetry)
				}
			}
			s.waking.Store(false)
			// A request may have begun to wait after the last look.
			if s.gate.waiting.Load() == 0 || !s.hasAsleep() || !s.waking.CompareAndSwap(false, true) {
				return
			}
		}
	}()
}

// wakeMarked thaws the instance that a cookie names.
func (r *Router) wakeMarked(s *Service, i *instance) bool {
	s.waits(time.Now())
	woke := r.wake(s, i)
	if woke {
		s.rises(Frozen, time.Now())
	}
	return woke
}

// wakeSome thaws as many instances as the requests that wait need, some at a time, and reports
// whether it thawed any. It passes over those whose thaw fails.
func (r *Router) wakeSome(s *Service) bool {
	v := s.gate.view.Load()
	need := wakesFor(s.gate.waiting.Load(), v.limit)
	if need == 0 {
		return true // no request waits any more
	}
	var thaws errgroup.Group
	thaws.SetLimit(min(need, thawsAtOnce))
	var begun, woke atomic.Int32
	for _, i := range v.instances {
		if !i.isAsleep() {
			continue
		}
		thaws.Go(func() error {
			if begun.Add(1) <= int32(need) && r.wake(s, i) {
				s.gate.kick()
				s.rises(Frozen, time.Now())
				woke.Add(1)
			} else {
				begun.Add(-1) // another may take its place
			}
			return nil
		})
	}
	_ = thaws.Wait() // they log what fails
	return woke.Load() > 0
}

// wakesFor returns how many instances, each with a limit of concurrent requests, so many
// waiting requests need.
func wakesFor(waiting, limit int64) int {
	limit = max(limit, 1)
	return int((waiting + limit - 1) / limit)
}

// hasAsleep reports whether an instance is asleep that takes requests when it is awake.
func (s *Service) hasAsleep() bool {
	return slices.ContainsFunc(s.gate.view.Load().instances, (*instance).isAsleep)
}

// hasAwake reports whether an instance takes requests without a thaw.
func (s *Service) hasAwake() bool {
	return slices.ContainsFunc(s.gate.view.Load().instances, func(i *instance) bool { return !i.isAsleep() })
}

// wakeUnwanted thaws what must not sleep: instances of a service without the setting, and
// those that take no requests, whose health is checked again. It returns at once.
func (r *Router) wakeUnwanted(s *Service) {
	if r.cfg.Freezer == nil {
		return
	}
	all := s.Settings().SleepAfter == 0
	for _, i := range s.instances {
		if i.gone {
			continue
		}
		i.flags.Lock()
		unwanted := i.asleep && (all || !i.open)
		i.flags.Unlock()
		if unwanted {
			go func() {
				for i.isAsleep() && !r.wake(s, i) {
					loop.Pause(context.Background(), thawRetry)
				}
				s.gate.kick()
				if all {
					s.rises(Frozen, time.Now())
				}
			}()
		}
	}
}

// throttle bounds the processor time of an instance that has no request.
func (r *Router) throttle(ctx context.Context, s *Service, i *instance, cpu int) {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	if i.load.Load() != 0 || int(i.throttled.Load()) == cpu {
		return
	}
	// One that claims a slot from here on sees this, or is seen below.
	i.throttled.Store(int32(cpu))
	if i.load.Load() != 0 {
		r.unthrottleNow(s, i)
		return
	}
	if err := r.cfg.Throttler.Throttle(ctx, i.Instance, cpu); err != nil {
		r.cfg.Log.Debug("cannot bound the processor time of an instance", "service", s.id, "instance", i.Instance, "err", err)
		r.unthrottleNow(s, i)
	}
}

// unthrottle gives an instance the processor time of its service again.
func (r *Router) unthrottle(s *Service, i *instance) {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	r.unthrottleNow(s, i)
}

// unthrottleNow is unthrottle for a caller that has the turn.
func (r *Router) unthrottleNow(s *Service, i *instance) {
	if i.throttled.Load() == 0 {
		return
	}
	if err := r.cfg.Throttler.Throttle(context.Background(), i.Instance, 0); err != nil {
		r.cfg.Log.Debug("cannot lift the bound of an instance's processor time", "service", s.id, "instance", i.Instance, "err", err)
	}
	i.throttled.Store(0)
}

// unthrottleUnwanted lifts the bounds of instances that have them by an earlier setting, or
// take no requests. It returns at once.
func (r *Router) unthrottleUnwanted(s *Service) {
	if r.cfg.Throttler == nil {
		return
	}
	cpu := throttleOf(s.Settings().IdleCPU)
	for _, i := range s.instances {
		i.flags.Lock()
		open := i.open
		i.flags.Unlock()
		if t := int(i.throttled.Load()); t != 0 && !i.gone && (t != cpu || !open) {
			go r.unthrottle(s, i)
		}
	}
}
