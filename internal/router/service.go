package router

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// service is one service for as long as the router knows it. Requests use its
// gate, stats and meter; the other fields belong to the loop that loads the
// table.
type service struct {
	id, name string
	gate     *gate
	stats    stats
	meter    meter

	places    []place
	instances map[string]*instance // by id; gone ones too while they have requests
	leaving   map[string]bool      // releases and instances that must empty: whether that was reported
}

func newService(rt route, onWait func(), onIdle, onDemand func(*service)) *service {
	s := &service{
		id: rt.service, name: rt.name,
		instances: map[string]*instance{},
		leaving:   map[string]bool{},
	}
	s.gate = newGate(onWait, func() { onIdle(s) }, func() { onDemand(s) })
	return s
}

// queueLimits says how many requests of a service may wait.
type queueLimits struct {
	perSlot int // for each request its instances can take at once
	least   int
}

func (q queueLimits) of(slots int) int { return max(slots*q.perSlot, q.least) }

// update makes the service as the route says and reports whether its places
// changed. create returns a new instance.
func (s *service) update(rt route, q queueLimits, create func(endpoint) *instance) (moved bool) {
	moved = !slices.Equal(s.places, rt.places)
	s.places = rt.places
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
	s.setLeaving(rt)
	s.tidy()
	return moved
}

// tidy closes the connections that nobody will use again and forgets the gone
// instances with nothing in flight.
func (s *service) tidy() {
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

// setLeaving takes over what must empty. What no longer must is forgotten, so
// that it is reported again should it have to another time.
func (s *service) setLeaving(rt route) {
	targets := rt.targets()
	maps.DeleteFunc(s.leaving, func(id string, _ bool) bool { return !slices.Contains(targets, id) })
	for _, id := range targets {
		if _, ok := s.leaving[id]; !ok {
			s.leaving[id] = false
		}
	}
}

// empty returns the releases and instances that must empty, have nothing in
// flight and were not reported so.
func (s *service) empty() (ids []string) {
	for id, reported := range s.leaving {
		if !reported && !s.busy(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// unreported reports whether something still has to be reported empty.
func (s *service) unreported() bool {
	for _, reported := range s.leaving {
		if !reported {
			return true
		}
	}
	return false
}

// busy reports whether the release or instance has requests in flight, or
// could get one.
func (s *service) busy(target string) bool {
	for id, i := range s.instances {
		if (id == target || i.release == target) && !i.idle() {
			return true
		}
	}
	return false
}

// meter integrates a service's demand over time.
type meter struct {
	mu   sync.Mutex // guards all
	at   time.Time  // of the last sample; zero before the first
	last float64    // demand then
	area float64    // integral of demand until then, in request-seconds
}

// sample takes the demand as it is now and returns the integral up to now.
func (m *meter) sample(now time.Time, demand float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := now.Sub(m.at); !m.at.IsZero() && d > 0 {
		m.area += m.last * d.Seconds()
	}
	m.at, m.last = now, demand
	return m.area
}
