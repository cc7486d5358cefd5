package logs

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// MaxTail is the most lines that Query.Tail may ask for.
const MaxTail = 100_000

// Query says which lines to read.
type Query struct {
	Service string
	Stream  string // exact name; "" for all with Prefix
	Prefix  string // beginning of stream names; "" for all

	Since, Until time.Time // Since <= At < Until; zero: no bound
	Contains     string    // the text holds this; "" for all
	Tail         int       // only the last so many; 0: all; at most MaxTail
	Limit        int       // stop after so many; 0: none
	Follow       bool      // continue with new lines until ctx ends
}

// Read returns a service's lines, oldest first over all streams; lines of one
// stream keep their order. An error ends the sequence as its last pair. The end
// of ctx is such an error: it is how Follow ends.
func (s *Store) Read(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		m := merge{store: s, query: q, ended: map[string]*reader{}}
		defer m.close()
		err := m.check()
		if err == nil {
			err = m.run(ctx, yield)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Line{}, err)
		}
	}
}

// errStop means that the caller stops reading.
var errStop = errors.New("stop")

// merge merges the lines of several streams by time.
type merge struct {
	store *Store
	query Query
	wait  []waiting          // streams that are not open yet, latest first
	heads heads              // open streams that have a line
	ended map[string]*reader // open streams at their end
	count int
	skip  int // number of lines to skip at the beginning
}

// waiting is a stream whose first line is later than the lines read so far. It is
// opened only when needed, so that few streams have a block in memory.
type waiting struct {
	r     *reader
	first time.Time
}

// close closes the files of readers that are not at their end.
func (m *merge) close() {
	for _, r := range m.heads {
		r.close()
	}
}

func (m *merge) check() error {
	q := &m.query
	if err := checkPart(q.Service); err != nil {
		return err
	}
	if q.Stream != "" {
		if err := (Stream{q.Service, q.Stream}).check(); err != nil {
			return err
		}
	}
	if q.Follow && !q.Until.IsZero() {
		return errors.New("logs: a query cannot both follow and end at a time")
	}
	q.Tail = min(max(q.Tail, 0), MaxTail)
	return nil
}

func (m *merge) run(ctx context.Context, yield func(Line, error) bool) error {
	if !m.query.Follow {
		if err := m.begin(); err != nil {
			return err
		}
		return m.drain(ctx, yield)
	}
	// Listening before reading misses nothing.
	f := m.store.follow(m.query.Service)
	defer m.store.unfollow(f)
	if err := m.begin(); err != nil {
		return err
	}
	for {
		if err := m.drain(ctx, yield); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.nudge:
		}
		if err := m.resume(ctx, f.take()); err != nil {
			return err
		}
	}
}

// begin finds the streams and the position to start at in each.
func (m *merge) begin() error {
	list, err := m.streams()
	if err != nil {
		return err
	}
	if m.query.Tail > 0 {
		return m.beginTail(list)
	}
	for _, st := range list {
		if st.Last.Before(m.query.Since) && !m.query.Follow {
			continue
		}
		r := m.reader(st.Name)
		if err := r.seek(m.query.Since); err != nil {
			return err
		}
		m.wait = append(m.wait, waiting{r, st.First})
	}
	slices.SortFunc(m.wait, func(a, b waiting) int { return b.first.Compare(a.first) })
	return nil
}

// beginTail reads streams from their ends, those with the newest lines first,
// until enough lines are newer than all others.
func (m *merge) beginTail(list []StreamInfo) error {
	slices.SortFunc(list, func(a, b StreamInfo) int { return b.Last.Compare(a.Last) })
	var found []time.Time // newest first
	for _, st := range list {
		r := m.reader(st.Name)
		floor := m.query.Since
		if len(found) >= m.query.Tail {
			floor = found[m.query.Tail-1]
		}
		if st.Last.Before(floor) {
			if m.query.Follow { // the stream may be written to again
				if err := r.toEnd(); err != nil {
					return err
				}
				m.ended[r.name] = r
			}
			continue
		}
		times, err := r.tail(m.query.Tail, floor, m.matches)
		if err != nil {
			return err
		}
		found = append(found, times...)
		slices.SortStableFunc(found, func(a, b time.Time) int { return b.Compare(a) })
		m.wait = append(m.wait, waiting{r: r})
	}
	m.skip = max(0, len(found)-m.query.Tail)
	return nil
}

func (m *merge) reader(stream string) *reader {
	return &reader{
		name:     stream,
		dir:      Stream{m.query.Service, stream}.dir(m.store.cfg.Dir),
		pass:     m.store.pass,
		contains: []byte(m.query.Contains),
	}
}

