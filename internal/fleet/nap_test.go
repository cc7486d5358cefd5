package fleet

import (
	"testing"
	"time"
)

func TestNapIsNeverShort(t *testing.T) {
	t.Parallel()
	n := newNapper()
	defer n.close()
	if n.f == nil {
		t.Error("this system has no timer files")
	}
	for _, d := range []time.Duration{time.Nanosecond, 250 * time.Microsecond, time.Millisecond, 3 * time.Millisecond} {
		for range 3 {
			begin := time.Now()
			n.nap(t.Context(), d)
			if took := time.Since(begin); took < d {
				t.Errorf("a nap of %v took %v", d, took)
			}
		}
	}
}
