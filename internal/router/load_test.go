package router

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

var t0 = time.Unix(1_800_000_000, 0).UTC()

// storeFixture is a store with one service and a router that follows it, in a
// synctest bubble.
type storeFixture struct {
	t       *testing.T
	store   *store.Store
	router  *Router
	service slipway.Service
}

func newStoreFixture(t *testing.T) *storeFixture {
	s := storetest.Memory(t)
	t.Cleanup(func() { s.Close() })
	b := &storeFixture{t: t, store: s}
	var err error
	b.router, err = New(Config{Store: s, Log: slog.New(slog.DiscardHandler), Suffix: "us-east-1.slipway.test"})
	if err != nil {
		t.Fatal(err)
	}
	b.service = slipway.Service{
		ID: slipway.NewID(), Name: "shop", ARN: "arn", Label: "abcdefghij",
		Wanted: slipway.WantedRunning, CreatedAt: t0, UpdatedAt: t0,
	}
	b.update(func(tx *store.Tx) error { return tx.InsertService(b.service) })
	return b
}

// run follows the store until the test ends.
func (b *storeFixture) run() {
	go b.router.Run(b.t.Context())
	synctest.Wait()
}

func (b *storeFixture) update(f func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *storeFixture) release(id string) slipway.Release {
	r := slipway.Release{
		ID: id, ServiceID: b.service.ID, Desired: slipway.DesiredRun, Size: 1, Workload: slipway.Workload{Port: 8080},
		Scaling: slipway.Scaling{MaxConcurrency: 2, MinSize: 1, MaxSize: 5}, CreatedAt: t0,
	}
	b.update(func(tx *store.Tx) error { return tx.InsertRelease(r) })
	return r
}

func (b *storeFixture) put(id, release string, state slipway.InstanceState) {
	b.update(func(tx *store.Tx) error {
		return tx.PutInstance(slipway.Instance{ID: id, ServiceID: b.service.ID, ReleaseID: release, State: state, CreatedAt: t0})
	})
}

func (b *storeFixture) host() string { return b.service.Label + ".us-east-1.slipway.test" }

// open returns the ids of the instances that take requests.
func (b *storeFixture) open() (ids []string) {
	s := b.router.table.Load().byHost.get(RouteKey{Host: b.host()})
	if s == nil {
		return nil
	}
	for _, i := range s.gate.view.Load().instances {
		ids = append(ids, i.Instance)
	}
	return ids
}

func (b *storeFixture) claim() *instance {
	b.t.Helper()
	i, err := b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).gate.acquire(b.t.Context(), false)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

func (b *storeFixture) drained(target string) (ok bool) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) {
		ok, err = tx.Drained(target, time.Hour)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return ok
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	s := storetest.Memory(t)
	defer s.Close()
	log := slog.New(slog.DiscardHandler)
	for name, cfg := range map[string]Config{
		"nothing":   {},
		"no log":    {Store: s, Suffix: "a.test"},
		"no suffix": {Store: s, Log: log},
		"no domain": {Store: s, Log: log, Suffix: "a b"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTableFollowsTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.run()
		steps := []struct {
			name string
			do   func(tx *store.Tx) error
			open []string
		}{
			{"starting", func(tx *store.Tx) error { return put(tx, b, "a", slipway.InstanceStarting) }, nil},
			{"ready but not routed", func(tx *store.Tx) error { return put(tx, b, "a", slipway.InstanceReady) }, nil},
			{"routed", func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") }, []string{"a"}},
			{"one more", func(tx *store.Tx) error { return put(tx, b, "b", slipway.InstanceReady) }, []string{"a", "b"}},
			{"unhealthy", func(tx *store.Tx) error { return put(tx, b, "a", slipway.InstanceUnhealthy) }, []string{"b"}},
			{"healthy again", func(tx *store.Tx) error { return put(tx, b, "a", slipway.InstanceReady) }, []string{"a", "b"}},
			{"draining", func(tx *store.Tx) error { return put(tx, b, "b", slipway.InstanceDraining) }, []string{"a"}},
			{"ended", func(tx *store.Tx) error { return put(tx, b, "b", slipway.InstanceEnded) }, []string{"a"}},
			{"release drains", func(tx *store.Tx) error { return tx.SetDesired(rel, slipway.DesiredDrain) }, nil},
			{"release runs again", func(tx *store.Tx) error { return tx.SetDesired(rel, slipway.DesiredRun) }, []string{"a"}},
			{"paused", func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedPaused, t0) }, nil},
			{"resumed", func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedRunning, t0) }, []string{"a"}},
		}
		for _, s := range steps {
			b.update(s.do)
			if d := cmp.Diff(s.open, b.open()); d != "" {
				t.Errorf("%s: open instances (-want +got):\n%s", s.name, d)
			}
		}
		if r := b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).gate.view.Load(); r.limit != 2 {
			t.Errorf("limit %d, want the release's MaxConcurrency", r.limit)
		}
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedDeleted, t0) })
		if got := b.router.table.Load(); got.byHost.len() != 0 || got.byID.len() != 0 {
			t.Errorf("a deleted service is still in the table: %v", got)
		}
	})
}