// streams returns the streams of the query.
func (m *merge) streams() ([]StreamInfo, error) {
	list, err := m.store.Streams(m.query.Service)
	return slices.DeleteFunc(list, func(st StreamInfo) bool {
		return !m.admits(st.Name)
	}), err
}

func (m *merge) admits(stream string) bool {
	return (m.query.Stream == "" || stream == m.query.Stream) && strings.HasPrefix(stream, m.query.Prefix)
}

// resume reads streams again that were appended to, and new ones.
func (m *merge) resume(ctx context.Context, streams []string) error {
	for _, name := range streams {
		if !m.admits(name) {
			continue
		}
		r := m.ended[name]
		if r == nil {
			r = m.reader(name)
		}
		delete(m.ended, name)
		if err := m.push(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// push adds a reader to the heads if it has a line of the query.
func (m *merge) push(ctx context.Context, r *reader) error {
	for {
		l, ok, err := r.peek(ctx)
		if err != nil {
			r.close()
			return err
		}
		if !ok {
			m.ended[r.name] = r
			return nil
		}
		if !m.query.Until.IsZero() && !l.At.Before(m.query.Until) {
			r.close() // times never go down: no later line is in the query
			return nil
		}
		if !l.At.Before(m.query.Since) && strings.Contains(l.Text, m.query.Contains) {
			heap.Push(&m.heads, r)
			return nil
		}
		r.take()
	}
}

// drain yields all present lines.
func (m *merge) drain(ctx context.Context, yield func(Line, error) bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.wake(ctx); err != nil {
			return err
		}
		if len(m.heads) == 0 {
			return nil
		}
		r := m.heads[0]
		l := r.head
		r.take()
		heap.Pop(&m.heads)
		if err := m.push(ctx, r); err != nil {
			return err
		}
		if m.skip > 0 {
			m.skip--
			continue
		}
		m.count++
		if !yield(l, nil) || m.count == m.query.Limit {
			return errStop
		}
	}
}

// wake opens waiting streams that may have a line before the first head.
func (m *merge) wake(ctx context.Context) error {
	for n := len(m.wait); n > 0; n = len(m.wait) {
		next := m.wait[n-1]
		if len(m.heads) > 0 && next.first.After(m.heads[0].head.At) {
			return nil
		}
		m.wait = m.wait[:n-1]
		if err := m.push(ctx, next.r); err != nil {
			return err
		}
	}
	return nil
}

// matches applies Until and Contains to an encoded line.
func (m *merge) matches(record []byte) bool {
	if !bytes.Contains(record, []byte(m.query.Contains)) {
		return false
	}
	l, err := parse(record)
	return err == nil && strings.Contains(l.Text, m.query.Contains) &&
		(m.query.Until.IsZero() || l.At.Before(m.query.Until))
}

// heads is a heap of readers by the time of their next line.
type heads []*reader

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if c := h[i].head.At.Compare(h[j].head.At); c != 0 {
		return c < 0
	}
	return h[i].name < h[j].name
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*reader)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// StreamInfo describes a stream that has lines.
type StreamInfo struct {
	Name  string
	First time.Time // of its first line
	Last  time.Time // at or after its last line's time
	Bytes int64     // on disk
}

// Streams returns the streams of a service, sorted by name.
func (s *Store) Streams(service string) ([]StreamInfo, error) {
	if err := checkPart(service); err != nil {
		return nil, err
	}
	root := filepath.Join(s.cfg.Dir, service)
	var list []StreamInfo
	err := s.walk(root, func(dir string, segs []segment) {
		name, err := filepath.Rel(root, dir)
		if err != nil || len(segs) == 0 {
			return
		}
		info := StreamInfo{
			Name:  filepath.ToSlash(name),
			First: time.Unix(0, segs[0].first).UTC(),
			Last:  segs[len(segs)-1].mtime,
		}
		for _, seg := range segs {
			info.Bytes += seg.size
		}
		list = append(list, info)
	}, nil)
	return list, err
}

// walk calls dir with the segments of each directory below root, and file, unless it is nil,
// with each file. What cannot be read is passed over.
func (s *Store) walk(root string, dir func(path string, segs []segment), file func(path string)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return s.pass.over(path, err)
		case !d.IsDir():
			if file != nil {
				file(path)
			}
			return nil
		}
		segs, err := segments(path, s.pass)
		if err == nil {
			dir(path, segs)
		}
		return err
	})
}
