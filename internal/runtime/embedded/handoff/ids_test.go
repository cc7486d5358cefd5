package handoff_test

import (
	"testing"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// TestIDMaps checks that every id that Docker accepts is an id of the host, that none is
// mapped twice, and that users above the sandboxes' own differ between sandboxes.
func TestIDMaps(t *testing.T) {
	t.Parallel()
	const first = 1 << 30
	seen := map[uint32]int{}
	for slot := range 12286 {
		maps := handoff.IDMaps(first + uint32(slot)*handoff.OwnIDs)
		next := uint64(0)
		hosts := map[uint32]uint64{} // where a range ends, by where it begins
		for _, m := range maps {
			if uint64(m.Inside) != next || m.Count == 0 {
				t.Fatalf("slot %d: %+v has a gap, or an empty range", slot, maps)
			}
			next += uint64(m.Count)
			hosts[m.Host] = uint64(m.Host) + uint64(m.Count)
			if end := uint64(m.Host) + uint64(m.Count); end > 1<<32-2 || m.Inside > 0 && m.Host < 1<<31 {
				t.Fatalf("slot %d: %+v leaves the upper half of the host's ids", slot, maps)
			}
		}
		for a, end := range hosts {
			for b := range hosts {
				if b > a && uint64(b) < end {
					t.Fatalf("slot %d: %+v maps an id twice", slot, maps)
				}
			}
		}
		if next != handoff.MaxID+1 {
			t.Fatalf("slot %d: %+v ends at %d", slot, maps, next)
		}
		for _, id := range []uint32{0, 1000, handoff.OwnIDs, 1000680000, handoff.MaxID} {
			if got, ok := handoff.Inside(maps, hostOf(maps, id)); !ok || got != id {
				t.Fatalf("slot %d: id %d comes back as %d, %t", slot, id, got, ok)
			}
		}
		if _, ok := handoff.Inside(maps, 0); ok {
			t.Fatalf("slot %d: the host's root is an id of %+v", slot, maps)
		}
		large := hostOf(maps, 1000680000)
		if other, dup := seen[large]; dup {
			t.Fatalf("user 1000680000 of slots %d and %d is the same on the host", other, slot)
		}
		seen[large] = slot
	}
}

func hostOf(maps []handoff.IDMap, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.Inside && id-m.Inside < m.Count {
			return m.Host + id - m.Inside
		}
	}
	return 0
}
