package logs

import (
	"testing"
	"time"
)

// reads returns how many bytes each of several instances is read in a minute, if it
// always has more; want is what each has in a second.
func reads(want ...int64) []int64 {
	var f flood
	uses, got := make([]use, len(want)), make([]int64, len(want))
	const step = 20 * time.Millisecond
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for end := now.Add(time.Minute); now.Before(end); now = now.Add(step) {
		for i := range uses {
			n := min(want[i]/int64(time.Second/step), 1<<20)
			if f.wait(&uses[i], now) <= 0 {
				f.spend(&uses[i], n, now)
				got[i] += n
			}
		}
	}
	return got
}

// One budget holds for all floods, and an instance that keeps its rate does not wait.
func TestFloodsShareOneRate(t *testing.T) {
	t.Parallel()
	const flooding, quiet, seconds = 50 << 20, 1 << 20, 60
	got := reads(flooding, flooding, flooding, flooding, flooding, quiet)
	var all int64
	for _, n := range got[:5] {
		all += n
	}
	// The bursts come on top.
	if most := int64(rateAll*seconds + 5*2*rate*burst/time.Second); all > most || all < rateAll*seconds/2 {
		t.Errorf("five floods were read %d bytes, want %d at most", all, most)
	}
	if got[5] < quiet*seconds*9/10 {
		t.Errorf("an instance with a MiB a second was read %d bytes in a minute", got[5])
	}
	if alone := reads(flooding); alone[0] > rate*seconds+2*rate*int64(burst/time.Second) || alone[0] < rate*seconds/2 {
		t.Errorf("one flood was read %d bytes", alone[0])
	}
}

// An instance that ends no longer shares.
func TestFloodForgetsTheEnded(t *testing.T) {
	t.Parallel()
	var f flood
	var u use
	f.spend(&u, rate*10, time.Now())
	if f.over != 1 {
		t.Fatalf("%d over their rate, want 1", f.over)
	}
	f.leave(&u)
	f.leave(&u)
	if f.over != 0 {
		t.Errorf("%d over their rate, want 0", f.over)
	}
}
