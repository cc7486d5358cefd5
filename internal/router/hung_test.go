package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

// An instance that answers no request for the time of the setting is told, once, and once
// more when it answers.
func TestHung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, list := newTestGate(1, 10)
		var told []Silence
		g.onHung = func(_ *instance, s Silence) { told = append(told, s) }
		after := func(d time.Duration) {
			g.set(&view{limit: 10, queue: 1000, instances: list, settings: &slipway.RoutingSettings{HungAfter: d}})
		}
		fail := func(o Outcome) {
			i := mustAcquire(t, g)
			Lease{&i.Target, g, i}.Release(o)
		}
		answer := func() {
			i := mustAcquire(t, g)
			l := Lease{&i.Target, g, i}
			l.Answered(500)
			l.Release(Done)
		}
		expect := func(what string, want ...Silence) {
			t.Helper()
			if diff := cmp.Diff(want, told); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			told = nil
		}
		after(0)
		for range 10 {
			fail(Unanswered)
			time.Sleep(time.Minute)
		}
		expect("without the setting")
		answer()

		after(10 * time.Second)
		for range 5 {
			fail(Unanswered)
		}
		expect("too soon")
		time.Sleep(10 * time.Second)
		fail(Done) // its client went away
		expect("a client that went away")
		fail(Unreachable)
		expect("in time", Silence{6, 10 * time.Second})
		time.Sleep(time.Minute)
		fail(Unanswered)
		expect("told before")
		if s, hung := list[0].silence.now(time.Now()); s != (Silence{7, 70 * time.Second}) || !hung {
			t.Errorf("it is known as %+v, hung %v", s, hung)
		}
		answer()
		expect("it answers", Silence{})
		if s, hung := list[0].silence.now(time.Now()); s != (Silence{}) || hung {
			t.Errorf("afterwards it is known as %+v, hung %v", s, hung)
		}
		answer()
		expect("it answers once more")

		fail(Unanswered)
		time.Sleep(time.Hour)
		fail(Unanswered)
		expect("too few")
		answer()
		fail(Unanswered)
		fail(Unanswered)
		expect("with an answer in between")
		time.Sleep(time.Minute)
	})
}
