package egress

import (
	"net/netip"
	"sync"
)

// quota limits how many things are open at once, in total and for each address.
type quota struct {
	all, each int

	mu     sync.Mutex // guards what follows
	total  int
	counts map[netip.Addr]int
}

func newQuota(all, each int) *quota {
	return &quota{all: all, each: each, counts: map[netip.Addr]int{}}
}

// enter counts one more for an address, until leave. It reports whether the limits
// allow it.
func (q *quota) enter(a netip.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.total >= q.all || q.counts[a] >= q.each {
		return false
	}
	q.total++
	q.counts[a]++
	return true
}

func (q *quota) leave(a netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.counts[a]--; q.counts[a] == 0 {
		delete(q.counts, a)
	}
}
