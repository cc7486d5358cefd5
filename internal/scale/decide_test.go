package scale

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/openslipway/slipway"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	s := slipway.Scaling{MaxConcurrency: 10, MinSize: 1, MaxSize: 5}
	for _, c := range []struct {
		name string
		size int
		o    Observation
		want int
	}{
		{"nothing known", 3, Observation{Now: 100}, 3},
		{"below the minimum", 0, Observation{}, 1},
		{"above the maximum", 9, Observation{}, 5},
		{"just enough", 1, Observation{Known: true, Now: 10}, 1},
		{"one too many", 1, Observation{Known: true, Now: 11}, 2},
		{"flood", 1, Observation{Known: true, Now: 1000}, 5},
		{"quiet, not long enough", 3, Observation{Known: true, CooldownOver: true}, 3},
		{"quiet, just changed", 3, Observation{Known: true, WindowFull: true}, 3},
		{"quiet", 3, Observation{Known: true, WindowFull: true, CooldownOver: true}, 2},
		{"quiet but for a peak", 3, Observation{Known: true, WindowFull: true, CooldownOver: true, Peak: 20.5}, 3},
		{"quiet until now", 3, Observation{Known: true, WindowFull: true, CooldownOver: true, Now: 25}, 3},
		{"quiet at the minimum", 1, Observation{Known: true, WindowFull: true, CooldownOver: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, why := Decide(s, c.size, c.o); got != c.want {
				t.Errorf("Decide = %d (%s), want %d", got, why, c.want)
			}
		})
	}
}

func TestDecideProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := slipway.Scaling{MaxConcurrency: rapid.IntRange(1, 200).Draw(t, "concurrency"), MinSize: rapid.IntRange(1, 25).Draw(t, "min")}
		s.MaxSize = rapid.IntRange(s.MinSize, 50).Draw(t, "max")
		size := rapid.IntRange(0, 60).Draw(t, "size")
		o := Observation{
			Known: rapid.Bool().Draw(t, "known"), Now: rapid.IntRange(0, 20_000).Draw(t, "now"),
			Peak: rapid.Float64Range(0, 20_000).Draw(t, "peak"), WindowFull: rapid.Bool().Draw(t, "window full"), CooldownOver: rapid.Bool().Draw(t, "cooldown over"),
		}
		got, _ := Decide(s, size, o)
		if got < s.MinSize || got > s.MaxSize {
			t.Fatalf("%d is outside %d..%d", got, s.MinSize, s.MaxSize)
		}
		inside := size >= s.MinSize && size <= s.MaxSize
		if inside && !o.Known && got != size {
			t.Fatalf("changed %d to %d without knowing anything", size, got)
		}
		if inside && got < size-1 {
			t.Fatalf("shrank from %d to %d at once", size, got)
		}
		more := o
		more.Now += rapid.IntRange(0, 1000).Draw(t, "more")
		if again, _ := Decide(s, size, more); again < got {
			t.Fatalf("%d requests want %d, %d want %d", o.Now, got, more.Now, again)
		}
		o.CooldownOver = false // the size has just changed
		if again, why := Decide(s, got, o); again != got && inside {
			t.Fatalf("decided %d, then %d: %s", got, again, why)
		}
	})
}
