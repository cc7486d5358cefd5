package client

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
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

// Source is a selection that is followed.
type Source struct {
	Selection
	Cursor Cursor // what of it was seen
}

// deletedEvery is how many readings of a followed log there are between two looks
// whether its service still exists.
const deletedEvery = 4

// FollowLogs calls see with the lines of a service's sources that their cursors have not
// seen, in the order of time within each reading, until ctx ends or the service is
// deleted: then it returns true. With an empty cursor it begins at since. It waits for a
// server that does not answer, and calls away each time it stops answering.
func (c *Client) FollowLogs(ctx context.Context, serviceARN string, sources []*Source, since time.Time, see func(LogEvent) error, away func(error)) (deleted bool, err error) {
	n := 0
	err = poll(ctx, followEvery, followEvery, away, func() (bool, error) {
		if n++; n%deletedEvery == 1 {
			if deleted, err = c.deleted(ctx, serviceARN); err != nil {
				return false, err
			}
		}
		return deleted, c.Logs.news(ctx, sources, since, see)
	})
	if ctx.Err() != nil {
		return false, nil
	}
	return deleted, err
}

// deleted reports whether a service is deleted.
func (c *Client) deleted(ctx context.Context, serviceARN string) (bool, error) {
	out, err := c.API.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: &serviceARN})
	switch {
	case NotFound(err):
		return true, nil
	case isCode(err, "AccessDeniedException"): // the user may read the log and no more
		return false, nil
	case err != nil:
		return false, err
	}
	return out.Service.Status == types.ServiceStatusDeleted, nil
}

// news calls see with what the cursors of sources have not seen.
func (l *Logs) news(ctx context.Context, sources []*Source, since time.Time, see func(LogEvent) error) error {
	var lines []LogEvent
	for _, s := range sources {
		if err := l.more(ctx, s.Selection, &s.Cursor, since, func(e LogEvent) error {
			lines = append(lines, e)
			return nil
		}); err != nil {
			return err
		}
	}
	slices.SortStableFunc(lines, func(a, b LogEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	for _, e := range lines {
		if err := see(e); err != nil {
			return err
		}
	}
	return nil
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
