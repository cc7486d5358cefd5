package logs

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// sweepEvery is the time between sweeps of the services that were written to, or in which
	// something is old enough. Services with newly closed segments are swept at once.
	sweepEvery = time.Minute

	// idleAfter is how long nothing is written to a stream until its newest
	// segment is considered closed.
	idleAfter = 10 * time.Minute
)

// Run compresses closed segments and enforces the limits until ctx ends. Failures
// are logged and retried later.
func (s *Store) Run(ctx context.Context) error {
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	s.sweepAll(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.work:
			s.sweepDirty(ctx, time.Now())
		case now := <-timer.C:
			s.retire(now)
			s.sweepAll(ctx, now)
		}
	}
}

// retire removes appenders that were not used since before, and closes their
// files.
func (s *Store) retire(now time.Time) {
	s.mu.Lock()
	open := maps.Clone(s.appenders)
	s.mu.Unlock()
	for stream, a := range open {
		if !a.retire(now.Add(-idleAfter)) {
			continue
		}
		s.mu.Lock()
		if s.appenders[stream] == a {
			delete(s.appenders, stream)
		}
		s.mu.Unlock()
	}
}

// usage is what the last sweep of a service left.
type usage struct {
	bytes int64     // of its segments on disk
	due   time.Time // when the next sweep has something to do even if nothing is written
}

// sweepDirty brings services with closed segments within their limits.
func (s *Store) sweepDirty(ctx context.Context, now time.Time) {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = map[string]bool{}
	s.mu.Unlock()
	for service := range dirty {
		s.sweep(ctx, service, now)
	}
}

// sweepAll sweeps every service for which there is something to do, and then enforces the
// total size of all. The first one lists the directory.
func (s *Store) sweepAll(ctx context.Context, now time.Time) {
	if !s.listed {
		entries, err := os.ReadDir(s.cfg.Dir)
		if err != nil {
			s.cfg.Log.Error("list services with logs", "err", err)
		}
		for _, e := range entries { // of those that could be read
			if checkPart(e.Name()) == nil {
				s.wrote(e.Name())
			}
		}
		s.listed = err == nil
	}
	for _, service := range s.due(now) {
		if ctx.Err() != nil {
			s.wrote(service) // the next one sweeps it
			continue
		}
		s.sweep(ctx, service, now)
	}
	if ctx.Err() == nil {
		s.limitAll(now)
	}
}

// due takes the services that were written to since their last sweep, or whose next one is
// due.
func (s *Store) due(now time.Time) (services []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for service, u := range s.use {
		if !u.due.After(now) {
			s.written[service] = struct{}{}
		}
	}
	services = slices.Collect(maps.Keys(s.written))
	clear(s.written)
	return services
}

// wrote notes that a service has to be swept.
func (s *Store) wrote(service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[service] = struct{}{}
}

// uses notes what a sweep of a service has left.
func (s *Store) uses(service string, segs []segment, now time.Time) {
	u := usage{bytes: bytesOf(segs), due: now.Add(s.cfg.MaxAge)}
	for _, g := range segs {
		rest := s.cfg.MaxAge
		if g.plain { // it is compressed once it is idle
			rest = min(rest, idleAfter)
		}
		if due := g.mtime.Add(rest); due.Before(u.due) {
			u.due = due
		}
	}
	if u.bytes > s.cfg.ServiceBytes {
		u.due = now // what is written to was not removed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.use[service] = u; len(segs) == 0 {
		delete(s.use, service)
	}
}

// limitAll removes the oldest segments of the services that use the most, until all are
// within their total size.
func (s *Store) limitAll(now time.Time) {
	var total int64
	s.mu.Lock()
	for _, u := range s.use {
		total += u.bytes
	}
	var left map[string]usage
	if total > s.cfg.TotalBytes {
		left = maps.Clone(s.use)
	}
	s.mu.Unlock()
	segs := map[string][]segment{}
	for total > s.cfg.TotalBytes {
		service := largest(left)
		if service == "" {
			return
		}
		list, ok := segs[service]
		if !ok {
			var err error
			if list, err = s.all(service); err != nil {
				s.cfg.Log.Error("list log segments", "service", service, "err", err)
			}
		}
		if len(list) == 0 {
			delete(left, service)
			continue
		}
		oldest := list[0]
		segs[service], left[service] = list[1:], usage{bytes: left[service].bytes - oldest.size}
		if s.drop(service, oldest, now, "all logs exceed their size") {
			total -= oldest.size
			s.wrote(service)
		}
	}
}

// largest returns the service that uses the most bytes, "" if none is left.
func largest(use map[string]usage) string {
	name, most := "", int64(0)
	for service, u := range use {
		if name == "" || u.bytes > most {
			name, most = service, u.bytes
		}
	}
	return name
}

func bytesOf(segs []segment) (n int64) {
	for _, s := range segs {
		n += s.size
	}
	return n
}

// sweep removes segments that exceed the service's limits, compresses closed ones
// and notes what is left. It enforces the limits again between compressions, which may be
// slower than an application writes.
func (s *Store) sweep(ctx context.Context, service string, now time.Time) {
	tried := map[segmentKey]bool{}
	for {
		segs, err := s.limit(service, now)
		if err != nil {
			s.cfg.Log.Error("list log segments", "service", service, "err", err)
			s.wrote(service) // the next sweep of all tries again
			return
		}
		if ctx.Err() != nil || s.sealSome(service, segs, tried, now) == 0 {
			s.uses(service, segs, now)
			return
		}
	}
}

