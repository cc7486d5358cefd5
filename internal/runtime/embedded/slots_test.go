package embedded

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestDriversShareNoIDs has drivers of one machine take numbers at once. Without claims,
// the control, they take the same.
func TestDriversShareNoIDs(t *testing.T) {
	t.Parallel()
	for _, claims := range []string{"", filepath.Join(t.TempDir(), "run", "ids")} {
		var drivers []*slots
		for range 4 {
			drivers = append(drivers, newSlots(1000, claims, t.TempDir()))
		}
		var mu sync.Mutex // guards seen
		seen := map[int]int{}
		var all sync.WaitGroup
		for _, d := range drivers {
			all.Go(func() {
				for range 20 {
					n, err := d.take()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					seen[n]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if want := map[bool]int{true: 20, false: 80}[claims == ""]; len(seen) != want {
			t.Errorf("with claims in %q, 4 drivers took %d numbers, want %d", claims, len(seen), want)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	claims := t.TempDir()
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	one, other := newSlots(3, claims, t.TempDir()), newSlots(3, claims, gone)
	take := func(s *slots, want int) {
		t.Helper()
		if n, err := s.take(); err != nil || n != want {
			t.Errorf("took %d, %v, want %d", n, err, want)
		}
	}
	take(one, 0)
	take(other, 1)
	take(one, 2)
	if n, err := one.take(); err == nil {
		t.Errorf("took %d, which another has", n)
	}
	one.free(0)
	take(other, 0)

	// The next process of a driver has the claims of the last one, of which it marks those
	// in use.
	next := newSlots(3, claims, one.owner)
	next.mark(-1)
	take(next, 2)

	// A driver whose directory is gone claims nothing any more.
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	take(next, 0)
	take(next, 1)

	// What a sandbox of an earlier process has is not given away, nor by another's end.
	marked := newSlots(3, t.TempDir(), t.TempDir())
	marked.mark(0)
	stranger := newSlots(3, marked.claims, t.TempDir())
	stranger.free(0)
	take(stranger, 1)
	take(marked, 2)
}
