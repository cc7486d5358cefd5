package router

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIntake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(Config{Log: slog.New(slog.DiscardHandler), QueueLeast: 7})
		if _, ok := r.Intake("s"); ok {
			t.Error("an unknown service takes requests")
		}
		route := Route{Service: "s", Keys: public("s.test"), MaxConcurrency: 2}
		r.Apply([]Route{route}, 1)
		route.Instances = []Endpoint{{ID: "a", Open: true}}
		r.Apply([]Route{route}, 2)
		time.Sleep(slowStart)
		route.Instances = append(route.Instances, Endpoint{ID: "b", Open: true})
		r.Apply([]Route{route}, 3)
		g := r.Find(RouteKey{Host: "s.test"}).gate
		for range 4 {
			mustAcquire(t, g)
		}
		g.badAnswer(g.view.Load().instances[0])
		go g.acquire(t.Context(), false)
		synctest.Wait()
		in, ok := r.Intake("s")
		if d := cmp.Diff(Intake{Limit: 2, Waiting: 1, MaxQueue: 40, Instances: []InstanceIntake{
			{ID: "a", InFlight: 2, Share: 100, Failures: 1}, {ID: "b", InFlight: 2, Share: 10},
		}}, in); d != "" || !ok {
			t.Errorf("intake (-want +got):\n%s", d)
		}
		route.State, route.Instances = Paused, nil
		r.Apply([]Route{route}, 4)
		if in, _ := r.Intake("s"); !errors.Is(in.Refuses, ErrPaused) || len(in.Instances) > 0 {
			t.Errorf("a paused service: %+v", in)
		}
		route.State, route.Outlook = Running, Outlook{Until: time.Now().Add(-time.Second)}
		r.Apply([]Route{route}, 5)
		var e *NotReadyError
		if in, _ := r.Intake("s"); !errors.As(in.Refuses, &e) {
			t.Errorf("a service whose instances do not come: %+v", in)
		}
		time.Sleep(2 * slowStart)
	})
}
