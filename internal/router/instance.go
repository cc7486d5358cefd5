package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// instance is one instance of a service, for as long as the router has anything
// to do with it.
type instance struct {
	Target
	release string

	// Used only by the loading loop.
	gone     bool      // it no longer lives
	draining bool      // it must drain
	opened   time.Time // when it last began to accept requests

	lent int64 // slots of load that requests of another router take

	_    [64]byte // every request writes load, so it has a cache line of its own
	load atomic.Int64
	_    [56]byte

	flags  sync.Mutex // guards open, asleep and rouse, and that load has the closed mark by the first two
	open   bool       // by the table
	asleep bool       // frozen, or about to be
	rouse  func()     // gives up a freeze that is under way; nil without one

	turn      chan struct{} // has room for one that freezes, thaws or throttles
	throttled atomic.Int32  // what its processor time is bounded by, in 1024ths of a core; 0: by its service
	hurry     func()        // lifts that bound

	ejected  atomic.Bool  // it gets no requests for a while
	failures atomic.Int32 // consecutive failures to reach it
	bad      atomic.Int32 // consecutive bad answers
	rests    atomic.Int32 // consecutive ejections for them
	silence  silence      // without an answer to a request
	warming  atomic.Int32 // steps of its slow start that are to come
}

// closedBit is set in the load of an instance while it accepts no new requests.
// It shares a word with the count, which makes it a proof: once it is set the
// count can only fall, so when the count is 0 nothing is in flight and nothing
// will be.
const closedBit = int64(1) << 62

// claim takes one of limit slots if one is free and the instance is open.
func (i *instance) claim(limit int64) bool {
	for {
		n := i.load.Load()
		if n >= limit { // or closed
			return false
		}
		if i.load.CompareAndSwap(n, n+1) {
			if i.throttled.Load() != 0 {
				go i.hurry()
			}
			return true
		}
	}
}

// releaseSlot gives a slot back and reports whether a closed instance became
// idle by it.
func (i *instance) releaseSlot() bool { return i.load.Add(-1) == closedBit }

// setOpen sets whether the instance accepts new requests, by the table.
func (i *instance) setOpen(open bool) {
	i.flags.Lock()
	defer i.flags.Unlock()
	i.open = open
	i.close(!open || i.asleep)
}

// close sets whether no slot can be claimed. flags is held.
func (i *instance) close(closed bool) {
	if closed {
		i.load.Or(closedBit)
	} else {
		i.load.And(^closedBit)
	}
}

// inFlight returns the number of requests on the instance.
func (i *instance) inFlight() int64 { return i.load.Load() &^ closedBit }

// idle reports whether the instance is closed and has nothing in flight.
func (i *instance) idle() bool { return i.load.Load() == closedBit }
