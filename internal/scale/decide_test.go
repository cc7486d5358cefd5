package scale

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	keeps := Rules{MaxConcurrency: 10, Least: 1, Most: 5}
	sleeps := Rules{MaxConcurrency: 10, Least: 0, Most: 5, StopAfter: time.Minute}
	idle := Observation{Known: true, Idle: time.Minute}
	for _, c := range []struct {
		name string
		r    Rules
		size int
		o    Observation
		want int
	}{
		{"nothing known", keeps, 3, Observation{Now: 100}, 3},
		{"below the minimum", keeps, 0, Observation{}, 1},
		{"above the maximum", keeps, 9, Observation{}, 5},
		{"just enough", keeps, 1, Observation{Known: true, Now: 10}, 1},
		{"one too many", keeps, 1, Observation{Known: true, Now: 11}, 2},
		{"flood", keeps, 1, Observation{Known: true, Now: 1000}, 5},
		{"quiet, not long enough", keeps, 3, Observation{Known: true, CooldownOver: true}, 3},
		{"quiet, just changed", keeps, 3, Observation{Known: true, WindowFull: true}, 3},
		{"quiet", keeps, 3, Observation{Known: true, WindowFull: true, CooldownOver: true}, 2},
		{"quiet but for a peak", keeps, 3, Observation{Known: true, WindowFull: true, CooldownOver: true, Peak: 20.5}, 3},
		{"quiet until now", keeps, 3, Observation{Known: true, WindowFull: true, CooldownOver: true, Now: 25}, 3},
		{"quiet at the minimum", keeps, 1, Observation{Known: true, WindowFull: true, CooldownOver: true}, 1},
		{"idle, but keeps its minimum", keeps, 1, idle, 1},
		{"idle", sleeps, 1, idle, 0},
		{"all go at once", sleeps, 5, idle, 0},
		{"idle, not long enough", sleeps, 1, Observation{Known: true, Idle: 59 * time.Second, WindowFull: true, CooldownOver: true}, 1},
		{"idle until now", sleeps, 1, Observation{Known: true, Idle: time.Hour, Now: 1}, 1},
		{"idle, as far as is known", sleeps, 1, Observation{Idle: time.Hour}, 1},
		{"stopped", sleeps, 0, idle, 0},
		{"stopped, nothing known", sleeps, 0, Observation{}, 0},
		{"stopped, a request", sleeps, 0, Observation{Known: true, Now: 1}, 1},
		{"stopped, a burst", sleeps, 0, Observation{Known: true, Now: 50}, 5},
		{"stopped, and to keep its minimum again", keeps, 0, Observation{}, 1},
		{"too many, the last stays", sleeps, 2, Observation{Known: true, WindowFull: true, CooldownOver: true}, 1},
		{"the last stays", sleeps, 1, Observation{Known: true, WindowFull: true, CooldownOver: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, why := Decide(c.r, c.size, c.o); got != c.want {
				t.Errorf("Decide = %d (%s), want %d", got, why, c.want)
			}
		})
	}
}

func TestDecideProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t, 0)
		size := rapid.IntRange(0, 60).Draw(t, "size")
		o := Observation{
			Known: rapid.Bool().Draw(t, "known"), Now: rapid.IntRange(0, 20_000).Draw(t, "now"), Idle: time.Duration(rapid.IntRange(0, 100).Draw(t, "idle")) * time.Second,
			Peak: rapid.Float64Range(0, 20_000).Draw(t, "peak"), WindowFull: rapid.Bool().Draw(t, "window full"), CooldownOver: rapid.Bool().Draw(t, "cooldown over"),
		}
		got, _ := Decide(r, size, o)
		if got < r.Least || got > r.Most {
			t.Fatalf("%d is outside %d..%d", got, r.Least, r.Most)
		}
		stopped := got == 0
		if stopped && size > 0 && (r.Least > 0 || !o.Known || o.Now > 0 || o.Idle < r.StopAfter || o.Idle == 0) {
			t.Fatalf("stopped %d with %+v by %+v", size, o, r)
		}
		if size == 0 && r.Least == 0 && (got > 0) != (o.Known && o.Now > 0) {
			t.Fatalf("a stopped release gets %d with %+v", got, o)
		}
		inside := size >= r.Least && size <= r.Most
		if inside && !o.Known && got != size {
			t.Fatalf("changed %d to %d without knowing anything", size, got)
		}
		if inside && !stopped && got < size-1 {
			t.Fatalf("shrank from %d to %d at once", size, got)
		}
		more := o
		more.Now += rapid.IntRange(0, 1000).Draw(t, "more")
		if again, _ := Decide(r, size, more); again < got {
			t.Fatalf("%d requests want %d, %d want %d", o.Now, got, more.Now, again)
		}
		o.CooldownOver = false // the size has just changed
		if again, why := Decide(r, got, o); again != got && inside {
			t.Fatalf("decided %d, then %d: %s", got, again, why)
		}
	})
}
