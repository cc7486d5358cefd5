package logs

import (
	"bytes"
	"context"
	"time"
)

// cursor is a position in one of a stream's segments.
type cursor struct {
	first int64 // the segment's name; 0 before all segments
	off   int64
}

// reader reads a stream forwards. At its end it can continue once lines were
// appended. Segments may be sealed and removed meanwhile: the open file is
// complete by then.
type reader struct {
	dir      string
	name     string // of the stream
	pass     *passer
	contains []byte // blocks and lines without it are skipped
	at       cursor

	open  content // nil at the end of the stream
	first int64   // name of the open segment
	block []byte  // rest of the current block
	head  Line    // next line, when full
	full  bool
}

// peek returns the next line without taking it. ok is false at the end.
func (r *reader) peek(ctx context.Context) (l Line, ok bool, err error) {
	for !r.full {
		if len(r.block) == 0 {
			if err := ctx.Err(); err != nil {
				return Line{}, false, err
			}
			if r.block, err = r.more(); err != nil || len(r.block) == 0 {
				r.close()
				return Line{}, false, err
			}
			if !bytes.Contains(r.block, r.contains) {
				r.block = nil
				continue
			}
		}
		record, rest, _ := bytes.Cut(r.block, []byte{'\n'})
		r.block = rest
		if !bytes.Contains(record, r.contains) {
			continue
		}
		if l, err := parse(record); err == nil { // damaged lines are skipped
			l.Stream = r.name
			r.head, r.full = l, true
		}
	}
	return r.head, true, nil
}

func (r *reader) take() { r.full = false }

// more returns the next block of the stream, nothing at its end.
func (r *reader) more() ([]byte, error) {
	for {
		lines, err := r.inSegment()
		if err != nil || len(lines) > 0 {
			return lines, err
		}
		next, ok, err := r.following()
		if err != nil || !ok {
			return nil, err
		}
		// The open segment is complete now. Look once more before leaving it.
		if lines, err := r.inSegment(); err != nil || len(lines) > 0 {
			return lines, err
		}
		r.at = cursor{first: next}
	}
}

func (r *reader) inSegment() ([]byte, error) {
	if r.at.first == 0 {
		return nil, nil
	}
	if r.open == nil || r.first != r.at.first {
		r.close()
		c, err := open(r.dir, r.at.first, r.pass)
		if c == nil || err != nil {
			return nil, err // removed by a limit, or damaged: continue after it
		}
		r.open, r.first = c, r.at.first
	}
	lines, next, err := r.open.block(r.at.off)
	if err != nil {
		return nil, err
	}
	r.at.off = next
	return lines, nil
}

func (r *reader) close() {
	if r.open != nil {
		r.open.Close()
		r.open = nil
	}
}

func (r *reader) following() (first int64, ok bool, err error) {
	list, err := segments(r.dir, r.pass)
	if err != nil {
		return 0, false, err
	}
	for _, s := range list {
		if s.first > r.at.first {
			return s.first, true, nil
		}
	}
	return 0, false, nil
}

// seek moves to a line such that all lines before it are older than since.
func (r *reader) seek(since time.Time) error {
	list, err := segments(r.dir, r.pass)
	if err != nil {
		return err
	}
	for _, s := range newestFirst(list) {
		if s.first >= since.UnixNano() {
			continue
		}
		c, err := open(s.dir, s.first, r.pass)
		if c == nil || err != nil {
			return err // read what is left
		}
		defer c.Close()
		off, err := c.seek(appendTime(nil, since))
		r.at = cursor{s.first, off}
		return err
	}
	return nil
}

// toEnd moves to the end of the stream.
func (r *reader) toEnd() error {
	_, err := r.tail(0, time.Time{}, nil)
	return err
}

// tail moves back from the end of the stream to its n-th last matching line, and
// returns the times of the matching lines, newest first. It stops at lines older
// than since.
func (r *reader) tail(n int, since time.Time, match func([]byte) bool) ([]time.Time, error) {
	list, err := segments(r.dir, r.pass)
	if err != nil {
		return nil, err
	}
	t := backward{n: n, since: since, match: match, done: n == 0}
	for _, s := range newestFirst(list) {
		c, err := open(s.dir, s.first, r.pass)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		off, err := t.segment(c)
		c.Close()
		if err != nil {
			return nil, err
		}
		r.at = cursor{s.first, off}
		if t.done {
			break
		}
	}
	return t.times, nil
}

// backward collects matching lines from the end towards the beginning.
type backward struct {
	n     int
	since time.Time
	match func([]byte) bool
	times []time.Time
	done  bool
}

// segment reads one segment backwards and returns the position it stopped at.
func (t *backward) segment(c content) (int64, error) {
	off, err := c.end()
	for err == nil && off > 0 && !t.done {
		var lines []byte
		var first int64
		if lines, first, err = c.blockBefore(off); err != nil || len(lines) == 0 {
			return off, err
		}
		off = first + t.lines(lines)
	}
	return off, err
}

// lines reads one block backwards and returns the offset it stopped at.
func (t *backward) lines(b []byte) int64 {
	for len(b) > 0 && !t.done {
		begin := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
		record := b[begin : len(b)-1]
		l, err := parse(record)
		if err == nil && l.At.Before(t.since) {
			t.done = true
			break
		}
		b = b[:begin]
		if err == nil && t.match(record) {
			t.times = append(t.times, l.At)
			t.done = len(t.times) == t.n
		}
	}
	return int64(len(b))
}
