package router

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// service is one service for as long as the router knows it. Requests use its
// gate, stats and meter; the other fields are used only by the loading loop.
type service struct {
	id, name string
	gate     *gate
	stats    stats
	meter    meter

	keys      []routeKey
	instances map[string]*instance // by id; those that are gone stay while they have requests
	draining  map[string]bool      // releases and instances that must drain; true once that was reported
}

func newService(rt route, onWait func(), onIdle, onDemand func(*service)) *service {
	s := &service{
		id: rt.service, name: rt.name,
		instances: map[string]*instance{},
		draining:  map[string]bool{},
	}
	s.gate = newGate(onWait, func() { onIdle(s) }, func() { onDemand(s) })
	return s
}

// queueLimits limits the waiting requests of a service.
type queueLimits struct {
	perSlot int // for each slot of its instances
	least   int // minimum
}

func (q queueLimits) of(slots int) int { return max(slots*q.perSlot, q.least) }

// update applies a route and reports whether the keys of the service changed.
// create returns a new instance.
func (s *service) update(rt route, q queueLimits, create func(endpoint) *instance) (moved bool) {
	moved = !slices.Equal(s.keys, rt.keys)
	s.keys = rt.keys
	v := &view{limit: int64(rt.maxConcurrency), refuse: rt.state.refusal()}
	for _, i := range s.instances {
		i.gone = true
	}
	for _, e := range rt.instances {
		i := s.instances[e.id]
		if i == nil {
			i = create(e)
			s.instances[e.id] = i
		}
		i.gone = false
		i.setOpen(e.open)
		if e.open {
			v.instances = append(v.instances, i)
		}
	}
	for _, i := range s.instances {
		if i.gone {
			i.setOpen(false)
		}
	}
	v.queue = q.of(rt.maxConcurrency * len(v.instances))
	s.gate.set(v)
	s.setDraining(rt)
	s.prune()
	return moved
}

// prune closes the pooled connections of idle instances and forgets the idle
// instances that are gone.
func (s *service) prune() {
	for id, i := range s.instances {
		if !i.idle() {
			continue
		}
		i.transport.CloseIdleConnections()
		if i.gone {
			delete(s.instances, id)
		}
	}
}

// setDraining records what must drain. An id that no longer must is forgotten,
// so that it is reported again if it must drain another time.
func (s *service) setDraining(rt route) {
	targets := rt.targets()
	maps.DeleteFunc(s.draining, func(id string, _ bool) bool { return !slices.Contains(targets, id) })
	for _, id := range targets {
		if _, ok := s.draining[id]; !ok {
			s.draining[id] = false
		}
	}
}

// drained returns the releases and instances that must drain, have nothing in
// flight, and have not been reported.
func (s *service) drained() (ids []string) {
	for id, reported := range s.draining {
		if !reported && !s.busy(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// unreported reports whether anything must still be reported as drained.
func (s *service) unreported() bool {
	for _, reported := range s.draining {
		if !reported {
			return true
		}
	}
	return false
}

// busy reports whether the release or instance has requests in flight or could
// get one.
func (s *service) busy(target string) bool {
	for id, i := range s.instances {
		if (id == target || i.release == target) && !i.idle() {
			return true
		}
	}
	return false
}

// meter integrates the demand for a service over time.
type meter struct {
	mu   sync.Mutex // guards all
	at   time.Time  // of the last sample; zero before the first
	last float64    // demand then
	area float64    // integral of demand until then, in request-seconds
}

// sample records the current demand and returns the integral up to now.
func (m *meter) sample(now time.Time, demand float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := now.Sub(m.at); !m.at.IsZero() && d > 0 {
		m.area += m.last * d.Seconds()
	}
	m.at, m.last = now, demand
	return m.area
}
