package egress

import (
	"net/netip"
	"sync"
	"time"
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
	return q.count(a)
}

// count is enter. q.mu is held.
func (q *quota) count(a netip.Addr) bool {
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

// pace limits how many things happen in a second, in total and for each address. A
// second begins with the first of them.
type pace struct {
	*quota           // of the second
	until  time.Time // of the second; guarded by quota's mu
}

func newPace(all, each int) *pace { return &pace{quota: newQuota(all, each)} }

// spend counts one for an address. It reports whether the limits allow it. What they do
// not allow counts nothing, so that an address that asks too much takes no other's.
func (p *pace) spend(a netip.Addr, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.until) {
		p.until, p.total = now.Add(time.Second), 0
		clear(p.counts)
	}
	return p.count(a)
}
