package scale

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/openslipway/slipway"
)

var t0 = time.Unix(1_800_000_000, 0)

func TestWindow(t *testing.T) {
	t.Parallel()
	const stable = 10 * time.Second
	var w window
	integral, now := 0.0, t0
	see := func(concurrency float64, d time.Duration) {
		now = now.Add(d)
		integral += concurrency * d.Seconds()
		w.observe(now, integral, stable)
	}
	check := func(when string, peak float64, full bool) {
		t.Helper()
		if p := w.peak(); p < peak-1e-6 || p > peak+1e-6 || w.full(now, stable) != full {
			t.Errorf("%s: peak %v, full %v; want %v, %v", when, p, w.full(now, stable), peak, full)
		}
	}
	check("empty", 0, false)
	see(100, 0)
	check("after one observation", 0, false)
	see(3, 2*time.Second)
	see(7, 2*time.Second)
	see(5, 2*time.Second)
	check("after 6 s", 7, false)
	see(1, 4*time.Second)
	check("after 10 s", 7, true)
	see(1, 4*time.Second)
	check("when 7 is 10 s ago", 7, true)
	see(1, 2*time.Second)
	check("when 7 is 12 s ago", 5, true)
	see(0, 11*time.Second)
	check("when all is old", 0, true)
	see(9, 0)
	check("twice at the same time", 0, true)

	w.observe(now.Add(time.Second), 0, stable)
	check("counted anew", 0, false)
}

// follow lets a release's size follow a demand for a number of intervals, as
// the loop does, and returns the sizes.
func follow(s slipway.Scaling, size int, intervals int, demand func(i int) float64) (sizes []int) {
	const interval, stable, cooldown = 2 * time.Second, time.Minute, 10 * time.Second
	var w window
	integral, now, changed := 0.0, t0, t0
	for i := range intervals {
		now = now.Add(interval)
		integral += demand(i) * interval.Seconds()
		w.observe(now, integral, stable)
		next, _ := Decide(s, size, Observation{
			Known: true, Now: int(demand(i)), Peak: w.peak(),
			WindowFull: w.full(now, stable), CooldownOver: now.Sub(changed) >= cooldown,
		})
		if next != size {
			size, changed = next, now
		}
		sizes = append(sizes, size)
	}
	return sizes
}

func drawScaling(t *rapid.T) slipway.Scaling {
	s := slipway.Scaling{MaxConcurrency: rapid.IntRange(1, 200).Draw(t, "concurrency"), MinSize: rapid.IntRange(1, 25).Draw(t, "min")}
	s.MaxSize = rapid.IntRange(s.MinSize, 25).Draw(t, "max")
	return s
}

// A constant demand moves the size one way only, to just enough, and there it
// stays.
func TestConstantDemandDoesNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawScaling(t)
		size := rapid.IntRange(s.MinSize, s.MaxSize).Draw(t, "size")
		demand := rapid.IntRange(0, 6000).Draw(t, "demand")
		sizes := follow(s, size, 200, func(int) float64 { return float64(demand) })
		up, down := false, false
		for i, last := 0, size; i < len(sizes); i++ {
			up, down = up || sizes[i] > last, down || sizes[i] < last
			last = sizes[i]
		}
		if up && down {
			t.Fatalf("sizes go up and down: %v", sizes)
		}
		want := (demand + s.MaxConcurrency - 1) / s.MaxConcurrency
		want = min(max(want, s.MinSize), s.MaxSize)
		if got := sizes[len(sizes)-1]; got != want {
			t.Fatalf("stays at %d, want %d: %v", got, want, sizes)
		}
	})
}

// Demand that comes and goes within the stable time keeps the size it needs
// at its highest.
func TestBurstsDoNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawScaling(t)
		high := rapid.IntRange(0, 6000).Draw(t, "high")
		period := rapid.IntRange(2, 28).Draw(t, "period") // intervals of 2 s: less than a minute
		sizes := follow(s, s.MinSize, 300, func(i int) float64 {
			if i%period == 0 {
				return float64(high)
			}
			return 0
		})
		for i, n := range sizes {
			if n != sizes[0] {
				t.Fatalf("size changes at %d: %v", i, sizes)
			}
		}
	})
}
