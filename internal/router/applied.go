package router

import (
	"context"
	"sync"
	"time"
)

// appliedWithin limits how long Await waits for a table: a loop that is held up must not hold
// up the calls of the API.
const appliedWithin = 5 * time.Second

// applied says which changes of routes requests meet.
type applied struct {
	mu      sync.Mutex // guards the rest
	version int64
	next    chan struct{} // closed when version rises; nil while nobody waits
}

// raise says that the table has all changes up to a version.
func (a *applied) raise(version int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version <= a.version {
		return
	}
	a.version = version
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}

// rises returns nil if the table has a version, and otherwise what is closed when it has a
// higher one than now.
func (a *applied) rises(version int64) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.version >= version {
		return nil
	}
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

// Await returns when requests meet all changes of routes up to a version of the store, or
// nothing is to be waited for: ctx or the loop has ended, or the loop takes too long. Who has
// been told of a change then finds it.
func (r *Router) Await(ctx context.Context, version int64) {
	var limit *time.Timer
	for {
		risen := r.applied.rises(version)
		if risen == nil {
			return
		}
		if limit == nil {
			limit = time.NewTimer(appliedWithin)
			defer limit.Stop()
		}
		select {
		case <-risen:
		case <-r.ended:
			return
		case <-ctx.Done():
			return
		case <-limit.C:
			return
		}
	}
}
