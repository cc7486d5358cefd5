package egress

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// errExhausted is returned when no address of the prefix is free.
var errExhausted = errors.New("all addresses of the network's prefix are leased")

// leases is this process's view of which sandbox holds which lease. The interfaces
// are authoritative; this saves reading them, and keeps an address from being leased
// again while anything of its last holder is left.
type leases struct {
	plan plan
	ends chan struct{} // signalled when a lease has ended

	mu     sync.Mutex // guards what follows
	held   map[string]uint32
	states map[uint32]lease
	next   uint32 // where to look first: addresses are reused as late as possible
}

// lease is the state of a lease that is not free.
type lease struct {
	holder string    // sandbox; "" for a link found without one
	here   bool      // attached by this process: no sweep may take it
	group  uint32    // of the isolation group that its link is confined to; 0 for none
	space  int       // id of its holder's namespace
	ended  time.Time // when its holder gave it up; zero while it is held
}

func newLeases(p plan) *leases {
	return &leases{plan: p, ends: make(chan struct{}, 1), held: map[string]uint32{}, states: map[uint32]lease{}, next: firstLease}
}

// take reserves a free number for holder. The lease becomes the holder's with
// assign, once the link exists.
func (l *leases) take(holder string) (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range l.plan.lastLease() - firstLease + 1 {
		n := l.next
		if l.next++; l.next > l.plan.lastLease() {
			l.next = firstLease
		}
		if _, used := l.states[n]; !used {
			l.states[n] = lease{holder: holder, here: true}
			return n, nil
		}
	}
	return 0, errExhausted
}

// foreign records that an unknown link of this number exists.
func (l *leases) foreign(n uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[n] = lease{}
}

// assign makes n the holder's lease. The one it had before, if any, ends now
// and is returned.
func (l *leases) assign(n uint32, holder string, now time.Time) (old uint32, had bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, had = l.held[holder]; had && old != n {
		l.finish(old, holder, now)
	} else {
		had = false
	}
	was := l.states[n]
	if was.holder != holder && l.held[was.holder] == n {
		delete(l.held, was.holder)
	}
	l.held[holder] = n
	l.states[n] = lease{holder: holder, here: true, group: was.group, space: was.space}
	return old, had
}

// found records a link of an earlier process. Without a holder it belongs to no
// sandbox.
func (l *leases) found(n uint32, holder string, group uint32, space int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.states[n]; known {
		return
	}
	l.states[n] = lease{holder: holder, group: group, space: space}
	if holder != "" {
		l.held[holder] = n
	}
	if n >= l.next {
		l.next = n + 1
		if l.next > l.plan.lastLease() {
			l.next = firstLease
		}
	}
}

// of returns the holder's lease.
func (l *leases) of(holder string) (uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.held[holder]
	return n, ok
}

// reclaim makes n the lease of a holder whose link may be gone, unless it is another's.
func (l *leases) reclaim(n uint32, holder string, group uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, used := l.states[n]; used && (s.holder != holder || !s.ended.IsZero()) {
		return false
	}
	l.held[holder] = n
	l.states[n] = lease{holder: holder, here: true, group: group}
	return true
}

// locate records the id of the namespace that a lease's link leads to.
func (l *leases) locate(n uint32, space int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, used := l.states[n]; used {
		s.space = space
		l.states[n] = s
	}
}

// group returns the group that a lease's link is to be in.
func (l *leases) group(n uint32) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states[n].group
}

// holders returns the holders of the leases that match.
func (l *leases) holders(match func(n uint32, space int) bool) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, n := range l.held {
		if match(n, l.states[n].space) {
			names = append(names, name)
		}
	}
	return names
}

// confine records the group of a lease's link.
func (l *leases) confine(n, group uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.states[n]
	s.group = group
	l.states[n] = s
}

// groups returns the groups of the links in use.
func (l *leases) groups() map[uint32]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := map[uint32]bool{}
	for _, s := range l.states {
		if s.ended.IsZero() {
			used[s.group] = true
		}
	}
	return used
}

// end takes the lease from its holder.
func (l *leases) end(holder string, now time.Time) (uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.held[holder]
	if !ok {
		return 0, false
	}
	delete(l.held, holder)
	l.finish(n, holder, now)
	return n, true
}

// abandon ends a lease that was taken and whose link was not made.
func (l *leases) abandon(n uint32, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.states[n]
	if l.held[s.holder] == n {
		delete(l.held, s.holder)
	}
	l.finish(n, s.holder, now)
}

// finish ends a lease. The caller holds mu.
func (l *leases) finish(n uint32, holder string, now time.Time) {
	l.states[n] = lease{holder: holder, ended: now}
	select {
	case l.ends <- struct{}{}:
	default:
	}
}

// ended returns the leases that ended before a time and are not free yet.
func (l *leases) ended(before time.Time) []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var numbers []uint32
	for n, s := range l.states {
		if !s.ended.IsZero() && s.ended.Before(before) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// anyEnded reports whether a lease has ended and is not free yet.
func (l *leases) anyEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.states {
		if !s.ended.IsZero() {
			return true
		}
	}
	return false
}

// over reports whether a lease has ended and is not free yet.
func (l *leases) over(n uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.states[n].ended.IsZero()
}

// scarce reports whether most leases are not free.
func (l *leases) scarce() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.states) > int(l.plan.lastLease())/2
}

// strays ends and returns the leases that an earlier process left and whose
// holder is not to be kept.
func (l *leases) strays(keep map[string][]string, now time.Time) []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var numbers []uint32
	for n, s := range l.states {
		_, kept := keep[s.holder]
		if s.here || !s.ended.IsZero() || s.holder != "" && kept && l.held[s.holder] == n {
			continue
		}
		if l.held[s.holder] == n {
			delete(l.held, s.holder)
		}
		l.finish(n, s.holder, now)
		numbers = append(numbers, n)
	}
	return numbers
}

// free makes ended leases available again.
func (l *leases) free(numbers []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range numbers {
		delete(l.states, n)
	}
}

// live reports whether a sandbox holds the lease of an address.
func (l *leases) live(addr netip.Addr) bool {
	n, ok := l.plan.lease(addr)
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, used := l.states[n]
	return used && s.ended.IsZero()
}
