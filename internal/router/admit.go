package router

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/openslipway/slipway"
)

// Find returns the service of a key, nil if there is none. A request keeps its
// service for all its attempts.
func (r *Router) Find(k RouteKey) *Service { return r.table.Load().find(k) }

// ID returns the id of the service.
func (s *Service) ID() string { return s.id }

// Admit waits until the request may go to an instance and returns a lease of a
// slot on it. The caller must release the lease exactly once. retry says that an
// earlier instance could not be reached: the request goes ahead of all that wait.
//
// Admit returns the cause of ctx if ctx ends first. It returns ErrPaused,
// ErrNotDeployed, ErrDeleted or ErrQueueFull at once, and a *NotReadyError when no
// instance is ready or will soon be. PageFor translates these.
func (s *Service) Admit(ctx context.Context, retry bool) (Lease, error) {
	i, err := s.gate.acquire(ctx, retry)
	if err != nil {
		return Lease{}, err
	}
	return Lease{Target: &i.Target, gate: s.gate, instance: i}, nil
}

// TryAdmit is Admit without the wait: ok is false if the request would have to wait, and
// must be admitted by Admit.
func (s *Service) TryAdmit(retry bool) (l Lease, ok bool, err error) {
	i, err := s.gate.try(retry)
	if i == nil || err != nil {
		return Lease{}, false, err
	}
	return Lease{Target: &i.Target, gate: s.gate, instance: i}, true, nil
}

// Settings returns the service's settings for requests. They must not be changed.
func (s *Service) Settings() *slipway.RoutingSettings { return s.gate.view.Load().settings }

// TryAdmitTo is TryAdmit for the target with this mark, and for no other: ok is false if
// there is none, or it takes no request now. One that is asleep is thawed before.
func (s *Service) TryAdmitTo(mark string) (l Lease, ok bool) {
	i := s.gate.tryMarked(mark, s.wake)
	if i == nil {
		return Lease{}, false
	}
	return Lease{Target: &i.Target, gate: s.gate, instance: i}, true
}

// TryAdmitAwake is TryAdmitTo for a target that is awake, and never blocks.
func (s *Service) TryAdmitAwake(mark string) (l Lease, ok bool) {
	i := s.gate.tryMarked(mark, func(*instance) bool { return false })
	if i == nil {
		return Lease{}, false
	}
	return Lease{Target: &i.Target, gate: s.gate, instance: i}, true
}

// Count counts a request to the service when it has ended. Requests that Admit refused
// count as well.
func (s *Service) Count(o Observation) { s.stats.add(o) }

// CountStray counts a request without a service, which was answered with the page.
func (r *Router) CountStray(id PageID) { r.strays[id].Add(1) }

// CountHandshake counts a handshake of TLS.
func (r *Router) CountHandshake(ok bool) {
	i := 0
	if ok {
		i = 1
	}
	r.handshakes[i].Add(1)
}

// Target is an instance that requests are sent to. The router has one *Target for
// an instance, so engines key their pooled connections by it.
type Target struct {
	Instance string // id
	Port     int    // inside the instance
	Slots    int    // concurrent requests, as of when the router first saw the instance
	Mark     string // by which the cookie of a client names it; the same in all routers
}

// markOf returns the mark of an instance. It tells nothing of the id.
func markOf(id string) string {
	sum := sha256.Sum256([]byte("slipway-sticky " + id))
	return hex.EncodeToString(sum[:8])
}

// Lease is a slot on a target, for one attempt of a request.
type Lease struct {
	Target *Target

	gate     *gate
	instance *instance
}

// Answered records that a response with this status has started: the target is reachable.
// It ends the series of failures that ejection is based on, before a long response ends.
func (l Lease) Answered(status int) { l.gate.answered(l.instance, status) }

// Release gives the slot back, to the longest waiting request if there is one.
func (l Lease) Release(o Outcome) {
	switch o {
	case Unreachable:
		l.gate.eject(l.instance)
		l.gate.unanswered(l.instance)
	case Unanswered:
		l.gate.badAnswer(l.instance)
		l.gate.unanswered(l.instance)
	}
	l.gate.release(l.instance)
}

// Outcome is how an attempt ended, as far as the gate cares.
type Outcome uint8

const (
	// Done means that nothing more is to be concluded about the target.
	Done Outcome = iota
	// Unreachable means that no connection to the target could be opened. It
	// gets no requests for a short time.
	Unreachable
	// Unanswered means that the target had the request, and sent no valid response to it
	// in its time.
	Unanswered
)

// Pool is the pooled connections of an engine.
type Pool interface {
	// Retire closes the unused connections to a target, which has no leases
	// now. The target may be leased again later, if its instance becomes ready
	// again; Retire is called again after that. Retire may be called for a
	// target that was never leased. It must not block.
	Retire(t *Target)

	// Leave says that a target with leases must drain: clients whose connections to it
	// last as long as they please are asked to leave. It may be called again for the
	// same target, and must not block. Retire ends it.
	Leave(t *Target)
}

// Attach adds a pool whose Retire is called. It must be called before Run.
func (r *Router) Attach(p Pool) { r.pools = append(r.pools, p) }

// leave asks the clients of a target to leave in all engines.
func (r *Router) leave(t *Target) {
	for _, p := range r.pools {
		p.Leave(t)
	}
}

// retire closes the unused connections to a target in all engines.
func (r *Router) retire(t *Target) {
	for _, p := range r.pools {
		p.Retire(t)
	}
}
