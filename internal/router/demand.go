package router

import (
	"context"
	"slices"
	"time"
)

// sampleEvery is the time between samples of demand.
const sampleEvery = 100 * time.Millisecond

// Demand tells how many requests the service has: those in flight on instances
// that take new ones, those that wait for one, and the integral of both over
// time, in request-seconds since the router first knew the service. The average
// over any time is the difference of two integrals by that time. ok is false
// for a service that the router does not know.
//
// The integral is made of samples, ten a second and one with each call: to have
// it exact every request would have to write to one shared word.
func (r *Router) Demand(serviceID string) (inFlight, waiting int, integral float64, ok bool) {
	s := r.table.Load().byID[serviceID]
	if s == nil {
		return 0, 0, 0, false
	}
	f, w := s.gate.demand()
	return int(f), int(w), s.meter.sample(time.Now(), float64(f+w)), true
}

// demanded has a service's demand sampled until it rests.
func (r *Router) demanded(s *service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awake = append(r.awake, s)
}

// sample takes the demand of services that have some regularly until ctx ends.
// Of many services most rest: they cost nothing.
func (r *Router) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var busy []*service
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.mu.Lock()
			busy = append(busy, r.awake...)
			clear(r.awake)
			r.awake = r.awake[:0]
			r.mu.Unlock()
			busy = slices.DeleteFunc(busy, func(s *service) bool {
				f, w := s.gate.demand()
				s.meter.sample(now, float64(f+w))
				return f+w == 0 && s.gate.rested()
			})
		}
	}
}
