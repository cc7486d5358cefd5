package router

import (
	"container/list"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// What acquire returns when no instance is to be had.
var (
	errPaused    = errors.New("service is paused")
	errUnborn    = errors.New("service has no version that runs")
	errDeleted   = errors.New("service is deleted")
	errQueueFull = errors.New("too many requests wait")
)

// gate gives each request of a service a slot on one of its instances, or lets
// it wait for one in the order of arrival.
//
// Claiming a free slot takes no lock. The lock is for those who wait, and two
// rules keep one from being forgotten: who waits raises waiting before it looks
// for a slot once more, and who gives a slot back does so before it looks at
// waiting. Whatever the order of the two, at least one sees the other.
type gate struct {
	view    atomic.Pointer[view]
	next    atomic.Uint32 // where the next search starts
	waiting atomic.Int64  // length of queue, for readers without the lock
	sampled atomic.Bool   // demand is being sampled

	onWait   func() // a request waits: called without the lock, must not block
	onIdle   func() // a closed instance has nothing in flight any more: likewise
	onDemand func() // there is demand that is not sampled yet: likewise

	mu    sync.Mutex // guards queue; view changes only under it
	queue list.List  // of *waiter, the longest waiting first
}

// view is what requests are to go by, replaced as a whole.
type view struct {
	refuse    error // the answer to every request; nil to serve them
	limit     int64 // requests at once on each instance
	queue     int   // requests that may wait
	instances []*instance
}

// waiter is a request in the queue. inst and err are set before ready is
// closed.
type waiter struct {
	ready chan struct{}
	inst  *instance
	err   error
}

func newGate(onWait, onIdle, onDemand func()) *gate {
	g := &gate{onWait: onWait, onIdle: onIdle, onDemand: onDemand}
	g.view.Store(&view{})
	return g
}

// acquire returns an instance with a slot taken on it, which release must give
// back. It waits for one until ctx ends (then its cause is returned); it
// returns errPaused, errUnborn, errDeleted or errQueueFull at once. A request
// that comes again, because its first instance could not be reached, goes
// before all that wait.
func (g *gate) acquire(ctx context.Context, again bool) (*instance, error) {
	v := g.view.Load()
	if v.refuse != nil {
		return nil, v.refuse
	}
	if again || g.waiting.Load() == 0 { // else it would overtake those who wait
		if i := v.claim(g.next.Add(1)); i != nil {
			g.demanded()
			return i, nil
		}
	}
	w, elem, err := g.enqueue(again)
	if err != nil {
		return nil, err
	}
	g.demanded()
	if elem != nil {
		g.onWait()
	}
	select {
	case <-w.ready:
		return w.inst, w.err
	case <-ctx.Done():
		return g.giveUp(ctx, w, elem)
	}
}

// enqueue adds a waiter; elem is nil when it needs not wait after all.
func (g *gate) enqueue(again bool) (w *waiter, elem *list.Element, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.view.Load()
	if v.refuse != nil {
		return nil, nil, v.refuse
	}
	if g.queue.Len() >= v.queue && !again {
		return nil, nil, errQueueFull
	}
	w = &waiter{ready: make(chan struct{})}
	if again {
		elem = g.queue.PushFront(w)
	} else {
		elem = g.queue.PushBack(w)
	}
	g.waiting.Add(1)
	g.dispatch()
	if w.inst != nil {
		elem = nil
	}
	return w, elem, nil
}

// giveUp takes a waiter whose context ended out of the queue. A slot that it
// was given meanwhile goes to the next.
func (g *gate) giveUp(ctx context.Context, w *waiter, elem *list.Element) (*instance, error) {
	g.mu.Lock()
	select {
	case <-w.ready:
	default:
		g.queue.Remove(elem)
		g.waiting.Add(-1)
	}
	g.mu.Unlock()
	if w.inst != nil {
		g.release(w.inst)
	}
	return nil, context.Cause(ctx)
}

// release gives a slot back and hands it to the request that waits longest.
func (g *gate) release(i *instance) {
	idle := i.leave()
	if g.waiting.Load() > 0 {
		g.kick()
	}
	if idle {
		g.onIdle()
	}
}

// kick hands out free slots.
func (g *gate) kick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// dispatch gives free slots to those who wait. mu is held.
func (g *gate) dispatch() {
	v := g.view.Load()
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		w := e.Value.(*waiter)
		if v.refuse != nil {
			w.err = v.refuse
		} else if w.inst = v.claim(g.next.Add(1)); w.inst == nil {
			return
		}
		g.queue.Remove(e)
		g.waiting.Add(-1)
		close(w.ready)
	}
}

// set makes v what requests go by from now on.
func (g *gate) set(v *view) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view.Store(v)
	g.dispatch()
}

// distrust keeps requests away for a moment from an instance that could not be
// reached: having nothing in flight it would else attract them all.
func (g *gate) distrust(i *instance) {
	n := i.failures.Add(1)
	if i.suspect.Swap(true) {
		return
	}
	time.AfterFunc(pause(n), func() {
		i.suspect.Store(false)
		g.kick()
	})
}

// trust ends a row of failures.
func (g *gate) trust(i *instance) {
	if i.failures.Load() != 0 {
		i.failures.Store(0)
	}
}

// demand returns the requests in flight on instances that take new ones, and
// those that wait.
func (g *gate) demand() (inFlight, waiting int64) {
	for _, i := range g.view.Load().instances {
		inFlight += i.inFlight()
	}
	return inFlight, g.waiting.Load()
}

// demanded has demand sampled, now that it has risen. rested looks in the
// opposite order, so that one of the two sees the other.
func (g *gate) demanded() {
	if !g.sampled.Load() && g.sampled.CompareAndSwap(false, true) {
		g.onDemand()
	}
}

// rested ends the sampling of demand that was seen to be none, and reports
// whether it did: not if there is some again that nobody else will have sampled.
func (g *gate) rested() bool {
	g.sampled.Store(false)
	f, w := g.demand()
	return f+w == 0 || !g.sampled.CompareAndSwap(false, true)
}

// scanAll is the number of instances up to which all are compared. Of more,
// two are picked at random: nearly as even, and claiming stays cheap.
const scanAll = 8

// claim takes a slot on the least loaded instance, if any has one. Of equally
// loaded ones the first from start on gets it, so that they take turns.
func (v *view) claim(start uint32) *instance {
	n := uint32(len(v.instances))
	if n == 0 {
		return nil
	}
	if n > scanAll {
		a, b := rand.Uint32N(n), rand.Uint32N(n)
		if i := v.least(v.instances[a], v.instances[b]); i != nil && i.claim(v.limit) {
			return i
		}
	}
	for {
		var best *instance
		for k := range n {
			best = v.least(best, v.instances[(start+k)%n])
		}
		if best == nil {
			return nil
		}
		if best.claim(v.limit) {
			return best
		}
		// Others filled it meanwhile: look again.
	}
}

// least returns the less loaded of two instances, of those that have a free
// slot and are not suspect; a may be nil. The first wins when they are equal.
func (v *view) least(a, b *instance) *instance {
	free := func(i *instance) bool { return i != nil && i.load.Load() < v.limit && !i.suspect.Load() }
	switch {
	case !free(b):
		if !free(a) {
			return nil
		}
		return a
	case !free(a), b.load.Load() < a.load.Load():
		return b
	}
	return a
}
