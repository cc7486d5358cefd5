package router

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/openslipway/slipway"
)

// turns acquires and answers n requests one after another, and counts them by instance.
func turns(t *testing.T, g *gate, n int, status func(*instance) int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		i := mustAcquire(t, g)
		got[i.Instance]++
		g.answered(i, status(i))
		g.release(i)
	}
	return got
}

func TestBadInstanceIsEjected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, list := newTestGate(3, 10)
		var rests []time.Duration
		g.onEject = func(i *instance, _ int32, rest time.Duration) {
			if i != list[1] {
				t.Errorf("%s was ejected", i.Instance)
			}
			rests = append(rests, rest)
		}
		bad := func(i *instance) int {
			if i == list[1] {
				return 500
			}
			return 200
		}
		if got := turns(t, g, 60, bad); got["i1"] != badAnswers {
			t.Errorf("requests by instance %v, want %d to i1", got, badAnswers)
		}
		for range 6 { // each time for twice as long, after one bad answer
			time.Sleep(rests[len(rests)-1] + time.Millisecond)
			if got := turns(t, g, 30, bad); got["i1"] != 1 {
				t.Errorf("requests by instance after an ejection %v, want 1 to i1", got)
			}
		}
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
		for k := range want {
			if rests[k] != want[k]*time.Second {
				t.Errorf("ejected for %v, want %v s", rests, want)
				break
			}
		}
		if n := g.ejections.Load(); n != 7 {
			t.Errorf("%d ejections counted, want 7", n)
		}
		time.Sleep(maxRest + time.Millisecond)
		good := func(*instance) int { return 404 }
		if got := turns(t, g, 30, good); got["i1"] != 10 {
			t.Errorf("requests by instance %v after it answers well, want 10 each", got)
		}
		rests = nil
		turns(t, g, 60, bad)
		if len(rests) != 1 || rests[0] != minRest {
			t.Errorf("ejected for %v after it had answered well, want %v", rests, minRest)
		}
		time.Sleep(maxRest)
	})
}

// Instances that all fail stay, and so does the only one.
func TestCommonFailureEjectsNobody(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5} {
		g, list := newTestGate(n, 10)
		turns(t, g, 100, func(*instance) int { return 503 })
		for _, i := range list {
			if i.ejected.Load() {
				t.Errorf("%s of %d was ejected", i.Instance, n)
			}
		}
	}
}

// However instances answer, at least half of them get requests.
func TestHalfOfTheInstancesStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		g, list := newTestGate(rapid.IntRange(1, 9).Draw(rt, "instances"), 1000)
		failing := map[*instance]bool{}
		for range rapid.IntRange(1, 300).Draw(rt, "answers") {
			i := list[rapid.IntRange(0, len(list)-1).Draw(rt, "instance")]
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				failing[i] = !failing[i]
			case 1:
				g.badAnswer(i)
			default:
				status := 200
				if failing[i] {
					status = 502
				}
				g.answered(i, status)
			}
			ejected := 0
			for _, i := range list {
				if i.ejected.Load() {
					ejected++
				}
			}
			if 2*ejected > len(list) {
				rt.Fatalf("%d of %d are ejected", ejected, len(list))
			}
		}
	})
}

// A new instance beside others gets a growing share, and no request waits for it to.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(Config{Log: slog.New(slog.DiscardHandler)})
		route := Route{Service: "s", Keys: public("s.test"), MaxConcurrency: 40}
		version := int64(0)
		apply := func(ids ...string) {
			route.Instances = nil
			for _, id := range ids {
				route.Instances = append(route.Instances, Endpoint{ID: id, Open: true})
			}
			version++
			r.Apply([]Route{route}, version)
		}
		apply("a", "b")
		g := r.Find(RouteKey{Host: "s.test"}).gate
		// fill takes n slots, gives all back, and returns how many were on each instance.
		fill := func(n int) map[string]int64 {
			var held []*instance
			for range n {
				held = append(held, mustAcquire(t, g))
			}
			load := map[string]int64{}
			for _, i := range g.view.Load().instances {
				load[i.Instance] = i.inFlight()
			}
			for _, i := range held {
				g.release(i)
			}
			return load
		}
		// inTurn sends 3,000 requests one after another. It returns how many an instance got.
		inTurn := func(id string) (got int) {
			for range 3000 {
				i := mustAcquire(t, g)
				if i.Instance == id {
					got++
				}
				g.release(i)
			}
			return got
		}
		if l := fill(20); l["a"] != 10 || l["b"] != 10 {
			t.Errorf("two instances that came together have %v", l)
		}
		apply("a", "b", "y")
		if l := fill(30); l["y"] != 10 {
			t.Errorf("one that came a moment later has %v", l)
		}
		apply("a", "b")
		time.Sleep(slowStart)
		apply("a", "b", "c")
		time.Sleep(time.Millisecond) // not in step with the slow start
		for step := range warmSteps {
			if n, want := inTurn("c"), 100*(step+1); step+1 < warmSteps && (n < want-130 || n > want+130) {
				t.Errorf("after %d s of its slow start the new instance gets %d of 3000 requests, want about %d", step, n, want)
			}
			time.Sleep(slowStart / warmSteps)
		}
		time.Sleep(time.Second)
		if n := inTurn("c"); n != 1000 {
			t.Errorf("after its slow start it gets %d of 3000 requests", n)
		}
		apply("a", "b", "c", "d")
		if l := fill(4 * 40); l["d"] != 40 {
			t.Errorf("when all others are full the new instance has %d of 40", l["d"])
		}
		time.Sleep(2 * slowStart)
		route.Settings = slipway.RoutingSettings{SlowStart: -1}
		apply("a", "b", "c", "d", "e")
		if l := fill(50); l["e"] != 10 {
			t.Errorf("without a slow start the new instance has %v", l)
		}
		route.Settings = slipway.RoutingSettings{}
		apply("x", "z") // as after a deployment
		if l := fill(20); l["x"] != 10 || l["z"] != 10 {
			t.Errorf("instances that replace all others have %v", l)
		}
		time.Sleep(2 * slowStart)
	})
}
