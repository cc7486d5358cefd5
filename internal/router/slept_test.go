package router

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/store"
)

// The router knows when a service fell asleep, what woke it and how long that took, from
// frozen and from stopped.
func TestSleepIsTold(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		began := time.Now()
		check := func(when string, want Sleep) {
			f.t.Helper()
			synctest.Wait()
			want.Known = began
			got, ok := r.Sleep("svc")
			if d := cmp.Diff(want, got); d != "" || !ok {
				f.t.Errorf("%s (-want +got):\n%s", when, d)
			}
		}
		check("at first", Sleep{})
		time.Sleep(15*time.Second - time.Millisecond)
		frozen := began.Add(11 * time.Second)
		now := time.Now()
		check("frozen", Sleep{State: Frozen, Since: frozen, Slept: now.Sub(frozen)})
		f.takes = 3 * time.Millisecond
		f.request(s).Release(Done)
		wake := Wake{At: now.Add(f.takes), From: Frozen, Slept: now.Sub(frozen), Took: f.takes}
		check("woken", Sleep{Slept: wake.Slept, Frozen: Wakes{1, f.takes}, Last: wake})

		time.Sleep(30 * time.Second)
		s0, _ := r.Sleep("svc")
		rt := Route{Service: "svc", Keys: []RouteKey{{Host: "a.test"}}, MaxConcurrency: 1, Stopped: true, Settings: slipway.RoutingSettings{SleepAfter: 10 * time.Second}}
		r.Apply([]Route{rt}, 2)
		if s1, _ := r.Sleep("svc"); s1.State != Stopped || s1.Since != s0.Since || s0.State != Frozen {
			f.t.Errorf("frozen %+v, then stopped %+v: it is one sleep", s0, s1)
		}
		at := time.Now()
		done := make(chan Lease)
		go func() { done <- f.request(s) }()
		time.Sleep(200 * time.Millisecond)
		rt.Stopped, rt.Instances = false, []Endpoint{{ID: "b", Open: true}}
		r.Apply([]Route{rt}, 3)
		(<-done).Release(Done)
		last := Wake{At: at.Add(200 * time.Millisecond), From: Stopped, Slept: at.Sub(s0.Since), Took: 200 * time.Millisecond}
		check("started", Sleep{Slept: wake.Slept + last.Slept, Frozen: Wakes{1, f.takes}, Stopped: Wakes{1, 200 * time.Millisecond}, Last: last})
		reg := metrics.New()
		if err := reg.Register(r); err != nil {
			f.t.Fatal(err)
		}
		page := httptest.NewRecorder()
		reg.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		for _, want := range []string{
			`slipway_service_wakes_total{from="frozen",name="",service="svc"} 1`, `slipway_service_wakes_total{from="stopped",name="",service="svc"} 1`,
			`slipway_service_wake_seconds_total{from="frozen",name="",service="svc"} 0.003`, `slipway_service_wake_seconds_total{from="stopped",name="",service="svc"} 0.2`,
		} {
			if !strings.Contains(page.Body.String(), want) {
				f.t.Errorf("the metrics lack %s", want)
			}
		}
		if strings.Contains(page.Body.String(), "slipway_service_asleep{") {
			f.t.Error("the metrics say that it sleeps")
		}
		// A deployment ends a sleep, and so does a pause; neither is a wake.
		rt.Stopped, rt.Instances = true, nil
		r.Apply([]Route{rt}, 4)
		time.Sleep(time.Minute)
		rt.Stopped, rt.Instances = false, []Endpoint{{ID: "c", Open: true}}
		r.Apply([]Route{rt}, 5)
		rt.Stopped, rt.Instances = true, nil
		r.Apply([]Route{rt}, 6)
		time.Sleep(time.Minute)
		rt.State = Paused
		r.Apply([]Route{rt}, 7)
		check("paused", Sleep{Slept: wake.Slept + last.Slept + 2*time.Minute, Frozen: Wakes{1, f.takes}, Stopped: Wakes{1, 200 * time.Millisecond}, Last: last})
	})
}

// The median is that of the last wakes.
func TestWakeLogIsBounded(t *testing.T) {
	t.Parallel()
	var w wakeLog
	for n := range 1000 {
		w.add(time.Duration(n+1) * time.Millisecond)
	}
	if got, want := w.wakes(), (Wakes{1000, (1000 - wakeSamples/2) * time.Millisecond}); got != want || len(w.took) != wakeSamples {
		t.Errorf("%+v of %d samples, want %+v", got, len(w.took), want)
	}
}

