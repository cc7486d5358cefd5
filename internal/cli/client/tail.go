package client

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	// followEvery is the interval at which a followed log is read.
	followEvery = 500 * time.Millisecond

	// followOverlap is how long before the newest line each read begins: lines of
	// several streams may arrive out of order by that much.
	followOverlap = 5 * time.Second

	// tailStreams is the maximum number of streams that the last lines are read
	// from, those with the newest lines first.
	tailStreams = 50
)

// Selection selects streams of a log group.
type Selection struct {
	Group   string
	Streams []string // all when empty
}

// Last returns the last n lines of a selection, oldest first.
func (l *Logs) Last(ctx context.Context, sel Selection, n int) ([]LogEvent, error) {
	streams := sel.Streams
	if len(streams) == 0 {
		all, err := l.Streams(ctx, sel.Group, "")
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(all, func(a, b Stream) int { return cmp.Compare(b.LastAt, a.LastAt) })
		for _, s := range all[:min(len(all), tailStreams)] {
			streams = append(streams, s.Name)
		}
	}
	var lines []LogEvent
	for _, stream := range streams {
		of, err := l.Tail(ctx, sel.Group, stream, n)
		if err != nil {
			return nil, err
		}
		for _, line := range of {
			line.Stream = stream
			lines = append(lines, line)
		}
	}
	slices.SortStableFunc(lines, func(a, b LogEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return lines[max(0, len(lines)-n):], nil
}

// Since returns all lines of a selection since a time, in the order of time.
func (l *Logs) Since(ctx context.Context, sel Selection, since time.Time, see func(LogEvent) error) error {
	return l.Filter(ctx, sel.Group, sel.Streams, since, func(page []LogEvent) error {
		for _, line := range page {
			if err := see(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// Cursor records which lines were seen, so that reading a log can continue without
// missing or repeating a line. Its zero value has seen nothing.
type Cursor struct {
	newest int64 // milliseconds since 1970
	seen   map[lineKey]int
}

// lineKey identifies a line. Equal lines of one millisecond are counted.
type lineKey struct {
	stream    string
	timestamp int64
	message   string
}

// Mark records a line as seen.
func (c *Cursor) Mark(e LogEvent) {
	if c.seen == nil {
		c.seen = map[lineKey]int{}
	}
	c.seen[lineKey{e.Stream, e.Timestamp, e.Message}]++
	c.newest = max(c.newest, e.Timestamp)
}

// unseen calls see with the lines that are not marked yet, and marks them. lines
// are all since start; marks of older ones are removed.
func (c *Cursor) unseen(start int64, lines []LogEvent, see func(LogEvent) error) error {
	times := map[lineKey]int{}
	for _, e := range lines {
		key := lineKey{e.Stream, e.Timestamp, e.Message}
		if times[key]++; times[key] <= c.seen[key] {
			continue
		}
		c.Mark(e)
		if err := see(e); err != nil {
			return err
		}
	}
	for key := range c.seen {
		if key.timestamp < start {
			delete(c.seen, key)
		}
	}
	return nil
}

// Follow calls see with the lines of a selection that the cursor has not seen,
// until ctx ends; then it returns nil. With an empty cursor it begins at since. It
// waits for a server that does not answer, and calls away each time it stops
// answering.
func (l *Logs) Follow(ctx context.Context, sel Selection, cur *Cursor, since time.Time, see func(LogEvent) error, away func(error)) error {
	err := poll(ctx, followEvery, followEvery, away, func() (bool, error) { return false, l.more(ctx, sel, cur, since, see) })
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *Logs) more(ctx context.Context, sel Selection, cur *Cursor, since time.Time, see func(LogEvent) error) error {
	start := since
	if cur.newest > 0 {
		start = time.UnixMilli(cur.newest).Add(-followOverlap)
	}
	var lines []LogEvent
	err := l.Since(ctx, sel, start, func(e LogEvent) error {
		lines = append(lines, e)
		return nil
	})
	if err != nil {
		return err
	}
	return cur.unseen(start.UnixMilli(), lines, see)
}

// Started returns the lines of a group's streams that began at a time or later and that
// the cursor has not seen, in the order of time.
func (l *Logs) Started(ctx context.Context, group string, since time.Time, cur *Cursor) (lines []LogEvent, err error) {
	streams, err := l.Streams(ctx, group, "")
	if err != nil {
		return nil, err
	}
	sel := Selection{Group: group}
	for _, s := range streams {
		if s.CreatedAt >= since.UnixMilli() {
			sel.Streams = append(sel.Streams, s.Name)
		}
	}
	if len(sel.Streams) == 0 {
		return nil, nil
	}
	err = l.more(ctx, sel, cur, since, func(e LogEvent) error {
		lines = append(lines, e)
		return nil
	})
	return lines, err
}