// sealSome compresses closed segments that are not in tried, up to the size of a
// few segments, and returns how many.
func (s *Store) sealSome(service string, segs []segment, tried map[segmentKey]bool, now time.Time) (n int) {
	var size int64
	for _, g := range segs {
		if !g.plain || tried[g.key()] || !s.isClosed(g, now) {
			continue
		}
		tried[g.key()] = true
		n++
		if err := s.whileUnwritten(service, g, now, func() error { return seal(g.dir, g.first) }); err != nil {
			s.cfg.Log.Error("compress log segment", "service", service, "err", err)
		}
		if size += g.size; size >= 4*s.cfg.SegmentBytes {
			break
		}
	}
	return n
}

// segmentKey identifies a segment, whatever its current size.
type segmentKey struct {
	dir   string
	first int64
}

func (s segment) key() segmentKey { return segmentKey{s.dir, s.first} }

// limit removes segments until age and sizes are within the limits, and returns
// the others, oldest first.
func (s *Store) limit(service string, now time.Time) ([]segment, error) {
	segs, err := s.all(service)
	if err != nil {
		return nil, err
	}
	segs = s.limitAccess(service, segs, now)
	size := bytesOf(segs)
	kept := segs[:0]
	for _, g := range segs {
		reason := ""
		switch {
		case now.Sub(g.mtime) > s.cfg.MaxAge && (s.cfg.Trusted == nil || s.cfg.Trusted()):
			reason = "older than logs are kept"
		case size > s.cfg.ServiceBytes:
			reason = "the service's logs exceed their size"
		}
		if reason == "" || !s.drop(service, g, now, reason) {
			kept = append(kept, g)
			continue
		}
		size -= g.size
	}
	return kept, nil
}

// limitAccess removes segments of the access log until they take at most half of the
// service's bytes, and returns all others: requests, which strangers make, must not push
// out what the application writes.
func (s *Store) limitAccess(service string, segs []segment, now time.Time) []segment {
	dir := Stream{Service: service, Name: AccessStream}.dir(s.cfg.Dir)
	var size int64
	for _, g := range segs {
		if g.dir == dir {
			size += g.size
		}
	}
	return slices.DeleteFunc(segs, func(g segment) bool {
		over := g.dir == dir && size > s.cfg.ServiceBytes/2 && s.drop(service, g, now, "the service's access log exceeds its share")
		if over {
			size -= g.size
		}
		return over
	})
}

// all lists the segments of all streams of a service by the time of their last
// lines, oldest first. It removes temporary files.
func (s *Store) all(service string) ([]segment, error) {
	var list []segment
	err := s.walk(filepath.Join(s.cfg.Dir, service), func(_ string, segs []segment) {
		list = append(list, segs...)
	}, func(path string) {
		if filepath.Ext(path) != ".tmp" { // of a compression that a crash interrupted
			return
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Log.Error("remove log segment", "service", service, "segment", path, "err", err)
		}
	})
	slices.SortStableFunc(list, func(a, b segment) int {
		return a.mtime.Compare(b.mtime)
	})
	return list, err
}

// isClosed reports whether nothing will be appended to the segment, or nothing
// was for long.
func (s *Store) isClosed(g segment, now time.Time) bool {
	return now.Sub(g.mtime) > idleAfter || !s.newest(g)
}

// newest reports whether the segment is its stream's last, the only one that is
// appended to.
func (s *Store) newest(g segment) bool {
	segs, err := segments(g.dir, s.pass)
	return err != nil || len(segs) == 0 || segs[len(segs)-1].first == g.first
}

// drop removes a segment, unless it is being written to.
func (s *Store) drop(service string, g segment, now time.Time, reason string) bool {
	dropped := false
	err := s.whileUnwritten(service, g, now, func() error {
		for _, ext := range []string{plainExt, sealedExt} {
			if err := os.Remove(segmentPath(g.dir, g.first, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		dropped = true
		return nil
	})
	if err != nil {
		s.cfg.Log.Error("remove log segment", "service", service, "segment", g.path(), "err", err)
	}
	if dropped {
		s.cfg.Log.Debug("removed log segment", "service", service, "segment", g.path(), "bytes", g.size, "reason", reason)
		s.prune(service, g.dir)
	}
	return dropped
}

// prune removes empty directories of the stream.
func (s *Store) prune(service, dir string) {
	root := filepath.Join(s.cfg.Dir, service)
	for dir != root && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
}

// whileUnwritten calls f while nothing can be appended to the segment. It does not call f
// for a stream's newest segment that is in use.
func (s *Store) whileUnwritten(service string, g segment, now time.Time, f func() error) error {
	if !s.newest(g) {
		return f()
	}
	name, err := filepath.Rel(filepath.Join(s.cfg.Dir, service), g.dir)
	if err != nil {
		return err
	}
	return s.appender(Stream{service, filepath.ToSlash(name)}).unwritten(now.Add(-idleAfter), f)
}
