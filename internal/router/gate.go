package router

import (
	"container/list"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway"
)

// Errors of Admit.
var (
	ErrPaused      = errors.New("service is paused")
	ErrNotDeployed = errors.New("service has no running version")
	ErrDeleted     = errors.New("service is deleted")
	ErrQueueFull   = errors.New("too many requests are waiting")
)

// gate gives each request of a service a slot on one of its instances. Requests
// that find no free slot wait in order of arrival.
//
// Claiming a free slot takes no lock; the lock protects the queue of waiters.
// Two rules ensure that no waiter is forgotten. A waiter increments waiting
// before its last look for a slot. A releaser frees the slot before it reads
// waiting. Whatever the order of the two, at least one of them sees the other.
type gate struct {
	view    atomic.Pointer[view]
	next    atomic.Uint32 // index where the next search starts
	waiting atomic.Int64  // length of queue, readable without the lock
	sampled atomic.Bool   // demand is being sampled

	onWait   func() // called when a request starts to wait; without the lock, must not block
	onIdle   func() // called when a closed instance has no more requests in flight; likewise
	onDemand func() // called when there is demand and nobody samples it; likewise

	onEject   func(i *instance, answers int32, rest time.Duration) // called when an instance is ejected for its answers; may be nil
	onHung    func(i *instance, s Silence)                         // called when an instance counts as hung, and with zero when it does no more; may be nil
	warming   atomic.Int32                                         // instances in their slow start
	ejections atomic.Uint64                                        // for answers

	mu    sync.Mutex  // guards the rest; view is only replaced while it is held
	queue list.List   // of *waiter, longest waiting first
	end   *time.Timer // refuses the waiters when the outlook of view ends; nil if it does not
}

// view is the state that requests are admitted by. It is immutable and replaced
// as a whole.
type view struct {
	refuse    error // returned for every request; nil to serve them
	outlook   Outlook
	limit     int64 // concurrent requests on each instance
	queue     int   // maximum number of waiting requests
	settings  *slipway.RoutingSettings
	instances []*instance
	warming   *atomic.Int32 // instances in their slow start; nil for none
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
	g.view.Store(&view{settings: &slipway.RoutingSettings{}})
	return g
}

