package router

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
)

// freezers is a Freezer and Throttler of instances without processes.
type freezers struct {
	t      *testing.T
	mu     sync.Mutex // guards all
	frozen map[string]bool
	bound  map[string]int
	calls  []string
	takes  time.Duration
	err    error
	stuck  string // id of an instance that no thaw thaws
}

func (f *freezers) set(ctx context.Context, id string, on bool) error {
	f.mu.Lock()
	takes := f.takes
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if !on && id == f.stuck {
		return errors.New("it stays frozen")
	}
	f.frozen[id] = on
	if on {
		f.calls = append(f.calls, "freeze "+id)
	} else {
		f.calls = append(f.calls, "thaw "+id)
	}
	return nil
}

func (f *freezers) fails(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *freezers) Freeze(ctx context.Context, id string) error { return f.set(ctx, id, true) }
func (f *freezers) Thaw(ctx context.Context, id string) error   { return f.set(ctx, id, false) }

func (f *freezers) Throttle(_ context.Context, id string, cpu int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bound[id] = cpu
	return nil
}

// throttled returns what the processor time of an instance is bounded by.
func (f *freezers) throttled(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bound[id]
}

func (f *freezers) Frozen(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frozen[id]
}

// count returns how many instances are frozen.
func (f *freezers) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, on := range f.frozen {
		if on {
			n++
		}
	}
	return n
}

// request asks for a lease, and fails the test if its instance is frozen.
func (f *freezers) request(s *Service) Lease {
	f.t.Helper()
	l, err := s.Admit(f.t.Context(), false)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.Frozen(l.Target.Instance) {
		f.t.Errorf("a request got %s, which is frozen", l.Target.Instance)
	}
	return l
}

// sleepy is the route of a service that sleeps after a while.
func sleepy(after time.Duration, instances ...string) Route {
	rt := Route{Service: "svc", Keys: []RouteKey{{Host: "a.test"}}, MaxConcurrency: 1, Settings: slipway.RoutingSettings{SleepAfter: after}}
	for _, id := range instances {
		rt.Instances = append(rt.Instances, Endpoint{ID: id, Open: true})
	}
	return rt
}

// sleeping runs a test of a router whose service sleeps after 10 seconds.
func sleeping(t *testing.T, instances []string, test func(r *Router, s *Service, f *freezers)) {
	synctest.Test(t, func(t *testing.T) {
		f := &freezers{t: t, frozen: map[string]bool{}, bound: map[string]int{}, takes: time.Millisecond}
		r, err := New(Config{Log: slog.New(slog.DiscardHandler), Suffix: "test", Freezer: f, Throttler: f})
		if err != nil {
			t.Fatal(err)
		}
		r.Apply([]Route{sleepy(10*time.Second, instances...)}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		test(r, r.Find(RouteKey{Host: "a.test"}), f)
		cancel()
		<-done
	})
}

// A service sleeps after a time without requests, also if it never had one, and each
// request finds it awake.
func TestServiceSleeps(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b"}, func(r *Router, s *Service, f *freezers) {
		time.Sleep(9 * time.Second)
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep too early", n)
		}
		time.Sleep(5 * time.Second)
		if n := f.count(); n != 2 {
			f.t.Fatalf("%d instances sleep, want 2", n)
		}
		began := time.Now()
		l := f.request(s)
		if took := time.Since(began); took != f.takes {
			f.t.Errorf("the request waited %v, a thaw takes %v", took, f.takes)
		}
		if n := f.count(); n != 1 {
			f.t.Errorf("%d instances sleep while one works", n)
		}
		// One that lasts keeps its instance awake.
		time.Sleep(time.Hour)
		if f.Frozen(l.Target.Instance) {
			f.t.Error("an instance with a request sleeps")
		}
		l.Release(Done)
		time.Sleep(15 * time.Second)
		if n := f.count(); n != 2 {
			f.t.Errorf("%d instances sleep afterwards, want 2", n)
		}
		// Requests that come now and then keep it awake.
		for range 100 {
			f.request(s).Release(Done)
			time.Sleep(5 * time.Second)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.calls); n > 12 {
			f.t.Errorf("%d calls, the last are %v: it sleeps between requests", n, f.calls[n-5:])
		}
	})
}

// A burst wakes as many as it needs: the one that its first request needs, and then the
// others at the same time.
func TestBurstWakesAll(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b", "c", "d", "e"}, func(r *Router, s *Service, f *freezers) {
		time.Sleep(15 * time.Second)
		var leases [5]Lease
		var all sync.WaitGroup
		began := time.Now()
		for i := range leases {
			all.Go(func() { leases[i] = f.request(s) })
		}
		all.Wait()
		if took := time.Since(began); took > 2*f.takes {
			f.t.Errorf("five requests waited %v, two thaws take %v", took, 2*f.takes)
		}
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep while five requests are served, one by each", n)
		}
		for _, l := range leases {
			l.Release(Done)
		}
	})
}

