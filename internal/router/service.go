package router

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway"
)

// Service is one service for as long as the router knows it. Requests use its
// gate, stats and meter; the other fields are used only by the loading loop.
type Service struct {
	id, name  string
	gate      *gate
	stats     stats
	meter     meter
	waking    atomic.Bool              // its instances are being thawed
	slept     atomic.Pointer[sleepLog] // nil if it never slept
	known     time.Time                // when the router first knew it
	idleSince atomic.Int64             // when its demand was last seen to be over, in nanoseconds since known; 0 at first

	wake  func(*instance) bool // thaws one that is asleep, and reports whether it did
	hurry func(*instance)      // lets one have its processor time

	keys      []RouteKey
	instances map[string]*instance // by id; those that are gone stay while they have requests
	draining  map[string]bool      // releases and instances that must drain; true once that was reported
}

func newService(rt Route, onWait func(), onIdle, onDemand func(*Service)) *Service {
	s := &Service{
		id: rt.Service, name: rt.Name,
		instances: map[string]*instance{},
		draining:  map[string]bool{},
		known:     time.Now(),
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
func (s *Service) update(rt Route, q queueLimits, f Freezer) (moved bool) {
	moved = !slices.Equal(s.keys, rt.Keys)
	s.keys = rt.Keys
	v := &view{limit: int64(rt.MaxConcurrency), refuse: rt.State.refusal(), outlook: rt.Outlook, settings: &rt.Settings, warming: &s.gate.warming}
	window, now := slowStartOf(&rt.Settings), time.Now()
	// An instance that joins others which have served for a while starts slowly. If all are
	// new, sparing one would only burden another.
	joins := window > 0 && slices.ContainsFunc(rt.Instances, func(e Endpoint) bool {
		i := s.instances[e.ID]
		return e.Open && i != nil && i.open && now.Sub(i.opened) >= window
	})
	for _, i := range s.instances {
		i.gone = true
	}
	for _, e := range rt.Instances {
		i := s.instances[e.ID]
		if i == nil {
			i = &instance{Target: Target{Instance: e.ID, Port: e.Port, Slots: rt.MaxConcurrency, Mark: markOf(e.ID)}, release: e.Release, turn: make(chan struct{}, 1)}
			i.hurry = func() { s.hurry(i) }
			i.asleep = f != nil && f.Frozen(e.ID)
			s.instances[e.ID] = i
		}
		i.gone, i.draining = false, e.Draining
		if e.Open && !i.open {
			i.opened = now
			if joins {
				s.gate.warm(i, window)
			}
		}
		i.setOpen(e.Open)
		if e.Open {
			v.instances = append(v.instances, i)
		}
	}
	for _, i := range s.instances {
		if i.gone {
			i.setOpen(false)
		}
	}
	v.queue = q.of(rt.MaxConcurrency * len(v.instances))
	s.gate.set(v)
	s.applied(rt, time.Now())
	s.setDraining(rt)
	return moved
}

// slowStartOf returns the time of a slow start, 0 for none.
func slowStartOf(s *slipway.RoutingSettings) time.Duration {
	return max(0, cmp.Or(s.SlowStart, slowStart))
}

// prune retires idle instances, forgets the idle instances that are gone, and has the
// clients of those leave that must drain.
func (s *Service) prune(retire, leave func(*Target)) {
	for id, i := range s.instances {
		if !i.idle() {
			if _, drains := s.draining[i.release]; drains || i.draining || i.gone {
				leave(&i.Target)
			}
			continue
		}
		retire(&i.Target)
		if i.gone {
			delete(s.instances, id)
		}
	}
}

// setDraining records what must drain. An id that no longer must is forgotten,
// so that it is reported again if it must drain another time.
func (s *Service) setDraining(rt Route) {
	targets := rt.mustDrain()
	maps.DeleteFunc(s.draining, func(id string, _ bool) bool { return !slices.Contains(targets, id) })
	for _, id := range targets {
		if _, ok := s.draining[id]; !ok {
			s.draining[id] = false
		}
	}
}

// drained returns the releases and instances that must drain, have nothing in
// flight, and have not been reported.
func (s *Service) drained() (ids []string) {
	for id, reported := range s.draining {
		if !reported && !s.busy(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// unreported reports whether anything must still be reported as drained.
func (s *Service) unreported() bool {
	for _, reported := range s.draining {
		if !reported {
			return true
		}
	}
	return false
}

// busy reports whether the release or instance has requests in flight or could
// get one.
func (s *Service) busy(target string) bool {
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
