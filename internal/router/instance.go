package router

import (
	"net/http"
	"sync/atomic"
	"time"
)

// instance is one instance of a service, as long as the router has anything to
// do with it.
type instance struct {
	id, release string
	port        int
	transport   *http.Transport // its pooled connections
	gone        bool            // it no longer lives: the loading loop's

	_    [64]byte // load is written by every request: it gets a cache line of its own
	load atomic.Int64
	_    [56]byte

	suspect  atomic.Bool  // it could not be reached a moment ago
	failures atomic.Int32 // attempts to reach it that failed in a row
}

// closedBit is set in an instance's load while it takes no new requests. Being
// in the same word as the count it makes a proof: once it is set the count can
// only fall, so when it is 0 nothing is in flight and nothing will be.
const closedBit = int64(1) << 62

// claim takes one of limit slots, if one is free and the instance is open.
func (i *instance) claim(limit int64) bool {
	for {
		n := i.load.Load()
		if n >= limit { // or closed
			return false
		}
		if i.load.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives a slot back and reports whether a closed instance thereby became
// idle.
func (i *instance) leave() bool { return i.load.Add(-1) == closedBit }

// setOpen says whether new requests may be sent there.
func (i *instance) setOpen(open bool) {
	if open {
		i.load.And(^closedBit)
	} else {
		i.load.Or(closedBit)
	}
}

// inFlight returns the number of requests on it.
func (i *instance) inFlight() int64 { return i.load.Load() &^ closedBit }

// idle reports whether the instance is closed and has nothing in flight.
func (i *instance) idle() bool { return i.load.Load() == closedBit }

// Pauses after failures to reach an instance.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// pause is how long to keep away from an instance that could not be reached
// failures times in a row.
func pause(failures int32) time.Duration {
	return min(firstPause<<min(failures-1, 10), lastPause)
}