// A request that needs one instance wakes one, and the next one if that stays frozen.
func TestStuckInstance(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b", "c"}, func(r *Router, s *Service, f *freezers) {
		time.Sleep(15 * time.Second)
		f.mu.Lock()
		f.stuck = "a"
		f.mu.Unlock()
		began := time.Now()
		l := f.request(s)
		if took := time.Since(began); took != 2*f.takes {
			f.t.Errorf("the request waited %v, two thaws take %v", took, 2*f.takes)
		}
		if n := f.count(); n != 2 || l.Target.Instance != "b" {
			f.t.Errorf("%s serves, and %d instances sleep: want b and 2", l.Target.Instance, n)
		}
		l.Release(Done)
	})
}

// The heir of another router's requests freezes nothing until it knows of them, and what
// rests since then afterwards.
func TestHeirSleepsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &freezers{t: t, frozen: map[string]bool{}, bound: map[string]int{}}
		r, err := New(Config{Log: slog.New(slog.DiscardHandler), Suffix: "test", Freezer: f, Heir: true})
		if err != nil {
			t.Fatal(err)
		}
		r.Apply([]Route{sleepy(time.Second, "a")}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		if n := f.count(); n != 0 {
			t.Errorf("%d instances sleep, which may have requests of the elder", n)
		}
		close(r.settled)
		time.Sleep(5 * time.Second)
		if n := f.count(); n != 1 {
			t.Errorf("%d instances sleep afterwards, want 1", n)
		}
		cancel()
		<-done
	})
}

// A request that comes while an instance is being frozen does not wait for that. One whose
// instance could not be frozen gets it.
func TestRequestDuringFreeze(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		f.mu.Lock()
		f.takes = 3 * time.Second
		f.mu.Unlock()
		time.Sleep(12 * time.Second) // the freeze has begun
		began := time.Now()
		l := f.request(s)
		if took := time.Since(began); took != 0 {
			f.t.Errorf("the request waited %v for a freeze that need not end", took)
		}
		l.Release(Done)
		f.fails(errors.New("no"))
		time.Sleep(12 * time.Second)
		began = time.Now()
		f.request(s).Release(Done)
		if took := time.Since(began); took != 0 {
			f.t.Errorf("the request waited %v for a freeze that fails", took)
		}
	})
}

// A service whose setting is gone is thawed at once, also if an earlier process has frozen
// it; so is an instance that takes no requests, whose health is to be checked. A table that
// changes otherwise keeps sleepers asleep.
func TestUnwantedSleep(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b"}, func(r *Router, s *Service, f *freezers) {
		time.Sleep(15 * time.Second)
		rt := sleepy(20*time.Second, "a", "b")
		rt.Instances[1].Open = false // unhealthy
		r.Apply([]Route{rt}, 2)
		time.Sleep(time.Second)
		if !f.Frozen("a") || f.Frozen("b") {
			f.t.Errorf("frozen is %v, want a only", f.frozen)
		}
		rt.Settings.SleepAfter = 0
		r.Apply([]Route{rt}, 3)
		time.Sleep(f.takes)
		synctest.Wait()
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep although the setting is gone", n)
		}
		f.mu.Lock()
		f.frozen["old"] = true
		f.mu.Unlock()
		r.Apply([]Route{sleepy(0, "old")}, 4)
		time.Sleep(f.takes)
		synctest.Wait()
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances of an earlier process sleep although the setting is gone", n)
		}
		f.request(s).Release(Done)
		time.Sleep(time.Hour)
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep without the setting", n)
		}
	})
}

// What an earlier process has frozen is thawed for the first request, and a new instance
// that is awake is preferred to one that sleeps.
func TestSleepIsTakenOver(t *testing.T) {
	t.Parallel()
	sleeping(t, nil, func(r *Router, s *Service, f *freezers) {
		f.frozen["old"] = true
		r.Apply([]Route{sleepy(10*time.Second, "old")}, 2)
		time.Sleep(5 * time.Second)
		if !f.Frozen("old") {
			f.t.Error("nobody asked for it, and it was thawed")
		}
		f.request(s).Release(Done)
		time.Sleep(15 * time.Second)
		r.Apply([]Route{sleepy(10*time.Second, "old", "new")}, 3)
		if l := f.request(s); l.Target.Instance != "new" {
			f.t.Errorf("the request got %+v, while another is awake", l.Target)
		} else {
			l.Release(Done)
		}
	})
}