func put(tx *store.Tx, b *storeFixture, id string, state slipway.InstanceState) error {
	return tx.PutInstance(slipway.Instance{ID: id, ServiceID: b.service.ID, ReleaseID: "rel", State: state, CreatedAt: t0})
}

func TestDrainIsReportedWhenNothingIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.put("b", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		b.run()
		x, y := b.claim(), b.claim()
		if x == y {
			t.Fatalf("both requests on %s", x.Instance)
		}
		b.put(x.Instance, "rel", slipway.InstanceDraining)
		if b.drained(x.Instance) {
			t.Fatal("an instance with a request in flight is reported")
		}
		x2 := b.claim()
		if x2 == x {
			t.Fatal("a draining instance got a request")
		}
		gate := b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).gate
		gate.release(x)
		synctest.Wait()
		if !b.drained(x.Instance) {
			t.Error("a drained instance is not reported")
		}
		b.update(func(tx *store.Tx) error { return tx.SetDesired(rel, slipway.DesiredDrain) })
		gate.release(y)
		synctest.Wait()
		if b.drained("rel") {
			t.Error("a release with a request in flight is reported")
		}
		gate.release(x2)
		synctest.Wait()
		if !b.drained("rel") {
			t.Error("a drained release is not reported")
		}
	})
}

// An instance that is gone from the store counts for its release while it has a
// request in flight.
func TestGoneInstanceStillCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		b.run()
		i := b.claim()
		gate := b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).gate
		b.put("a", "rel", slipway.InstanceEnded)
		b.update(func(tx *store.Tx) error { return tx.SetDesired(rel, slipway.DesiredDrain) })
		if b.drained("rel") {
			t.Error("reported with a request in flight")
		}
		gate.release(i)
		synctest.Wait()
		if !b.drained("rel") {
			t.Error("not reported")
		}
		s := b.router.services[b.service.ID]
		if len(s.instances) != 0 {
			t.Errorf("%d instances are kept", len(s.instances))
		}
	})
}

// A release that ran again and drains another time is reported again, not by
// its old report.
func TestDrainIsReportedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		b.run()
		drain := func(d slipway.Desired) { b.update(func(tx *store.Tx) error { return tx.SetDesired(rel, d) }) }
		drain(slipway.DesiredDrain)
		if !b.drained("rel") {
			t.Fatal("not reported")
		}
		drain(slipway.DesiredRun)
		i := b.claim()
		drain(slipway.DesiredDrain)
		if b.drained("rel") {
			t.Error("reported with a request in flight, after it ran again")
		}
		b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).gate.release(i)
		synctest.Wait()
		if !b.drained("rel") {
			t.Error("not reported again")
		}
	})
}

// A release that was taken back in the meantime is not reported.
func TestDrainTakenBackIsNotReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.release("rel") // which is to run
		b.update(func(tx *store.Tx) error {
			done, err := b.router.reportOf(tx, b.service.ID, []string{"rel"})
			if len(done) != 0 {
				t.Errorf("reported %v, which is to run", done)
			}
			return errors.Join(err, tx.PutRouter(b.router.id, 0, time.Now()))
		})
		if b.drained("rel") {
			t.Error("the word was given")
		}
		b.update(func(tx *store.Tx) error {
			done, err := b.router.reportOf(tx, "forgotten", []string{"x"})
			if len(done) != 1 {
				t.Errorf("a forgotten service's words are kept: %v", done)
			}
			return err
		})
	})
}

