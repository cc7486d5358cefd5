package store

import (
	"sync"
	"time"
)

// signs knows when this process last saw that a router lives: that its row says another time
// than before. It counts by the monotonic clock. The time in the row is the router's own, of
// a clock that may step; nobody compares it with that of another moment.
type signs struct {
	mu      sync.Mutex // guards routers
	routers map[string]sign
}

type sign struct {
	seenAt int64 // as the row says
	at     time.Time
}

// lives notes what a router's row says, and reports whether the router counts as alive: this
// process saw a new sign of life less than silent ago. A row that it sees for the first time
// is one.
func (s *signs) lives(router string, seenAt int64, silent time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.routers[router]
	if known && was.seenAt == seenAt {
		return time.Since(was.at) < silent
	}
	if s.routers == nil {
		s.routers = map[string]sign{}
	}
	s.routers[router] = sign{seenAt, time.Now()}
	return true
}