// What cannot be frozen serves on. Of an instance that cannot be thawed requests go to
// another, or wait until it can.
func TestFreezerFails(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		f.fails(errors.New("no"))
		time.Sleep(time.Minute)
		f.request(s).Release(Done)
		f.fails(nil)
		time.Sleep(time.Minute)
		if n := f.count(); n != 1 {
			f.t.Fatalf("%d instances sleep, want 1", n)
		}
		f.fails(errors.New("no"))
		time.AfterFunc(5*time.Second, func() { f.fails(nil) })
		began := time.Now()
		f.request(s).Release(Done)
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			f.t.Errorf("the request waited %v, thawing fails for 5 s", took)
		}
		time.Sleep(15 * time.Second)
		f.fails(errors.New("no"))
		r.Apply([]Route{sleepy(10*time.Second, "a", "b")}, 2)
		if l := f.request(s); l.Target.Instance != "b" {
			f.t.Errorf("the request got %+v, which cannot be thawed", l.Target)
		} else {
			l.Release(Done)
		}
		f.fails(nil)
	})
}

// The instance that a client's cookie names is thawed for it.
func TestStickyInstanceWakes(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b", "c"}, func(r *Router, s *Service, f *freezers) {
		for _, id := range []string{"b", "c", "a"} {
			time.Sleep(15 * time.Second)
			l, ok := s.TryAdmitTo(markOf(id))
			if !ok || l.Target.Instance != id || f.Frozen(id) {
				f.t.Fatalf("the client of %s got %+v, %v", id, l.Target, ok)
			}
			if n := f.count(); n != 2 {
				f.t.Errorf("%d instances sleep, want 2", n)
			}
			if _, ok := s.TryAdmitTo(markOf(id)); ok {
				f.t.Error("a full instance took a request")
			}
			l.Release(Done)
		}
	})
}

// While an instance falls asleep, no table opens it.
func TestAsleepStaysClosed(t *testing.T) {
	t.Parallel()
	i := &instance{}
	i.setOpen(true)
	stop := make(chan struct{})
	var tables sync.WaitGroup
	tables.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				i.setOpen(true)
			}
		}
	})
	for range 200_000 {
		if !i.fallAsleep(nil) {
			t.Fatal("an idle instance does not fall asleep")
		}
		if i.claim(1) {
			t.Fatal("a slot of an instance that falls asleep was claimed")
		}
		i.awake()
	}
	close(stop)
	tables.Wait()
}

// The processor time of an instance is bounded some time after its last request, and no
// more from the next one on.
func TestThrottle(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		rt := sleepy(0, "a")
		r.Apply([]Route{rt}, 2)
		want := func(when string, cpu int) {
			f.t.Helper()
			synctest.Wait()
			if got := f.throttled("a"); got != cpu {
				f.t.Errorf("%s it is bounded by %d, want %d", when, got, cpu)
			}
		}
		time.Sleep(9 * time.Second)
		want("at first", 0)
		time.Sleep(3 * time.Second)
		want("at rest", 51)
		l := f.request(s)
		want("with a request", 0)
		time.Sleep(time.Hour)
		want("with a long request", 0)
		l.Release(Done)
		time.Sleep(8 * time.Second)
		want("just after it", 0)
		time.Sleep(5 * time.Second)
		want("at rest again", 51)
		rt.Settings.IdleCPU = 50
		r.Apply([]Route{rt}, 3)
		time.Sleep(15 * time.Second)
		want("with another setting", 512)
		rt.Settings.IdleCPU = -1
		r.Apply([]Route{rt}, 4)
		want("by the setting", 0)
		time.Sleep(time.Hour)
		want("by the setting, later,", 0)
		rt.Settings = slipway.RoutingSettings{SleepAfter: time.Minute}
		r.Apply([]Route{rt}, 5)
		time.Sleep(30 * time.Second)
		want("before it sleeps", 51)
		time.Sleep(time.Minute)
		want("asleep", 0)
		if !f.Frozen("a") {
			f.t.Error("it does not sleep")
		}
		rt.Settings.SleepAfter = 0
		r.Apply([]Route{rt}, 6)
		time.Sleep(15 * time.Second)
		want("at rest once more", 51)
		rt.Instances[0].Open = false
		r.Apply([]Route{rt}, 7)
		want("when it is ill", 0)
	})
}

// Requests and sleep at random never meet.
func TestSleepUnderLoad(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b", "c", "d"}, func(r *Router, s *Service, f *freezers) {
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				for k := range 200 {
					l := f.request(s)
					time.Sleep(time.Duration((n*7+k*13)%50) * time.Millisecond)
					if f.Frozen(l.Target.Instance) {
						f.t.Errorf("%s sleeps with a request", l.Target.Instance)
					}
					l.Release(Done)
					time.Sleep(time.Duration((n*31+k*17)%40) * time.Second)
				}
			})
		}
		all.Wait()
	})
}