// acquire claims a slot on an instance, which the caller must give back with
// release. It waits for a slot until ctx ends and then returns the cause, or until
// the outlook ends and then returns a *NotReadyError. It returns that, ErrPaused,
// ErrNotDeployed, ErrDeleted or ErrQueueFull at once.
// isRetry says that an earlier instance could not be reached: such a request
// goes to the front of the queue.
func (g *gate) acquire(ctx context.Context, isRetry bool) (*instance, error) {
	if i, err := g.try(isRetry); i != nil || err != nil {
		return i, err
	}
	w, elem, err := g.enqueue(isRetry)
	if err != nil {
		return nil, err
	}
	g.startSampling()
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

// try is acquire without the wait: it returns nil if the request would have to wait.
func (g *gate) try(isRetry bool) (*instance, error) {
	v := g.view.Load()
	if v.refuse != nil {
		return nil, v.refuse
	}
	if isRetry || g.waiting.Load() == 0 { // otherwise it would overtake the waiters
		if i := v.claim(g.next.Add(1)); i != nil {
			g.startSampling()
			return i, nil
		}
	}
	return nil, nil
}

// tryMarked claims a slot on the instance with a mark. If that cannot be claimed it is
// woken. It returns nil if it takes no request now. Requests that wait are overtaken: their
// order is among instances, and this request has only one.
func (g *gate) tryMarked(mark string, wake func(*instance) bool) *instance {
	v := g.view.Load()
	if v.refuse != nil {
		return nil
	}
	for _, i := range v.instances {
		if i.Mark == mark && !i.ejected.Load() && (i.claim(v.limit) || wake(i) && i.claim(v.limit)) {
			g.startSampling()
			return i
		}
	}
	return nil
}

// enqueue adds a waiter to the queue. elem is nil if it got a slot at once.
func (g *gate) enqueue(isRetry bool) (w *waiter, elem *list.Element, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.view.Load()
	if v.refuse != nil {
		return nil, nil, v.refuse
	}
	if g.queue.Len() >= v.queue && !isRetry {
		return nil, nil, ErrQueueFull
	}
	if err := v.hopeless(); err != nil {
		return nil, nil, err
	}
	w = &waiter{ready: make(chan struct{})}
	if isRetry {
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

// giveUp removes a waiter whose context has ended. If it was given a slot in
// the meantime, the slot goes to the next waiter.
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

// release gives a slot back and hands it to the longest waiting request.
func (g *gate) release(i *instance) {
	idle := i.releaseSlot()
	if g.waiting.Load() > 0 {
		g.kick()
	}
	if idle {
		g.onIdle()
	}
}

// kick hands free slots to waiters.
func (g *gate) kick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// dispatch hands free slots to waiters. mu is held.
func (g *gate) dispatch() {
	v := g.view.Load()
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		w := e.Value.(*waiter)
		if v.refuse != nil {
			w.err = v.refuse
		} else if w.inst = v.claim(g.next.Add(1)); w.inst == nil {
			if w.err = v.hopeless(); w.err == nil {
				return
			}
		}
		g.queue.Remove(e)
		g.waiting.Add(-1)
		close(w.ready)
	}
}

// set replaces the view.
func (g *gate) set(v *view) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view.Store(v)
	if g.end != nil {
		g.end.Stop()
		g.end = nil
	}
	if until := v.outlook.Until; len(v.instances) == 0 && !until.IsZero() {
		g.end = time.AfterFunc(time.Until(until), g.kick)
	}
	g.dispatch()
}

// demand returns the requests in flight on instances that accept new ones, and
// the requests that wait.
func (g *gate) demand() (inFlight, waiting int64) {
	for _, i := range g.view.Load().instances {
		inFlight += i.inFlight()
	}
	return inFlight, g.waiting.Load()
}

// startSampling has the demand sampled, now that there is some. It reads and
// writes in the opposite order of stopSampling, so that one of them sees the
// other.
func (g *gate) startSampling() {
	if !g.sampled.Load() && g.sampled.CompareAndSwap(false, true) {
		g.onDemand()
	}
}

// stopSampling ends the sampling after demand fell to zero and reports whether
// it did. It does not if new demand has appeared that nobody else will sample.
func (g *gate) stopSampling() bool {
	g.sampled.Store(false)
	f, w := g.demand()
	return f+w == 0 || !g.sampled.CompareAndSwap(false, true)
}

// hopeless returns the reason why no request should wait for an instance, nil if one
// is ready or may soon be.
func (v *view) hopeless() error {
	if len(v.instances) > 0 {
		return nil
	}
	return v.outlook.refusal(time.Now())
}

// scanAll is the number of instances up to which all are compared. With more,
// two are picked at random, which is nearly as even and keeps claiming cheap.
const scanAll = 8

// claim takes a slot on the least loaded instance that has one free. Ties go to
// the first instance from index start on, so that equally loaded instances take
// turns. Instances in their slow start have a share of their own.
func (v *view) claim(start uint32) *instance {
	if v.warming == nil || v.warming.Load() == 0 {
		return v.claimLeast(start, false)
	}
	if i := v.claimWarming(); i != nil {
		return i
	}
	if i := v.claimLeast(start, true); i != nil {
		return i
	}
	return v.claimLeast(start, false)
}

// claimLeast is claim among all instances, or those whose slow start is over.
func (v *view) claimLeast(start uint32, warm bool) *instance {
	n := uint32(len(v.instances))
	if n == 0 {
		return nil
	}
	if n > scanAll {
		a, b := rand.Uint32N(n), rand.Uint32N(n)
		if i := v.least(v.instances[a], v.instances[b], warm); i != nil && i.claim(v.limit) {
			return i
		}
	}
	for {
		var best *instance
		for k := range n {
			best = v.least(best, v.instances[(start+k)%n], warm)
		}
		if best == nil {
			return nil
		}
		if best.claim(v.limit) {
			return best
		}
		// Another request took the last slot: search again.
	}
}

// least returns the less loaded of two instances, ignoring those that are full
// or ejected, or else than warm asks for. a may be nil. a wins a tie.
func (v *view) least(a, b *instance, warm bool) *instance {
	free := func(i *instance) bool {
		return i != nil && i.load.Load() < v.limit && !i.ejected.Load() && (!warm || i.warming.Load() == 0)
	}
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
