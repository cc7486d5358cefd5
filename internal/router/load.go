package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// retryEvery is the time between attempts to use a store that fails.
const retryEvery = time.Second

// syncLoop keeps the table in sync with the store until ctx ends.
func (r *Router) syncLoop(ctx context.Context) error {
	watch := r.cfg.Store.Watch(store.Routes)
	defer watch.Close()
	return loop.RunDue(ctx, loop.Config{
		Name: "routes", Log: r.cfg.Log, Set: r.cfg.Loops, Watch: watch.C, Nudge: r.idle,
		Every: r.cfg.Heartbeat, Backoff: retryEvery,
	}, func(ctx context.Context) (time.Time, error) {
		watch.Take() // the version tells what changed
		return r.sync(ctx)
	})
}

// sync brings the table up to date and reports what has drained. It returns when
// the next heartbeat is due. A heartbeat comes first if it is due, after a failure,
// and before the first table: a deployment that waits for requests to end must know
// of every router that may have some.
func (r *Router) sync(ctx context.Context) (due time.Time, err error) {
	due = r.heartbeatDue
	r.heartbeatDue = time.Time{} // at once if this pass fails
	heartbeat := !time.Now().Before(due)
	if heartbeat {
		if err := r.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
			return tx.PutRouter(r.id, r.version, time.Now())
		}); err != nil {
			return due, err
		}
	}
	if err := r.load(ctx); err != nil {
		return due, err
	}
	r.lend()
	if err := r.report(ctx); err != nil {
		return due, err
	}
	if heartbeat {
		due = time.Now().Add(r.cfg.Heartbeat)
	}
	r.heartbeatDue = due
	return due, nil
}

// load applies the changes since the version of the table.
func (r *Router) load(ctx context.Context) error {
	var changed []store.Route
	committed := r.cfg.Store.RoutesCommitted() // the transaction sees all of it
	if err := r.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) {
		changed, err = tx.RoutesSince(r.version)
		return err
	}); err != nil {
		return err
	}
	routes := make([]Route, 0, len(changed))
	version := r.version
	for _, c := range changed {
		routes = append(routes, routeOf(c, r.cfg.Suffix, time.Now()))
		version = max(version, c.Service.RouteVersion)
	}
	r.Apply(routes, version)
	r.applied.raise(max(version, committed))
	return nil
}

// Apply updates the services and the table from the routes of services that have
// changed. version is that of the new table. Run calls it with what the store says.
// Without a store the owner of the router calls it, from one goroutine at a time.
func (r *Router) Apply(routes []Route, version int64) {
	limits := queueLimits{perSlot: r.cfg.QueuePerSlot, least: r.cfg.QueueLeast}
	var moved, gone []*Service
	for _, rt := range routes {
		s := r.services[rt.Service]
		if s == nil {
			s = newService(rt, func() { r.waits(rt.Service) }, r.becameIdle, r.startSampling)
			s.gate.onEject = func(i *instance, answers int32, rest time.Duration) {
				r.cfg.Log.Info("instance ejected for its answers", "service", rt.Service, "instance", i.Instance, "failures", answers, "for", rest)
			}
			s.gate.onHung = func(i *instance, is Silence) {
				if r.cfg.OnHung != nil {
					r.cfg.OnHung(i.Instance, is)
				}
			}
			s.wake = func(i *instance) bool { return r.wakeMarked(s, i) }
			s.hurry = func(i *instance) { r.unthrottle(s, i) }
			r.services[rt.Service] = s
		}
		r.dirty[s] = true
		changed := s.update(rt, limits, r.cfg.Freezer)
		r.rests(s) // it may have an instance that never had a request
		r.wakeUnwanted(s)
		r.unthrottleUnwanted(s)
		s.prune(r.retire, r.leave)
		switch {
		case rt.State == Deleted:
			gone = append(gone, s)
		case changed:
			moved = append(moved, s)
		}
	}
	r.table.Store(r.table.Load().with(moved, gone))
	r.version = version
	select {
	case <-r.loaded:
	default:
		close(r.loaded)
	}
}

func (r *Router) waits(serviceID string) {
	if s := r.table.Load().service(serviceID); s != nil {
		s.waits(time.Now())
		r.wakeFor(s)
	}
	if r.cfg.OnWait != nil {
		r.cfg.OnWait(serviceID)
	}
}

// becameIdle makes the loop look at a service with an instance that became idle.
func (r *Router) becameIdle(s *Service) {
	r.mu.Lock()
	r.woken = append(r.woken, s)
	r.mu.Unlock()
	r.nudge()
}

// reconcile prunes the services that changed or were woken, forgets those that
// are gone, and returns the ids in them that have drained. It looks at no other
// services, because most are idle at most times. A service that still has
// something to drain stays dirty.
func (r *Router) reconcile() map[*Service][]string {
	r.mu.Lock()
	for _, s := range r.woken {
		r.dirty[s] = true
	}
	r.woken = nil
	r.mu.Unlock()
	drained := map[*Service][]string{}
	for s := range r.dirty {
		s.prune(r.retire, r.leave)
		if ids := s.drained(); len(ids) > 0 {
			drained[s] = ids
		}
		if s.unreported() {
			continue
		}
		delete(r.dirty, s)
		if len(s.instances) == 0 && r.table.Load().service(s.id) == nil {
			delete(r.services, s.id)
			r.mu.Lock()
			delete(r.began, s.id)
			r.mu.Unlock()
			if r.cfg.OnGone != nil {
				r.cfg.OnGone(s.id)
			}
		}
	}
	return drained
}

