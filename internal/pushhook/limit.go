package pushhook

import (
	"sync"
	"time"
)

// bucket lets a number of requests through: burst at once, and rate a second.
type bucket struct {
	rate, burst float64

	mu   sync.Mutex
	used float64 // tokens that are not there
	at   time.Time
}

// take reports whether one more request may pass.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.at) {
		b.used = max(0, b.used-b.rate*now.Sub(b.at).Seconds())
		b.at = now
	}
	if b.used+1 > b.burst {
		return false
	}
	b.used++
	return true
}

// buckets has one bucket for each webhook. There are as many webhooks as connections;
// full buckets of removed ones are forgotten when there are more than mostBuckets.
type buckets struct {
	rate, burst float64

	mu  sync.Mutex
	all map[string]*bucket
}

const mostBuckets = 1000

func (s *buckets) take(id string, now time.Time) bool {
	s.mu.Lock()
	b := s.all[id]
	if b == nil {
		if s.all == nil || len(s.all) >= mostBuckets {
			s.all = map[string]*bucket{}
		}
		b = &bucket{rate: s.rate, burst: s.burst}
		s.all[id] = b
	}
	s.mu.Unlock()
	return b.take(now)
}
