package logs

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/openslipway/slipway/internal/runtime"
)

// cutter splits an instance's output into lines. It buffers at most MaxLine bytes
// of an unfinished line per kind.
type cutter struct {
	pos    int64      // position after all output so far
	last   int64      // Next of the last line: it never goes down
	kept   Position   // what was written before it began
	parts  [2]partial // of stdout and stderr
	gapped int64      // missing bytes so far
}

// partial is the beginning of a line.
type partial struct {
	data  []byte
	start int64     // position of its first byte
	end   int64     // position after its last byte
	run   int64     // the bytes from this position to end are in data, with none of the other kind between
	at    time.Time // of its first byte
}

func newCutter(p Position) *cutter { return &cutter{pos: p.Next, last: p.Next, kept: p} }

// cut returns the lines that chunk completes. If bytes are missing before it, a
// notice precedes them.
func (c *cutter) cut(chunk runtime.Chunk) []Line {
	var lines []Line
	if chunk.Pos > c.pos {
		lines = c.gap(chunk)
	}
	if skip := max(c.pos, c.skip(chunk.Stderr)) - chunk.Pos; skip > 0 {
		if skip >= int64(len(chunk.Data)) {
			c.pos = max(c.pos, chunk.Pos+int64(len(chunk.Data)))
			return lines
		}
		chunk.Pos += skip
		chunk.Data = chunk.Data[skip:]
	}
	for len(chunk.Data) > 0 {
		if l, ok := c.next(&chunk); ok {
			lines = append(lines, l)
		}
	}
	c.pos = chunk.Pos
	return lines
}

// skip returns the position before which this kind of output is written already.
func (c *cutter) skip(stderr bool) int64 {
	if stderr {
		return c.kept.Stderr
	}
	return c.kept.Stdout
}

func (c *cutter) gap(chunk runtime.Chunk) []Line {
	lost := chunk.Pos - c.pos
	c.gapped += lost
	lines := c.flush()
	c.pos, c.last = chunk.Pos, chunk.Pos
	why := "the application wrote faster than logs are kept."
	if chunk.Full {
		why = "the server's disk was full."
	}
	return append(lines, Line{
		At:   chunk.At,
		Kind: Notice,
		Text: fmt.Sprintf("%d bytes of output are missing here: %s", lost, why),
		Next: chunk.Pos,
	})
}

// next returns the chunk's bytes up to the end of a line or of the chunk, at most
// what fits in one line.
func (c *cutter) next(chunk *runtime.Chunk) (Line, bool) {
	i := 0
	if chunk.Stderr {
		i = 1
	}
	p := &c.parts[i]
	if len(p.data) == 0 {
		p.start, p.at = chunk.Pos, chunk.At
	}
	if chunk.Pos != p.end {
		p.run = chunk.Pos
	}
	n := bytes.IndexByte(chunk.Data, '\n')
	ends := n >= 0
	if !ends {
		n = len(chunk.Data)
	}
	split := len(p.data)+n > MaxLine
	if split {
		n, ends = MaxLine-len(p.data), false
	}
	p.data = append(p.data, chunk.Data[:n]...)
	if ends {
		n++
	}
	chunk.Data = chunk.Data[n:]
	chunk.Pos += int64(n)
	p.end = chunk.Pos
	if !ends && !split {
		return Line{}, false
	}
	if split {
		return c.emit(i, p.wholeRunes(max(p.run, c.last)), true), true
	}
	return c.emit(i, len(p.data), false), true
}

// wholeRunes returns how many bytes precede a character that a split would cut in
// two. The next line begins there, at or after floor.
func (p *partial) wholeRunes(floor int64) int {
	n := len(p.data)
	for back := 1; back < utf8.UTFMax && back < n && p.end-int64(back) >= floor; back++ {
		if utf8.RuneStart(p.data[n-back]) {
			if !utf8.FullRune(p.data[n-back:]) {
				return n - back
			}
			break
		}
	}
	return n
}

// emit returns a line of the first n bytes of a partial and keeps the rest.
func (c *cutter) emit(i, n int, more bool) Line {
	p, other := &c.parts[i], &c.parts[1-i]
	kind := Stdout
	if i == 1 {
		kind = Stderr
	}
	rest := int64(len(p.data) - n)
	// A flushed part may end before the last line. All output of its kind up to
	// there is written with it.
	c.last = max(c.last, p.end-rest)
	l := Line{At: p.at, Kind: kind, Partial: more, Text: string(p.data[:n]), Next: c.last}
	p.data = append(p.data[:0], p.data[n:]...)
	p.start = l.Next
	if len(other.data) > 0 && other.start < l.Next {
		l.Pending = l.Next - other.start
	}
	if len(p.data) == 0 && cap(p.data) > 1024 {
		p.data = nil // most instances are silent most of the time: keep no buffer
	}
	return l
}

// flush returns unfinished lines, in the order of their ends.
func (c *cutter) flush() []Line { return c.flushBefore(time.Time{}) }

// flushBefore returns unfinished lines that began before t, or all if t is zero.
func (c *cutter) flushBefore(t time.Time) []Line {
	order := [2]int{0, 1}
	if c.parts[1].end < c.parts[0].end {
		order = [2]int{1, 0}
	}
	var lines []Line
	for _, i := range order {
		if p := &c.parts[i]; len(p.data) > 0 && (t.IsZero() || p.at.Before(t)) {
			lines = append(lines, c.emit(i, len(p.data), true))
		}
	}
	return lines
}

// end returns unfinished lines as complete ones: the output has ended.
func (c *cutter) end() []Line {
	lines := c.flush()
	for i := range lines {
		lines[i].Partial = false
	}
	return lines
}