// report writes to the store which releases and instances have drained. It runs
// in the loop that applies tables, so a report always matches the table that
// requests use.
func (r *Router) report(ctx context.Context) error {
	if !r.isSettled() {
		return nil
	}
	drained := r.reconcile()
	if len(drained) == 0 {
		return nil
	}
	reported := map[*Service][]string{}
	if err := r.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		clear(reported)
		for s, ids := range drained {
			done, err := r.reportOf(tx, s.id, ids)
			if err != nil {
				return err
			}
			reported[s] = done
		}
		return nil
	}); err != nil {
		return err
	}
	for s, ids := range reported {
		for _, id := range ids {
			s.draining[id] = true
		}
	}
	return nil
}

// reportOf reports the ids of a service that must still drain. An id that no
// longer must is skipped: its report would still stand when it has to drain
// another time. The next table drops it.
func (r *Router) reportOf(tx *store.Tx, serviceID string, ids []string) (done []string, err error) {
	now, err := readRoute(tx, serviceID)
	if errors.Is(err, store.ErrNotFound) {
		return ids, nil // the service is forgotten: nobody waits for the report
	}
	if err != nil {
		return nil, err
	}
	draining := routeOf(now, r.cfg.Suffix, time.Now()).mustDrain()
	for _, id := range ids {
		if !slices.Contains(draining, id) {
			continue
		}
		if err := tx.ReportDrained(r.id, serviceID, id); err != nil {
			return nil, err
		}
		done = append(done, id)
	}
	return done, nil
}

func readRoute(tx *store.Tx, serviceID string) (r store.Route, err error) {
	if r.Service, err = tx.Service(serviceID); err != nil {
		return r, err
	}
	if r.Releases, err = tx.ReleasesOf(serviceID); err != nil {
		return r, err
	}
	r.Instances, err = tx.InstancesOf(serviceID)
	return r, err
}

// routeOf translates the rows of a service to a route.
func routeOf(r store.Route, suffix string, now time.Time) Route {
	rt := Route{
		Service: r.Service.ID,
		Name:    r.Service.Name,
		State:   stateOf(r.Service),

		Settings: r.Settings,
	}
	rt.Keys = keysOf(r, suffix)
	releases := make(map[string]slipway.Release, len(r.Releases))
	for _, rel := range r.Releases {
		releases[rel.ID] = rel
		if rel.Desired != slipway.DesiredRun {
			rt.Draining = append(rt.Draining, rel.ID)
		}
	}
	active, serves := releases[r.Service.ActiveRelease]
	serves = serves && rt.State == Running && active.Desired == slipway.DesiredRun
	rt.MaxConcurrency = active.Scaling.MaxConcurrency
	if serves {
		rt.Outlook = outlookOf(r, active, now)
		rt.Stopped = active.Size == 0
	}
	for _, i := range r.Instances {
		// What a pause has frozen is the fleet's: it must not be thawed here.
		if !i.State.Live() || i.State == slipway.InstanceKept || releases[i.ReleaseID].Desired == slipway.DesiredKeep {
			continue
		}
		rt.Instances = append(rt.Instances, Endpoint{
			ID: i.ID, Release: i.ReleaseID, Port: releases[i.ReleaseID].Port,
			Open:     serves && i.ReleaseID == active.ID && i.State == slipway.InstanceReady,
			Draining: i.State == slipway.InstanceDraining,
		})
	}
	return rt
}

// keysOf returns the keys of a service. A public service answers only at the
// public listener. A private one answers at the endpoints of its VPC ingress
// connections, by the names of the connections and of its custom domains.
func keysOf(r store.Route, suffix string) (list []RouteKey) {
	add := func(listener, label string) {
		list = append(list, RouteKey{listener, strings.ToLower(label + "." + suffix)})
		for _, h := range r.Hosts {
			list = append(list, RouteKey{listener, h})
		}
	}
	if r.Service.Spec.Public() {
		add("", r.Service.Label)
		return list
	}
	for _, c := range r.Ingresses {
		if c.Serving != "" && c.RemovedAt.IsZero() {
			add(c.Serving, c.Label)
		}
	}
	return list
}

// stateOf returns how requests of a service are met. A service that is being
// created counts as running: its first requests wait for the first instance.
func stateOf(s slipway.ServiceView) State {
	switch {
	case s.Wanted == slipway.WantedDeleted, !s.DeletedAt.IsZero():
		return Deleted
	case s.Wanted == slipway.WantedPaused && s.Live != nil && s.Live.Kind == slipway.ResumeService && s.Live.Status == slipway.OperationPending:
		return Running // ResumeService has returned: the first requests wait
	case s.Wanted == slipway.WantedPaused:
		return Paused
	case s.ActiveRelease != "":
		return Running
	case s.Live != nil && s.Live.Kind == slipway.CreateService && s.Live.Status != slipway.OperationRollbackInProgress:
		return Running
	}
	return NotDeployed
}
