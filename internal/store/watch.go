package store

import (
	"fmt"
	"sync"
)

// Topic is a set of things about a service that may change.
type Topic uint8

const (
	Operations Topic = 1 << iota // an operation was asked for or ended, a deployment is pending
	Releases                     // a release's desired state or size
	Instances                    // a fact about an instance
	Routes                       // anything a router must know
	Drains                       // a router reported a release or instance empty
	Ingresses                    // what should be of a VPC ingress connection
	Events                       // an event waits for delivery to a webhook
	Domains                      // a custom domain was asked for, got further, or went
)

// watchers hands touched services to their subscribers.
type watchers struct {
	mu   sync.Mutex // guards list
	list map[*Watch]struct{}
}

// Watch tells which services were touched. C is nudged after a commit; Take
// then says which. A nudge may be spurious and several commits may share one,
// but none is lost while the Watch is open.
type Watch struct {
	C      <-chan struct{}
	nudge  chan struct{}
	topics Topic
	of     *watchers
	dirty  map[string]struct{} // guarded by of.mu
}

// Watch subscribes to the given topics until Close.
func (s *Store) Watch(topics Topic) *Watch {
	c := make(chan struct{}, 1)
	w := &Watch{C: c, nudge: c, topics: topics, of: &s.watch, dirty: map[string]struct{}{}}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if s.watch.list == nil {
		s.watch.list = map[*Watch]struct{}{}
	}
	s.watch.list[w] = struct{}{}
	return w
}

// Take returns the ids of the services touched since the last call.
func (w *Watch) Take() []string {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	ids := make([]string, 0, len(w.dirty))
	for id := range w.dirty {
		ids = append(ids, id)
	}
	clear(w.dirty)
	return ids
}

// Close ends the subscription; C is not closed.
func (w *Watch) Close() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.list, w)
}

func (ws *watchers) notify(touched map[string]Topic) {
	if len(touched) == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.list {
		hit := false
		for id, t := range touched {
			if t&w.topics != 0 {
				w.dirty[id] = struct{}{}
				hit = true
			}
		}
		if hit {
			select {
			case w.nudge <- struct{}{}:
			default:
			}
		}
	}
}

// touch notes that the service changed, for watchers and routers.
func (tx *Tx) touch(serviceID string, t Topic) {
	if tx.touched == nil {
		tx.touched = map[string]Topic{}
	}
	tx.touched[serviceID] |= t
}

// bumpRoutes gives every service whose route changed in this transaction a new,
// higher route version. It runs last, so that versions rise in commit order.
func (tx *Tx) bumpRoutes() error {
	for id, t := range tx.touched {
		if t&Routes == 0 {
			continue
		}
		v, err := tx.count(`UPDATE counter SET value = value + 1 WHERE name = 'route' RETURNING value`)
		if err != nil {
			return fmt.Errorf("raise the route version: %w", err)
		}
		if _, err := tx.exec(`UPDATE service SET route_version = $1 WHERE id = $2`, v, id); err != nil {
			return fmt.Errorf("set the route version of %s: %w", id, err)
		}
	}
	return nil
}