// A deleted service is forgotten, even if it was never drained.
func TestDeletedServiceIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		rel := b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		b.run()
		i := b.claim()
		gate := b.router.services[b.service.ID].gate
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.SetWanted(b.service.ID, slipway.WantedDeleted, t0), tx.SetDesired(rel, slipway.DesiredDrain))
		})
		if b.drained("rel") || len(b.router.services) != 1 {
			t.Error("a deleted service with a request in flight is forgotten")
		}
		gate.release(i)
		synctest.Wait()
		if !b.drained("rel") {
			t.Error("not reported")
		}
		b.put("a", "rel", slipway.InstanceEnded)
		if len(b.router.services) != 0 {
			t.Error("a deleted service is kept")
		}
	})
}

// The router writes its first heartbeat before it serves, and then regularly.
func TestRouterShowsThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		if !b.drained("rel") {
			t.Fatal("without a router nothing is in flight")
		}
		b.run()
		if b.drained("rel") {
			t.Error("a router that runs is not known")
		}
		for range 10 {
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if err := b.store.View(t.Context(), func(tx *store.Tx) error {
				silent, err := tx.Drained("rel", 6*time.Second)
				if silent {
					t.Error("no sign of life for 6 s")
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTableSharesWhatDidNotChange(t *testing.T) {
	t.Parallel()
	a := &Service{id: "a", keys: public("a.test", "www.a.test")}
	b := &Service{id: "b", keys: public("b.test")}
	empty := newTable()
	one := empty.with([]*Service{a, b}, nil)
	if empty.byHost.len() != 0 || one.byHost.get(RouteKey{Host: "www.a.test"}) != a || one.byHost.get(RouteKey{Host: "b.test"}) != b || one.service("b") != b {
		t.Errorf("tables %v and %v", empty, one)
	}
	if one.with(nil, nil) != one {
		t.Error("copied although nothing changed")
	}
	a.keys = public("a.test")
	two := one.with([]*Service{a}, []*Service{b})
	if d := cmp.Diff([]int{1, 1, 3, 2}, []int{two.byHost.len(), two.byID.len(), one.byHost.len(), one.byID.len()}); d != "" {
		t.Errorf("tables of wrong size (-want +got):\n%s", d)
	}
}

func TestDemandIsIntegrated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.release("rel")
		b.put("a", "rel", slipway.InstanceReady)
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		if _, _, _, ok := b.router.Demand(b.service.ID); ok {
			t.Error("known before the first table")
		}
		b.run()
		area := func() float64 {
			t.Helper()
			_, _, a, ok := b.router.Demand(b.service.ID)
			if !ok {
				t.Fatal("unknown")
			}
			return a
		}
		gate := b.router.services[b.service.ID].gate
		before := area()
		x, y := b.claim(), b.claim()
		go gate.acquire(t.Context(), false)
		synctest.Wait()
		if f, q, _, _ := b.router.Demand(b.service.ID); f != 2 || q != 1 {
			t.Errorf("%d in flight, %d waiting; want 2 and 1", f, q)
		}
		time.Sleep(10 * time.Second)
		if d := area() - before; d < 29.9 || d > 30.1 {
			t.Errorf("10 s of 3 requests are %v request-seconds", d)
		}
		gate.release(x)
		gate.release(y)
		synctest.Wait()
		before = area()
		time.Sleep(10 * time.Second)
		if d := area() - before; d < 9.9 || d > 10.1 {
			t.Errorf("10 s of 1 request are %v request-seconds", d)
		}
	})
}

func TestApplyScales(t *testing.T) {
	t.Parallel()
	r := newRouter(Config{Log: slog.New(slog.DiscardHandler)})
	var routes []Route
	for n := range 1000 {
		routes = append(routes, Route{Service: fmt.Sprint("s", n), Keys: public(fmt.Sprintf("s%d.test", n)), MaxConcurrency: 1})
	}
	r.Apply(routes, 1)
	first := r.table.Load()
	routes[7].Instances = []Endpoint{{ID: "i", Open: true}}
	r.Apply(routes[7:8], 2)
	if r.table.Load() != first {
		t.Error("an instance's coming copied the whole table")
	}
	if n := len(first.byHost.get(RouteKey{Host: "s7.test"}).gate.view.Load().instances); n != 1 {
		t.Errorf("%d instances, want 1", n)
	}
}
