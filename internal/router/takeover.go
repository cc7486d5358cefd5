package router

import (
	"context"
	"maps"
)

// A router may take over from one of another process (ADR 038). The elder seals its
// instances, so that its requests can only get fewer, and tells how many are left. The
// heir keeps their slots taken, so that no instance gets more requests than its limit,
// none is frozen, and none is reported as drained while the elder has requests on it.

// Seal closes all instances for further requests. It must be called after Run has ended.
func (r *Router) Seal() {
	for _, s := range r.services {
		for _, i := range s.instances {
			i.setOpen(false)
		}
	}
}

// InFlight returns how many requests there are, by instance, with those that Lend counts.
// It must be called after Run has ended.
func (r *Router) InFlight() map[string]int64 {
	r.after.Lock()
	defer r.after.Unlock()
	loads := map[string]int64{}
	for _, s := range r.services {
		for id, i := range s.instances {
			if n := i.inFlight(); n > 0 {
				loads[id] = n
			}
		}
	}
	return loads
}

// loans are the slots that requests of another router take.
type loans struct {
	by      map[string]int64 // slots, by instance
	applied chan struct{}    // closed once they are taken; nil if they are
}

// Lend sets how many slots are taken by the requests of another router, by instance, and
// returns once they are. The first call ends what Config.Heir means. It may be called
// while Run runs and after it has ended.
func (r *Router) Lend(ctx context.Context, by map[string]int64) error {
	r.mu.Lock()
	if r.loans.applied == nil {
		r.loans.applied = make(chan struct{})
	}
	r.loans.by = maps.Clone(by)
	applied := r.loans.applied
	r.mu.Unlock()
	r.nudge()
	select {
	case <-applied:
		return nil
	case <-r.ended:
		r.after.Lock()
		defer r.after.Unlock()
		r.lend()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lend takes and gives back slots as Lend says. The loading loop calls it, and after that
// has ended Lend.
func (r *Router) lend() {
	r.mu.Lock()
	l := r.loans
	r.loans.applied = nil
	r.mu.Unlock()
	if l.applied == nil {
		return
	}
	for _, s := range r.services {
		for id, i := range s.instances {
			for ; i.lent > l.by[id]; i.lent-- {
				s.gate.release(i)
			}
			if n := l.by[id] - i.lent; n > 0 {
				i.load.Add(n) // above the limit, too: the requests are there
				i.lent += n
				s.gate.startSampling()
			}
		}
	}
	select {
	case <-r.settled:
	default:
		close(r.settled)
	}
	close(l.applied)
}

// isSettled reports whether the requests of an elder are known.
func (r *Router) isSettled() bool {
	select {
	case <-r.settled:
		return true
	default:
		return false
	}
}

// nudge makes the loading loop look again.
func (r *Router) nudge() {
	select {
	case r.idle <- struct{}{}:
	default:
	}
}
