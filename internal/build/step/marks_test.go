package step

import (
	"fmt"
	"strings"
	"testing"
)

// TestMarks cuts output with marks, and with what only looks like marks, at every
// byte.
func TestMarks(t *testing.T) {
	t.Parallel()
	const in = "\x1eabc 0\x1eone\n\x1e\x1e lone\x1eabc x\x1e\x1eabc -1\x1e\x1eabc 1\x1etwo\x1eabc 2\x1e\x1exyz 3\x1e end\x1eab"
	const want = "<0>one\n\x1e\x1e lone\x1eabc x\x1e\x1eabc -1\x1e<1>two<2>\x1exyz 3\x1e end\x1eab"
	for size := 1; size <= len(in); size++ {
		var out strings.Builder
		m := &marks{mark: "abc", begin: func(i int) { fmt.Fprintf(&out, "<%d>", i) }, output: func(b []byte) { out.Write(b) }}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			m.write([]byte(rest[:n]))
			rest = rest[n:]
		}
		m.flush()
		if out.String() != want {
			t.Errorf("in pieces of %d bytes: %q, want %q", size, out.String(), want)
		}
	}
}

func FuzzMarks(f *testing.F) {
	f.Add([]byte("\x1eabc 0\x1eone\n\x1e"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		size = max(size%50, 1)
		var whole, pieces strings.Builder
		for out, size := range map[*strings.Builder]int{&whole: len(in) + 1, &pieces: size} {
			m := &marks{mark: "abc", begin: func(i int) { fmt.Fprintf(out, "<%d>", i) }, output: func(b []byte) {
				out.Write(b)
			}}
			for rest := in; len(rest) > 0; {
				n := min(size, len(rest))
				m.write(rest[:n])
				if len(m.held) > maxMark {
					t.Fatalf("%d bytes are held", len(m.held))
				}
				rest = rest[n:]
			}
			m.flush()
		}
		if whole.String() != pieces.String() {
			t.Errorf("%q in one piece, %q in pieces of %d", whole.String(), pieces.String(), size)
		}
	})
}
