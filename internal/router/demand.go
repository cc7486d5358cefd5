package router

import (
	"context"
	"maps"
	"slices"
	"time"
)

// sampleEvery is the time between samples of demand.
const sampleEvery = 100 * time.Millisecond

// Demand returns the demand for a service: the requests in flight on instances
// that accept new ones, the requests that wait for an instance, and the
// integral of both over time. The integral is in request-seconds, counted from
// when the router first knew the service. The average over an interval is the
// difference of two integrals divided by the interval. ok is false if the
// router does not know the service.
//
// The integral is built from samples: ten a second, and one for each call. An
// exact integral would make every request write to one shared word.
func (r *Router) Demand(serviceID string) (inFlight, waiting int, integral float64, ok bool) {
	s := r.table.Load().service(serviceID)
	if s == nil {
		return 0, 0, 0, false
	}
	f, w := s.gate.demand()
	return int(f), int(w), s.meter.sample(time.Now(), float64(f+w)), true
}

// Idle returns for how long a service has had no request, as far as this router knows: 0
// for one that it does not know, and at most since it first knew it.
func (r *Router) Idle(serviceID string) time.Duration {
	s := r.table.Load().service(serviceID)
	if s == nil || s.gate.sampled.Load() {
		return 0
	}
	return time.Since(s.known) - time.Duration(s.idleSince.Load())
}

// Began returns the services whose demand has begun since the last call: they had no
// request, and then one. Until a service is among them, it has none if Idle is not 0.
func (r *Router) Began() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := slices.Collect(maps.Keys(r.began))
	clear(r.began)
	return ids
}

// startSampling adds a service to those whose demand is sampled. Sampling stops
// when the service has no demand.
func (r *Router) startSampling(s *Service) {
	r.mu.Lock()
	r.sampleNext = append(r.sampleNext, s)
	r.began[s.id] = struct{}{}
	r.mu.Unlock()
	select {
	case r.demands <- struct{}{}:
	default:
	}
}

// sample samples the demand of all services that have any, until ctx ends.
// Services without demand cost nothing: while there is none at all it does not even wake.
func (r *Router) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var sampled []*Service
	for {
		if len(sampled) == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-r.demands:
			}
			tick.Reset(sampleEvery)
		}
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.mu.Lock()
			sampled = append(sampled, r.sampleNext...)
			clear(r.sampleNext)
			r.sampleNext = r.sampleNext[:0]
			r.mu.Unlock()
			sampled = slices.DeleteFunc(sampled, func(s *Service) bool {
				f, w := s.gate.demand()
				s.meter.sample(now, float64(f+w))
				if f+w > 0 {
					return false
				}
				s.idleSince.Store(int64(now.Sub(s.known))) // first: a stop of the sampling says that it is over
				if !s.gate.stopSampling() {
					return false
				}
				r.rests(s)
				return true
			})
		}
	}
}