// A service is idle since its last request has ended, or since the router knows it.
func TestIdle(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		check := func(when string, want time.Duration) {
			f.t.Helper()
			if got := r.Idle("svc"); got < want || got > want+2*sampleEvery {
				f.t.Errorf("%s: idle for %v, want %v", when, got, want)
			}
		}
		time.Sleep(5 * time.Second)
		check("never asked", 5*time.Second)
		l := f.request(s)
		check("with a request", 0)
		time.Sleep(time.Hour)
		check("with a long request", 0)
		l.Release(Done)
		check("just now", 0)
		time.Sleep(3*time.Second + sampleEvery)
		check("3 s later", 3*time.Second)
		f.request(s).Release(Done) // over between two samples
		check("after a short request", 0)
		time.Sleep(time.Second + sampleEvery)
		check("1 s later", time.Second)
		if d := r.Idle("unknown"); d != 0 {
			f.t.Errorf("an unknown service is idle for %v", d)
		}
	})
}

// The services whose demand begins are told once for each time, and those that have none are
// not among them until they have some.
func TestBegan(t *testing.T) {
	t.Parallel()
	sleeping(t, []string{"a"}, func(r *Router, s *Service, f *freezers) {
		check := func(when string, want ...string) {
			f.t.Helper()
			if got := r.Began(); !slices.Equal(got, want) {
				f.t.Errorf("%s: demand of %v has begun, want %v", when, got, want)
			}
		}
		time.Sleep(time.Second)
		check("never asked")
		l := f.request(s)
		check("with a request", "svc")
		time.Sleep(time.Hour)
		check("with a long request")
		l.Release(Done)
		f.request(s).Release(Done) // before its demand was seen to be over
		if r.Idle("svc") != 0 {
			f.t.Error("it is idle, and no demand will begin")
		}
		time.Sleep(time.Second)
		check("idle")
		f.request(s).Release(Done)
		f.request(s).Release(Done)
		time.Sleep(time.Second)
		check("two short requests", "svc")
		check("told already")
	})
}

// A request to a stopped service waits, however long it has been stopped. When the
// instance that was started for it ends by itself it is refused, as one that comes then.
func TestStoppedServiceWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		asked := make(chan string, 10)
		b.router.cfg.OnWait = func(id string) { asked <- id }
		rel := b.release("rel")
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.SetActiveRelease(b.service.ID, rel.ID), tx.SetSize(rel, 0))
		})
		rel.Size = 0
		b.run()
		time.Sleep(time.Hour)
		s := b.router.table.Load().byHost.get(RouteKey{Host: b.host()})
		errs := make(chan error)
		admit := func() { _, err := s.Admit(t.Context(), false); errs <- err }
		go admit()
		if id := <-asked; id != b.service.ID {
			t.Errorf("asked for %q", id)
		}
		b.update(func(tx *store.Tx) error { return tx.SetSize(rel, 1) })
		for n := range 7 {
			b.update(func(tx *store.Tx) error {
				return tx.PutInstance(slipway.Instance{
					ID: string(rune('a' + n)), ServiceID: b.service.ID, ReleaseID: rel.ID, State: slipway.InstanceEnded,
					CreatedAt: time.Now(), EndedAt: time.Now(), Exit: &slipway.Exit{Code: 7},
				})
			})
		}
		if _, ok := errors.AsType[*NotReadyError](<-errs); !ok {
			t.Error("the waiting request was not refused")
		}
		// Stopped again: refused until the next start is near, and then it may wait.
		rel.Size = 1
		b.update(func(tx *store.Tx) error { return tx.SetSize(rel, 0) })
		go admit()
		if e, ok := errors.AsType[*NotReadyError](<-errs); !ok || e.RetryAfter != 64 {
			t.Errorf("a request to the stopped service gets %v", e)
		}
		time.Sleep(62 * time.Second)
		go admit()
		synctest.Wait()
		b.put("good", rel.ID, slipway.InstanceReady)
		if err := <-errs; err != nil {
			t.Errorf("the service works again, but a request gets %v", err)
		}
	})
}
