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
	all, each int

	mu     sync.Mutex // guards what follows
	until  time.Time  // of the second
	total  int
	counts map[netip.Addr]int
}

func newPace(all, each int) *pace {
	return &pace{all: all, each: each, counts: map[netip.Addr]int{}}
}

// spend counts one for an address. It reports whether the limits allow it. What they do
// not allow counts nothing, so that an address that asks too much takes no other's.
func (p *pace) spend(a netip.Addr, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.until) {
		p.until, p.total = now.Add(time.Second), 0
		clear(p.counts)
	}
	if p.total >= p.all || p.counts[a] >= p.each {
		return false
	}
	p.total++
	p.counts[a]++
	return true
}
