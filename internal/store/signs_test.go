package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whether a router lives is told by signs that this process sees, however the clock of the
// router or of this process steps.
func TestRoutersLiveByTheirSigns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const silent = 10 * time.Second
		now := time.Now()
		var s signs
		lives := func(name string, seen time.Time, want bool) {
			t.Helper()
			if got := s.lives("r", seen.UnixNano(), silent); got != want {
				t.Errorf("%s: lives is %v, want %v", name, got, want)
			}
		}
		lives("seen for the first time, long silent by the clock", now.Add(-6*time.Hour), true)
		time.Sleep(9 * time.Second)
		lives("no sign for 9 s", now.Add(-6*time.Hour), true)
		time.Sleep(time.Second)
		lives("no sign for 10 s", now.Add(-6*time.Hour), false)
		lives("a sign after the clock stepped back", now.Add(-12*time.Hour), true)
		time.Sleep(5 * time.Second)
		lives("a sign after it stepped forward", now.Add(6*time.Hour), true)
		time.Sleep(11 * time.Second)
		lives("silent, with a time in the future", now.Add(6*time.Hour), false)
	})
}
