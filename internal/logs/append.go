package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/room"
)

// appender writes one stream. It owns the newest segment: nobody else writes,
// seals or removes it.
type appender struct {
	dir   string
	limit int64 // bytes after which a new segment begins
	disk  *room.Gauge
	pass  *passer

	gone atomic.Bool // a new appender has replaced this one; set under mu

	mu    sync.Mutex // guards what follows, over the write
	ready bool       // last is known
	last  time.Time  // of the last line
	file  *os.File   // newest segment; nil until written to
	first int64      // its name
	size  int64
	used  time.Time // when it was last written to
	buf   []byte
}

var errGone = errors.New("the appender is gone")

// append appends lines. If it fails, the first lines, as many as written, are
// kept.
func (a *appender) append(lines []Line) (written int, rotated bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone.Load() {
		return 0, false, errGone
	}
	if err := a.prepare(); err != nil {
		return 0, false, err
	}
	now := time.Now()
	a.used = now
	defer a.shrink()
	for len(lines) > 0 {
		first := a.clamp(lines[0].At, now)
		fits, err := a.encode(lines, now)
		if err != nil {
			return written, rotated, err
		}
		if err := a.create(first); err != nil {
			return written, rotated, err
		}
		n, err := a.write()
		written += n
		if err != nil {
			return written, rotated, err
		}
		lines = lines[fits:]
		if a.size >= a.limit {
			a.close()
			rotated = true
		}
	}
	return written, rotated, nil
}

// shrink frees a large buffer: each stream has one.
func (a *appender) shrink() {
	if cap(a.buf) > 4*batch {
		a.buf = nil
	}
}

// encode fills buf with as many lines as fit in the segment, at least one.
func (a *appender) encode(lines []Line, now time.Time) (int, error) {
	a.buf = a.buf[:0]
	for i, l := range lines {
		if i > 0 && a.size+int64(len(a.buf)) >= a.limit {
			return i, nil
		}
		l.At = a.clamp(l.At, now)
		var err error
		if a.buf, err = l.encode(a.buf); err != nil {
			return 0, err
		}
		a.last = l.At
	}
	return len(lines), nil
}

// clamp returns a time that is not before the last line's and not in the future:
// reading by time relies on both.
func (a *appender) clamp(at, now time.Time) time.Time {
	if at.After(now) {
		at = now
	}
	if at.Before(a.last) {
		return a.last
	}
	return at
}

// write appends buf to the segment. It removes a line that was written in part.
func (a *appender) write() (lines int, err error) {
	if err := a.disk.Take(int64(len(a.buf))); err != nil {
		return 0, err
	}
	n, err := a.file.Write(a.buf)
	if err == nil {
		a.size += int64(n)
		return bytes.Count(a.buf, []byte{'\n'}), nil
	}
	whole := bytes.LastIndexByte(a.buf[:n], '\n') + 1
	a.size += int64(whole)
	if terr := a.file.Truncate(a.size); terr != nil {
		// The next appender repairs the segment.
		a.close()
		a.ready = false
		err = errors.Join(err, terr)
	}
	return bytes.Count(a.buf[:whole], []byte{'\n'}), err
}

// prepare opens the newest segment if it is a plain one, and removes a line at
// its end that a crash left unfinished.
func (a *appender) prepare() error {
	if a.ready {
		return nil
	}
	list, err := segments(a.dir, a.pass)
	if err != nil {
		return err
	}
	for i, s := range newestFirst(list) {
		found, err := a.resume(s, i == 0)
		if err != nil {
			return fmt.Errorf("repair log segment %s: %w", s.path(), err)
		}
		if found {
			break
		}
	}
	a.ready = true
	return nil
}

// resume reads the last line's time from s. If s is the newest segment and plain,
// it is written to again; older ones may be being sealed. It removes a newest
// segment without lines.
func (a *appender) resume(s segment, newest bool) (found bool, err error) {
	a.first = max(a.first, s.first)
	c, err := open(s.dir, s.first, a.pass)
	if c == nil || err != nil {
		return false, err
	}
	defer c.Close()
	lines, end, err := lastLines(c)
	if err != nil {
		return false, err
	}
	if p, ok := c.(*plainContent); ok && p.damaged {
		newest = false // what could not be read is not cut off
	}
	if len(lines) == 0 {
		if s.plain && newest {
			return false, os.Remove(s.path())
		}
		return false, nil
	}
	if last := lines[len(lines)-1].At; last.After(a.last) {
		a.last = last
	}
	if !s.plain || !newest {
		return true, nil
	}
	f, err := os.OpenFile(s.path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return false, err
	}
	if err := f.Truncate(end); err != nil {
		f.Close()
		return false, err
	}
	a.file, a.size = f, end
	return true, nil
}

// create creates a segment if none is open.
func (a *appender) create(at time.Time) error {
	if a.file != nil {
		return nil
	}
	// Two segments may begin in the same nanosecond; their names must differ.
	a.first = max(at.UnixNano(), a.first+1, 1)
	for try := 0; ; try++ {
		if err := os.MkdirAll(a.dir, 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(segmentPath(a.dir, a.first, plainExt), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrNotExist) && try < 3 {
			continue // a sweep found the directory empty and removed it
		}
		if err != nil {
			return err
		}
		a.file, a.size = f, 0
		return nil
	}
}

// close closes the newest segment; the next line creates another one.
func (a *appender) close() {
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
}

// retire ends the appender if nothing was written since before.
func (a *appender) retire(before time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used.After(before) {
		return false
	}
	a.end()
	return true
}

// remove ends the appender for good.
func (a *appender) remove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end()
}

func (a *appender) end() {
	a.close()
	a.gone.Store(true)
}

// unwritten calls f while nothing is written to the stream, unless something was
// written since before.
func (a *appender) unwritten(before time.Time, f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone.Load() || a.used.After(before) {
		return nil
	}
	a.end() // f may change the stream
	return f()
}
