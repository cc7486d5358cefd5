package router

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

func TestOutlookOf(t *testing.T) {
	t.Parallel()
	now := t0.Add(time.Hour)
	active := slipway.Release{ID: "rel", Size: 1}
	instance := func(state slipway.InstanceState, age time.Duration) slipway.Instance {
		return slipway.Instance{ReleaseID: "rel", State: state, CreatedAt: now.Add(-age)}
	}
	// crashes returns instances that ended in a row, the last one some time ago.
	crashes := func(n int, ago time.Duration) (list []slipway.Instance) {
		for k := range n {
			at := now.Add(-ago - time.Duration(n-1-k)*time.Minute)
			list = append(list, slipway.Instance{ID: fmt.Sprint(k), ReleaseID: "rel", State: slipway.InstanceEnded, CreatedAt: at, EndedAt: at, Exit: &slipway.Exit{Code: 7}})
		}
		return list
	}
	steady := instance(slipway.InstanceEnded, time.Hour)
	steady.ReadyAt, steady.EndedAt, steady.Exit = steady.CreatedAt.Add(40*time.Second), now, &slipway.Exit{}
	resume := slipway.ServiceView{Live: &slipway.Operation{Kind: slipway.ResumeService}}
	for name, c := range map[string]struct {
		route store.Route
		want  Outlook
	}{
		"ready":                   {store.Route{Instances: []slipway.Instance{instance(slipway.InstanceReady, 0)}}, Outlook{}},
		"just starting":           {store.Route{Instances: []slipway.Instance{instance(slipway.InstanceStarting, time.Second)}}, Outlook{Until: now.Add(29 * time.Second)}},
		"resuming":                {store.Route{Service: resume, Instances: []slipway.Instance{instance(slipway.InstanceStarting, time.Minute)}}, Outlook{}},
		"all unhealthy":           {store.Route{Instances: []slipway.Instance{instance(slipway.InstanceUnhealthy, time.Hour)}}, Outlook{Until: now.Add(30 * time.Second)}},
		"one crash":               {store.Route{Ended: crashes(1, 0)}, Outlook{From: now.Add(-2 * time.Second), Until: now.Add(31 * time.Second), Next: now.Add(time.Second)}},
		"seven crashes":           {store.Route{Ended: crashes(7, 0)}, Outlook{From: now.Add(61 * time.Second), Until: now.Add(69 * time.Second), Next: now.Add(64 * time.Second)}},
		"seven crashes, starting": {store.Route{Ended: crashes(7, time.Minute), Instances: []slipway.Instance{instance(slipway.InstanceStarting, time.Second)}}, Outlook{Until: now.Add(4 * time.Second)}},
		"seven crashes, due":      {store.Route{Ended: crashes(7, time.Hour)}, Outlook{Until: now.Add(5 * time.Second)}},
		"slow to start":           {store.Route{Ended: []slipway.Instance{steady}}, Outlook{Until: now.Add(80 * time.Second)}},
		"another release's":       {store.Route{Instances: []slipway.Instance{{ReleaseID: "old", State: slipway.InstanceReady}}}, Outlook{Until: now.Add(30 * time.Second)}},
	} {
		if d := cmp.Diff(c.want, outlookOf(c.route, active, now)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Requests wait while an instance is about to be ready, and are refused when none is:
// those that come then, and those that wait already.
func TestHopelessRequestsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newTestGate(0, 1)
		refused := func() int {
			_, err := g.acquire(t.Context(), false)
			e, ok := errors.AsType[*NotReadyError](err)
			if !ok {
				t.Fatalf("acquire: %v", err)
			}
			return e.RetryAfter
		}
		now := time.Now()
		set := func(o Outlook) { g.set(&view{limit: 1, queue: 10, outlook: o}) }
		set(Outlook{From: now.Add(37 * time.Second), Until: now.Add(45 * time.Second), Next: now.Add(40 * time.Second)})
		if s := refused(); s != 40 {
			t.Errorf("Retry-After is %d, want 40", s)
		}
		time.Sleep(38 * time.Second) // the next start is near: requests wait, until it has had its time
		if s := refused(); s != retryLater || time.Since(now) != 45*time.Second {
			t.Errorf("refused after %v with Retry-After %d", time.Since(now), s)
		}
		// One that waits is refused when the last instance has ended once more.
		set(Outlook{Until: time.Now().Add(time.Hour)})
		waiting := make(chan error, 1)
		go func() { _, err := g.acquire(context.Background(), false); waiting <- err }()
		synctest.Wait()
		set(Outlook{From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour), Next: time.Now().Add(time.Hour)})
		if e, ok := errors.AsType[*NotReadyError](<-waiting); !ok || e.RetryAfter != retryMost {
			t.Errorf("a waiting request got %v", e)
		}
		// An instance that becomes ready serves again.
		g.set(&view{limit: 1, queue: 10, instances: []*instance{{}}, outlook: Outlook{From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)}})
		mustAcquire(t, g)
	})
}

// The router learns from the store that the service's instances have ended.
func TestCrashLoopIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.run()
		rel := b.release("rel")
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, rel.ID) })
		for n := range 7 {
			b.update(func(tx *store.Tx) error {
				return tx.PutInstance(slipway.Instance{
					ID: fmt.Sprint("i", n), ServiceID: b.service.ID, ReleaseID: rel.ID, State: slipway.InstanceEnded,
					CreatedAt: time.Now(), EndedAt: time.Now(), Exit: &slipway.Exit{Code: 7},
				})
			})
		}
		_, err := b.router.table.Load().byHost.get(RouteKey{Host: b.host()}).Admit(t.Context(), false)
		if e, ok := errors.AsType[*NotReadyError](err); !ok || e.RetryAfter != 64 {
			t.Errorf("Admit: %v, want a refusal for 64 s", err)
		}
	})
}
