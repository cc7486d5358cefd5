package logs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/runtime"
)

func cutAll(c *cutter, chunks ...runtime.Chunk) []Line {
	var lines []Line
	for _, chunk := range chunks {
		lines = append(lines, c.cut(chunk)...)
	}
	return lines
}

func TestCutSplitsLongLines(t *testing.T) {
	t.Parallel()
	// A character crosses the limit: all of it goes to the second part.
	text := strings.Repeat("x", MaxLine-1) + "ü" + strings.Repeat("y", 10)
	for _, size := range []int{1, 7, 4096, len(text) + 1} {
		c := newCutter(Position{})
		var lines []Line
		whole := []byte(text + "\n")
		for pos := 0; pos < len(whole); pos += size {
			lines = append(lines, c.cut(runtime.Chunk{Pos: int64(pos), Data: whole[pos:min(len(whole), pos+size)]})...)
		}
		want := []Line{
			{Kind: Stdout, Partial: true, Text: text[:MaxLine-1], Next: MaxLine - 1},
			{Kind: Stdout, Text: text[MaxLine-1:], Next: int64(len(whole))},
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("in chunks of %d: %s", size, diff)
		}
	}
}

func TestCutBoundsMemory(t *testing.T) {
	t.Parallel()
	c := newCutter(Position{})
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = 0x80 // not UTF-8, no newline
	}
	var got int
	for i := range 20 {
		for _, l := range c.cut(runtime.Chunk{Pos: int64(i) << 20, Data: chunk}) {
			got += len(l.Text)
		}
		if n := cap(c.parts[0].data); n > 2*MaxLine {
			t.Fatalf("the cutter holds %d bytes", n)
		}
	}
	for _, l := range c.end() {
		got += len(l.Text)
	}
	if got != 20<<20 {
		t.Errorf("%d of %d bytes came out", got, 20<<20)
	}
}

func TestCutGap(t *testing.T) {
	t.Parallel()
	c := newCutter(Position{})
	at := time.Unix(1, 0)
	got := cutAll(c,
		runtime.Chunk{Pos: 0, Data: []byte("whole\nbegin")},
		runtime.Chunk{Pos: 1011, At: at, Data: []byte("rest\n")},
		runtime.Chunk{Pos: 1020, At: at, Data: []byte("end\n"), Full: true},
	)
	want := []Line{
		{Kind: Stdout, Text: "whole", Next: 6},
		{Kind: Stdout, Partial: true, Text: "begin", Next: 11},
		{Kind: Notice, At: at, Text: "1000 bytes of output are missing here: the application wrote faster than logs are kept.", Next: 1011},
		{Kind: Stdout, At: at, Text: "rest", Next: 1016},
		{Kind: Notice, At: at, Text: "4 bytes of output are missing here: the server's disk was full.", Next: 1020},
		{Kind: Stdout, At: at, Text: "end", Next: 1024},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCutFlushesOldBeginnings(t *testing.T) {
	t.Parallel()
	c := newCutter(Position{})
	old, young := time.Unix(1, 0), time.Unix(100, 0)
	cutAll(c, runtime.Chunk{Pos: 0, At: old, Data: []byte("prompt> ")}, runtime.Chunk{Pos: 8, At: young, Stderr: true, Data: []byte("warn")})
	want := []Line{{Kind: Stdout, At: old, Partial: true, Text: "prompt> ", Next: 8}}
	if diff := cmp.Diff(want, c.flushBefore(young)); diff != "" {
		t.Error(diff)
	}
	want = []Line{{Kind: Stderr, At: young, Text: "warning", Next: 16}}
	if diff := cmp.Diff(want, c.cut(runtime.Chunk{Pos: 12, At: young, Stderr: true, Data: []byte("ing\n")})); diff != "" {
		t.Error(diff)
	}
}

// writer generates random output of an application: lines on stdout and stderr,
// written in interleaved pieces.
type writer struct {
	rnd    *rand.Rand
	chunks []runtime.Chunk
	pos    int64
	lines  [2][]string
	part   [2]string
	n      int
}

func (w *writer) write() {
	i := w.rnd.IntN(2)
	var piece string
	switch w.rnd.IntN(4) {
	case 0:
		piece = "\n"
	case 1:
		w.n++
		piece = fmt.Sprintf("line %d\nand", w.n)
	default:
		w.n++
		piece = fmt.Sprintf(" piece %d", w.n)
	}
	w.chunks = append(w.chunks, runtime.Chunk{Pos: w.pos, Stderr: i == 1, Data: []byte(piece)})
	w.pos += int64(len(piece))
	whole := strings.Split(w.part[i]+piece, "\n")
	w.lines[i] = append(w.lines[i], whole[:len(whole)-1]...)
	w.part[i] = whole[len(whole)-1]
}

// from returns the output from a position on, as a driver does.
func (w *writer) from(pos int64) []runtime.Chunk {
	var list []runtime.Chunk
	for _, c := range w.chunks {
		if skip := pos - c.Pos; skip > 0 {
			if skip >= int64(len(c.Data)) {
				continue
			}
			c.Pos, c.Data = pos, c.Data[skip:]
		}
		list = append(list, c)
	}
	return list
}

// TestCutResumes stops after every possible line and continues at the line's
// position: no line may be lost, duplicated or changed.
func TestCutResumes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		w := &writer{rnd: rand.New(rand.NewPCG(seed, 1))}
		for range 40 {
			w.write()
		}
		first := newCutter(Position{})
		all := append(cutAll(first, w.chunks...), first.end()...)
		for died := range len(all) + 1 {
			kept := all[:died:died]
			var p Position
			if died > 0 {
				p = position(kept)
			}
			second := newCutter(p)
			got := append(kept, cutAll(second, w.from(p.Next)...)...)
			got = append(got, second.end()...)
			for i, kind := range []Kind{Stdout, Stderr} {
				want := w.lines[i]
				if w.part[i] != "" {
					want = append(want[:len(want):len(want)], w.part[i])
				}
				if diff := cmp.Diff(want, textsOf(got, kind)); diff != "" {
					t.Fatalf("seed %d, died after line %d of %d, kind %c: %s", seed, died, len(all), kind, diff)
				}
			}
		}
	}
}

func textsOf(lines []Line, kind Kind) []string {
	var list []string
	for _, l := range lines {
		if l.Kind == kind {
			list = append(list, l.Text)
		}
	}
	return list
}
