package fleet

import (
	"testing"
	"time"
)

// TestNextGap follows the checks of a starting instance: each gap is at most a twentieth of
// the time that has passed, a check that costs little comes every 10 ms, and after a while
// all are rare.
func TestNextGap(t *testing.T) {
	t.Parallel()
	for refused, longest := range map[bool]time.Duration{true: refusedGap, false: longestGap} {
		gap, passed := firstGap, time.Duration(0)
		for passed <= slowAfter {
			if most := max(firstGap+passed/20, firstGap); gap > most || gap > longest {
				t.Fatalf("refused %v: after %v the gap is %v, want at most %v and %v", refused, passed, gap, most, longest)
			}
			passed += gap
			gap = nextGap(gap, passed, refused)
		}
		if gap != slowGap {
			t.Errorf("refused %v: after %v the gap is %v, want %v", refused, passed, gap, slowGap)
		}
	}
	if gap := nextGap(longestGap, time.Second, true); gap != refusedGap {
		t.Errorf("once nothing listens the gap is %v, want %v", gap, refusedGap)
	}
}
