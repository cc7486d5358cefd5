package fleet

import (
	"testing"
	"time"
)

func TestGapTimerNeverSleepsShort(t *testing.T) {
	t.Parallel()
	n := newGapTimer()
	defer n.close()
	if n.f == nil {
		t.Error("this system has no timerfd")
	}
	for _, d := range []time.Duration{time.Nanosecond, 250 * time.Microsecond, time.Millisecond, 3 * time.Millisecond} {
		for range 3 {
			begin := time.Now()
			n.sleep(t.Context(), d)
			if took := time.Since(begin); took < d {
				t.Errorf("a sleep of %v took %v", d, took)
			}
		}
	}
}
