package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// retryEvery is the time between attempts to reach a store that fails.
const retryEvery = time.Second

// follow keeps the table as the store says until ctx ends.
func (r *Router) follow(ctx context.Context) {
	watch := r.cfg.Store.Watch(store.Routes)
	defer watch.Close()
	timer := time.NewTimer(r.cfg.Heartbeat)
	defer timer.Stop()
	for beat := true; ; {
		err := r.pass(ctx, beat)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("routes not brought up to date", "err", err)
			timer.Reset(retryEvery)
		} else if beat {
			timer.Reset(r.cfg.Heartbeat)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			beat = true
		case <-watch.C:
			watch.Take() // versions tell what changed
			beat = err != nil
		case <-r.idle:
			beat = err != nil
		}
	}
}

// pass brings the table up to date and reports what has become empty; beat
// says to leave a sign of life besides. The first sign comes before the first
// table: who waits for requests to end must know of a router that has any.
func (r *Router) pass(ctx context.Context, beat bool) error {
	if beat {
		if err := r.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
			return tx.SeeRouter(r.id, r.version, time.Now())
		}); err != nil {
			return err
		}
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	return r.report(ctx)
}

// load applies what changed since the table's version.
func (r *Router) load(ctx context.Context) error {
	var changed []store.Route
	if err := r.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		changed, err = tx.RoutesSince(r.version)
		return err
	}); err != nil {
		return err
	}
	routes := make([]route, 0, len(changed))
	version := r.version
	for _, c := range changed {
		routes = append(routes, routeOf(c, r.cfg.Suffix))
		version = max(version, c.Service.RouteVersion)
	}
	r.apply(routes, version)
	return nil
}

// apply brings the services and the table to what routes say.
func (r *Router) apply(routes []route, version int64) {
	limits := queueLimits{perSlot: r.cfg.QueuePerSlot, least: r.cfg.QueueLeast}
	var moved, gone []*service
	for _, rt := range routes {
		s := r.services[rt.service]
		if s == nil {
			s = newService(rt, func() { r.waits(rt.service) }, r.stir, r.demanded)
			r.services[rt.service] = s
		}
		r.unsettled[s] = true
		switch changed := s.update(rt, limits, func(e endpoint) *instance { return r.newInstance(e, rt.maxConcurrency) }); {
		case rt.state == deleted:
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

func (r *Router) newInstance(e endpoint, slots int) *instance {
	return &instance{
		id: e.id, release: e.release, port: e.port,
		transport: newTransport(r.cfg.Dialer, e.id, e.port, slots),
	}
}

func (r *Router) waits(serviceID string) {
	if r.cfg.OnWait != nil {
		r.cfg.OnWait(serviceID)
	}
}

// stir makes the loop look at a service of which something became empty.
func (r *Router) stir(s *service) {
	r.mu.Lock()
	r.stirred = append(r.stirred, s)
	r.mu.Unlock()
	select {
	case r.idle <- struct{}{}:
	default:
	}
}

// settle tidies the services that changed or were stirred, forgets those that
// are gone, and returns what of them has become empty. It looks at no others:
// most of many services do nothing at most times. One with something left to
// empty stays unsettled.
func (r *Router) settle() map[*service][]string {
	r.mu.Lock()
	for _, s := range r.stirred {
		r.unsettled[s] = true
	}
	r.stirred = nil
	r.mu.Unlock()
	empty := map[*service][]string{}
	for s := range r.unsettled {
		s.tidy()
		if ids := s.empty(); len(ids) > 0 {
			empty[s] = ids
		}
		if s.unreported() {
			continue
		}
		delete(r.unsettled, s)
		if len(s.instances) == 0 && r.table.Load().byID[s.id] == nil {
			delete(r.services, s.id)
		}
	}
	return empty
}

// report tells the store which releases and instances have become empty. It
// runs in the loop that applies tables, so what it reports is so in the table
// that requests go by.
func (r *Router) report(ctx context.Context) error {
	empty := r.settle()
	if len(empty) == 0 {
		return nil
	}
	reported := map[*service][]string{}
	if err := r.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		clear(reported)
		for s, ids := range empty {
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
			s.leaving[id] = true
		}
	}
	return nil
}

// reportOf reports those of a service's releases and instances that must still
// empty. One that was taken back meanwhile must not be reported: the word would
// stand when it has to empty another time. The next table will say so.
func (r *Router) reportOf(tx *store.Tx, serviceID string, ids []string) (done []string, err error) {
	now, err := readRoute(tx, serviceID)
	if errors.Is(err, store.ErrNotFound) {
		return ids, nil // forgotten: nobody waits any more
	}
	if err != nil {
		return nil, err
	}
	leaving := routeOf(now, r.cfg.Suffix).targets()
	for _, id := range ids {
		if !slices.Contains(leaving, id) {
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

// routeOf is what the store's rows mean to the router.
func routeOf(r store.Route, suffix string) route {
	rt := route{
		service: r.Service.ID,
		name:    r.Service.Name,
		state:   stateOf(r.Service),
	}
	rt.places = placesOf(r, suffix)
	releases := make(map[string]slipway.Release, len(r.Releases))
	for _, rel := range r.Releases {
		releases[rel.ID] = rel
		if rel.Desired != slipway.DesiredRun {
			rt.leaving = append(rt.leaving, rel.ID)
		}
	}
	active, serves := releases[r.Service.ActiveRelease]
	serves = serves && rt.state == running && active.Desired == slipway.DesiredRun
	rt.maxConcurrency = active.Scaling.MaxConcurrency
	for _, i := range r.Instances {
		if !i.State.Live() {
			continue
		}
		rt.instances = append(rt.instances, endpoint{
			id: i.ID, release: i.ReleaseID, port: releases[i.ReleaseID].Port,
			open:    serves && i.ReleaseID == active.ID && i.State == slipway.InstanceReady,
			leaving: i.State == slipway.InstanceDraining,
		})
	}
	return rt
}

// placesOf returns where a service is found. A public one answers at the public
// listener alone; a private one at the endpoints of its VPC ingress connections,
// by their own names, and by those of its custom domains.
func placesOf(r store.Route, suffix string) (list []place) {
	add := func(entry, label string) {
		list = append(list, place{entry, strings.ToLower(label + "." + suffix)})
		for _, h := range r.Hosts {
			list = append(list, place{entry, h})
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

// stateOf says how a service's requests are met. One that is being created is
// running already: its first requests wait for its first instance.
func stateOf(s store.ServiceView) state {
	switch {
	case s.Wanted == slipway.WantedDeleted, !s.DeletedAt.IsZero():
		return deleted
	case s.Wanted == slipway.WantedPaused && s.Live != nil && s.Live.Kind == slipway.ResumeService && s.Live.Status == slipway.OperationPending:
		return running // the answer to ResumeService is out: its first requests wait
	case s.Wanted == slipway.WantedPaused:
		return paused
	case s.ActiveRelease != "":
		return running
	case s.Live != nil && s.Live.Kind == slipway.CreateService && s.Live.Status != slipway.OperationRollbackInProgress:
		return running
	}
	return unborn
}
