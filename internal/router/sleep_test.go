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

// freezers is a Freezer of instances without processes.
type freezers struct {
	t      *testing.T
	mu     sync.Mutex // guards all
	frozen map[string]bool
	calls  []string
	takes  time.Duration
	err    error
}

func (f *freezers) set(id string, on bool) error {
	time.Sleep(f.takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.frozen[id] = on
	if on {
		f.calls = append(f.calls, "freeze "+id)
	} else {
		f.calls = append(f.calls, "thaw "+id)
	}
	return nil
}

func (f *freezers) Freeze(_ context.Context, id string) error { return f.set(id, true) }
func (f *freezers) Thaw(_ context.Context, id string) error   { return f.set(id, false) }

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

// sleeping runs a test of a router whose service sleeps after 10 seconds.
func sleeping(t *testing.T, instances []string, test func(r *Router, s *Service, f *freezers)) {
	synctest.Test(t, func(t *testing.T) {
		f := &freezers{t: t, frozen: map[string]bool{}, takes: time.Millisecond}
		r, err := New(Config{Log: slog.New(slog.DiscardHandler), Suffix: "test", Freezer: f})
		if err != nil {
			t.Fatal(err)
		}
		rt := Route{Service: "svc", Keys: []RouteKey{{Host: "a.test"}}, MaxConcurrency: 1, Settings: slipway.RoutingSettings{SleepAfter: 10 * time.Second}}
		for _, id := range instances {
			rt.Instances = append(rt.Instances, Endpoint{ID: id, Open: true})
		}
		r.Apply([]Route{rt}, 1)
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

// A burst wakes as many as it needs.
func TestBurstWakesAll(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a", "b", "c"}, func(r *Router, s *Service, f *freezers) {
		time.Sleep(15 * time.Second)
		var leases [3]Lease
		var all sync.WaitGroup
		for i := range leases {
			all.Go(func() { leases[i] = f.request(s) })
		}
		all.Wait()
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep while three requests are served, one by each", n)
		}
		for _, l := range leases {
			l.Release(Done)
		}
	})
}

// A request that comes while an instance is being frozen gets it as soon as it runs again.
func TestRequestDuringFreeze(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		f.takes = 3 * time.Second
		time.Sleep(12 * time.Second) // the freeze has begun
		f.request(s).Release(Done)
	})
}

// Without the setting nothing sleeps; what cannot be frozen serves on; what an earlier
// process has frozen is thawed for the first request; and a table that changes keeps
// sleepers asleep.
func TestSleepingCorners(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		f.mu.Lock()
		f.err = errors.New("no")
		f.mu.Unlock()
		time.Sleep(time.Minute)
		f.request(s).Release(Done)
		f.mu.Lock()
		f.err = nil
		f.frozen["old"] = true
		f.mu.Unlock()
		rt := Route{Service: "svc", Keys: []RouteKey{{Host: "a.test"}}, MaxConcurrency: 1, Instances: []Endpoint{{ID: "old", Open: true}}}
		r.Apply([]Route{rt}, 2)
		if l := f.request(s); l.Target.Instance != "old" {
			f.t.Errorf("the request got %+v", l.Target)
		} else {
			l.Release(Done)
		}
		time.Sleep(time.Hour)
		if n := f.count(); n != 0 {
			f.t.Errorf("%d instances sleep without the setting", n)
		}
		rt.Settings.SleepAfter = time.Second
		r.Apply([]Route{rt}, 3)
		time.Sleep(5 * time.Second)
		if n := f.count(); n != 1 {
			f.t.Errorf("%d instances sleep, want 1", n)
		}
		rt.Instances = append(rt.Instances, Endpoint{ID: "new", Open: true})
		r.Apply([]Route{rt}, 4)
		if l := f.request(s); l.Target.Instance != "new" {
			f.t.Errorf("the request got %+v, while another is awake", l.Target)
		} else {
			l.Release(Done)
		}
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
