package sandboxinit

import "testing"

// copied returns how many bytes an application can write in ten seconds by writes of one
// size, if it does nothing else and copying takes no time.
func copied(size int) (bytes int64) {
	var p pace
	now := int64(1e18)
	for end := now + 10e9; now < end; bytes += int64(size) {
		now += p.spend(size, now)
	}
	return bytes
}

func TestPace(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4096, 64 << 10} {
		n := copied(size)
		counted := n / int64(size) * int64(size+paceRead)
		// Ten seconds, the burst of eight, and what the first reads bring.
		if least, most := int64(10*paceRate), int64(19*paceRate); counted < least || counted > most {
			t.Errorf("writes of %d bytes: %d were copied, which count %d, want between %d and %d", size, n, counted, least, most)
		}
	}
	// A second of output never waits, and neither does one after a rest.
	var p pace
	now := int64(1e18)
	for range 2 {
		for range paceRate / (5 * paceRead) {
			if ns := p.spend(4*paceRead, now); ns != 0 {
				t.Fatalf("output of a second waits %d ns", ns)
			}
		}
		now += 2e9
	}
}
