package scale

import (
	"testing"
	"time"

	"pgregory.net/rapid"
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
func follow(s Rules, size int, intervals int, demand func(i int) float64) (sizes []int) {
	const interval, stable, cooldown = 2 * time.Second, time.Minute, 10 * time.Second
	var w window
	integral, now, changed, grown, busy := 0.0, t0, t0, t0, t0
	for i := range intervals {
		now = now.Add(interval)
		integral += demand(i) * interval.Seconds()
		w.observe(now, integral, stable)
		if demand(i) > 0 {
			busy = now
		}
		next, _ := Decide(s, size, Observation{
			Known: true, Now: int(demand(i)), Peak: w.peak(),
			WindowFull: w.full(now, stable), CooldownOver: now.Sub(changed) >= cooldown, Idle: min(now.Sub(busy), now.Sub(grown)),
		})
		if next != size {
			if changed = now; next > size {
				grown = now
			}
			size = next
		}
		sizes = append(sizes, size)
	}
	return sizes
}

// drawRules draws rules of a release that keeps at least so many instances. With 0 it may
// have none.
func drawRules(t *rapid.T, least int) Rules {
	r := Rules{MaxConcurrency: rapid.IntRange(1, 200).Draw(t, "concurrency"), Least: rapid.IntRange(least, 25).Draw(t, "min")}
	r.Most = rapid.IntRange(max(r.Least, 1), 25).Draw(t, "max")
	if r.Least == 0 {
		r.StopAfter = time.Duration(rapid.IntRange(1, 100).Draw(t, "stop after")) * time.Second
	}
	return r
}

// A constant demand moves the size one way only, to just enough, and there it
// stays.
func TestConstantDemandDoesNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawRules(t, 1)
		size := rapid.IntRange(s.Least, s.Most).Draw(t, "size")
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
		want = min(max(want, s.Least), s.Most)
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
		s := drawRules(t, 1)
		high := rapid.IntRange(0, 6000).Draw(t, "high")
		period := rapid.IntRange(2, 28).Draw(t, "period") // intervals of 2 s: less than a minute
		sizes := follow(s, s.Least, 300, func(i int) float64 {
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

// A service that may have no instance has none when nobody has asked for long enough, and
// at no other time. It has enough at once when somebody asks.
func TestSleepFollowsDemand(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t, 0)
		r.Least, r.StopAfter = 0, time.Duration(rapid.IntRange(1, 50).Draw(t, "stop after"))*time.Second
		demand := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 7, 3000}), 200, 200).Draw(t, "demand")
		sizes := follow(r, 1, len(demand), func(i int) float64 { return float64(demand[i]) })
		quiet := 0 * time.Second // without demand and without growth
		for i, n := range sizes {
			before := 1
			if i > 0 {
				before = sizes[i-1]
			}
			if quiet += 2 * time.Second; demand[i] > 0 {
				quiet = 0
			}
			switch {
			case demand[i] > 0 && n < min(instances(float64(demand[i]), r.MaxConcurrency), r.Most):
				t.Fatalf("%d requests have %d instances", demand[i], n)
			case n == 0 && before > 0 && quiet < r.StopAfter:
				t.Fatalf("stopped after %v of %v", quiet, r.StopAfter)
			case n > 0 && quiet >= r.StopAfter+2*time.Second && before == n:
				t.Fatalf("%d instances after %v without a request, %v are allowed", n, quiet, r.StopAfter)
			}
			if n > before {
				quiet = 0
			}
		}
	})
}
