package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// hungRequests is how many requests in a row an instance must have left without an answer
// before it counts as hung: one may have been the request's fault.
const hungRequests = 3

// Silence is what an instance does while it answers no request.
type Silence struct {
	Requests int           // in a row that it did not answer
	For      time.Duration // since the first of them failed
}

// silence is a series of requests to an instance that had no answer. Requests whose clients
// went away are not part of it.
type silence struct {
	lasts atomic.Bool // some requests had no answer since the last one that had

	mu       sync.Mutex // guards what follows
	since    time.Time
	requests int
	told     bool // that it is hung
}

// fails adds a request without an answer. It reports whether the instance counts as hung now
// and did not before.
func (s *silence) fails(now time.Time, after time.Duration) (Silence, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lasts.Swap(true) {
		s.since, s.requests = now, 0
	}
	s.requests++
	is := Silence{s.requests, now.Sub(s.since)}
	if after <= 0 || s.told || is.Requests < hungRequests || is.For < after {
		return is, false
	}
	s.told = true
	return is, true
}

// now returns the series, and whether the instance counts as hung. It is zero if the last
// request had an answer.
func (s *silence) now(now time.Time) (is Silence, hung bool) {
	if !s.lasts.Load() {
		return is, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lasts.Load() {
		return is, false
	}
	return Silence{s.requests, now.Sub(s.since)}, s.told
}

// ends ends the series. It reports whether the instance counted as hung.
func (s *silence) ends() bool {
	if !s.lasts.Load() { // each answer asks
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasts.Store(false)
	told := s.told
	s.told = false
	return told
}

// unanswered takes note of a request to which the instance had no answer.
func (g *gate) unanswered(i *instance) {
	if is, hung := i.silence.fails(time.Now(), g.view.Load().settings.HungAfter); hung && g.onHung != nil {
		g.onHung(i, is)
	}
}
