package egress

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/nftables"
	"pgregory.net/rapid"
)

// TestIntervals compares what a set of intervals has with the prefixes it was
// made from, and checks that the kernel can take it: keys rise, and beginnings
// alternate with ends.
func TestIntervals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Few distinct addresses, so that prefixes meet and contain one another.
		b := rapid.SampledFrom([]byte{0, 1, 2, 127, 128, 254, 255})
		prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := [4]byte{b.Draw(t, "a"), b.Draw(t, "b"), 0, b.Draw(t, "d")}
			return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits"))
		})
		prefixes := rapid.SliceOfN(prefix, 1, 12).Draw(t, "prefixes")
		elements := intervals(prefixes)
		for i, e := range elements {
			if e.IntervalEnd != (i%2 == 1) {
				t.Fatalf("element %d of %v: end %v", i, elements, e.IntervalEnd)
			}
			if i > 0 && bytes.Compare(elements[i-1].Key, e.Key) >= 0 {
				t.Fatalf("element %d of %v is not beyond the one before", i, elements)
			}
		}
		for range 50 {
			a := [4]byte{b.Draw(t, "a"), b.Draw(t, "b"), rapid.Byte().Draw(t, "c"), b.Draw(t, "d")}
			addr := netip.AddrFrom4(a)
			want := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
			if got := within(elements, a[:]); got != want {
				t.Errorf("%s in the intervals of %v: %v, want %v", addr, prefixes, got, want)
			}
		}
	})
}

// within looks a key up as the kernel does.
func within(elements []nftables.SetElement, key []byte) bool {
	in := false
	for _, e := range elements {
		if bytes.Compare(e.Key, key) <= 0 {
			in = !e.IntervalEnd
		}
	}
	return in
}

// FuzzLegacyVerdict reads policies from foreign bytes.
func FuzzLegacyVerdict(f *testing.F) {
	entry := make([]byte, 152) // struct ipt_entry with a standard target
	binary.NativeEndian.PutUint16(entry[targetOffsetAt:], 112)
	verdict := int32(legacyDrop)
	binary.NativeEndian.PutUint32(entry[112+verdictAt:], uint32(verdict))
	if got, ok := legacyVerdict(entry, 0); !ok || got != legacyDrop {
		f.Errorf("verdict %d, %v; want %d", got, ok, legacyDrop)
	}
	f.Add(entry, uint32(0))
	f.Add(entry, uint32(1<<32-1))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint32) {
		if _, ok := legacyVerdict(b, at); ok && uint64(at)+targetOffsetAt+2 > uint64(len(b)) {
			t.Errorf("a verdict at %d of %d bytes", at, len(b))
		}
	})
}
