package store

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Topic is a set of kinds of change to a service.
type Topic uint16

const (
	Operations Topic = 1 << iota // an operation was requested, changed or ended; a deployment is pending
	Releases                     // a release's desired state or size
	Instances                    // an instance's row
	Routes                       // anything that routers need to know, or a release
	Drains                       // a router reported a release or instance empty
	Ingresses                    // the desired state of a VPC ingress connection
	Events                       // a bus event waits for delivery
	Domains                      // a custom domain was added, changed or removed
	Cancels                      // somebody cancelled an operation
)

// watchers passes changed services to subscribers.
type watchers struct {
	mu   sync.Mutex // guards list
	list map[*Watch]struct{}
}

// Watch tells which services changed. C receives a nudge after a commit; Take then
// returns the services. A nudge may be spurious, and several commits may share one,
// but no change is lost while the Watch is open.
type Watch struct {
	C        <-chan struct{}
	nudge    chan struct{}
	topics   Topic
	watchers *watchers
	dirty    map[string]struct{} // guarded by of.mu
}

// Watch subscribes to the given topics until Close.
func (s *Store) Watch(topics Topic) *Watch {
	c := make(chan struct{}, 1)
	w := &Watch{C: c, nudge: c, topics: topics, watchers: &s.watch, dirty: map[string]struct{}{}}
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
	w.watchers.mu.Lock()
	defer w.watchers.mu.Unlock()
	ids := make([]string, 0, len(w.dirty))
	for id := range w.dirty {
		ids = append(ids, id)
	}
	clear(w.dirty)
	return ids
}

// Close ends the subscription; C is not closed.
func (w *Watch) Close() {
	w.watchers.mu.Lock()
	defer w.watchers.mu.Unlock()
	delete(w.watchers.list, w)
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

// touch records that the service changed, for watchers and routers.
func (tx *Tx) touch(serviceID string, t Topic) {
	if tx.touched == nil {
		tx.touched = map[string]Topic{}
	}
	tx.touched[serviceID] |= t
}

// bumpRoutes gives every service whose route changed in this transaction a new,
// higher route version, and returns the highest; 0 if none did. It runs last: versions rise
// in the order of commits.
func (tx *Tx) bumpRoutes() (last int64, err error) {
	for id, t := range tx.touched {
		if t&Routes == 0 {
			continue
		}
		v, err := tx.count(`UPDATE counter SET value = value + 1 WHERE name = 'route' RETURNING value`)
		if err != nil {
			return 0, fmt.Errorf("raise the route version: %w", err)
		}
		if _, err := tx.exec(`UPDATE service SET route_version = $1 WHERE id = $2`, v, id); err != nil {
			return 0, fmt.Errorf("set the route version of %s: %w", id, err)
		}
		last = int64(v)
	}
	return last, nil
}

// routeChanges says how far the changes of routes by this process are. The highest route
// version that readers may see is known before the commit that shows it, and the highest that
// every reader sees from now on only after it.
type routeChanges struct{ seen, committed atomic.Int64 }

// begin says that a commit with a route version is next, 0 for none; the writer calls it. The
// returned function says whether there was one.
func (r *routeChanges) begin(version int64) (ended func(done bool)) {
	if version == 0 {
		return func(bool) {}
	}
	r.seen.Store(version)
	return func(done bool) {
		if done {
			r.committed.Store(version)
		} else {
			r.seen.Store(r.committed.Load())
		}
	}
}

// RoutesSeen returns a version of the routes that has all changes of this process that a
// transaction until now can have seen. Who has told of them may wait until the routers of this
// process have that version; see [Store.RoutesCommitted].
func (s *Store) RoutesSeen() int64 { return s.routes.seen.Load() }

// RoutesCommitted returns a version of the routes that transactions which begin from now on
// have all of.
func (s *Store) RoutesCommitted() int64 { return s.routes.committed.Load() }
