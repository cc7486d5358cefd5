package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/openslipway/slipway"
)

// Route is everything that a router needs to know about one service, read in one
// transaction.
type Route struct {
	Service   slipway.ServiceView
	Releases  []slipway.Release
	Instances []slipway.Instance             // those that live
	Ended     []slipway.Instance             // of the active release; only while none of it is ready
	Ingresses []slipway.VPCIngressConnection // of a private service
	Settings  slipway.RoutingSettings
	Hosts     []string // of its active custom domains, in lower case; wildcards begin with "*."
}

// RoutesSince returns the routes of services whose RouteVersion is above version,
// lowest first. It includes deleted services until ForgetServices removes them. Those with
// damaged rows are left out: who has a route of them keeps it.
func (tx *Tx) RoutesSince(version int64) ([]Route, error) {
	rows, err := sound(tx, "service", scanServiceRow, serviceViews+`WHERE s.route_version > $1 ORDER BY s.route_version`, version)
	if err != nil {
		return nil, err
	}
	routes := make([]Route, 0, len(rows))
	for _, row := range rows {
		r, err := tx.route(row)
		if err == nil {
			routes = append(routes, r)
		} else if err := tx.PassOver("service "+row.service.ID, err); err != nil {
			return nil, err
		}
	}
	return routes, nil
}

// route reads the rest of a service's route.
func (tx *Tx) route(row serviceRow) (r Route, err error) {
	views, err := tx.views([]serviceRow{row})
	if err != nil {
		return r, err
	}
	v := views[0]
	r.Service = v
	if r.Releases, err = tx.ReleasesOf(v.ID); err != nil {
		return r, err
	}
	if r.Instances, err = all(tx, scanInstance, `SELECT `+instanceColumns+` FROM instance
		WHERE service_id = $1 AND state <> 'ended' ORDER BY created_at, id`, v.ID); err != nil {
		return r, err
	}
	if r.Ended, err = tx.endedOfActive(r); err != nil {
		return r, err
	}
	if r.Settings, err = tx.RoutingSettings(v.Service); err != nil {
		return r, err
	}
	if r.Ingresses, err = tx.ingressRoutes(v); err != nil {
		return r, err
	}
	r.Hosts, err = tx.activeHosts(v.ID)
	return r, err
}

// ChangedServices returns the ids of the services whose RouteVersion is above version, lowest
// first, and the highest of their versions: version itself if there is none. It costs what
// has changed, not what there is. It shows every change to a service, its tags, its releases,
// its instances and the life of its operations, whichever process made it; a service that was
// forgotten is not among them, but its deletion was.
func (tx *Tx) ChangedServices(version int64) (ids []string, last int64, err error) {
	type changed struct {
		id      string
		version int64
	}
	rows, err := all(tx, func(s scanner) (c changed, err error) { err = s.Scan(&c.id, &c.version); return c, err },
		`SELECT id, route_version FROM service WHERE route_version > $1 ORDER BY route_version`, version)
	last = version
	for _, c := range rows {
		ids, last = append(ids, c.id), c.version
	}
	return ids, last, err
}

func (tx *Tx) endedOfActive(r Route) ([]slipway.Instance, error) {
	active := r.Service.ActiveRelease
	if active == "" || slices.ContainsFunc(r.Instances, func(i slipway.Instance) bool {
		return i.ReleaseID == active && i.State == slipway.InstanceReady
	}) {
		return nil, nil
	}
	list, err := tx.InstancesOfRelease(active)
	return slices.DeleteFunc(list, func(i slipway.Instance) bool { return i.State.Live() }), err
}

// RoutingSettings returns a service's settings for requests. Tags were checked when they were
// set; those of another version that this one does not know are left out.
func (tx *Tx) RoutingSettings(v slipway.Service) (slipway.RoutingSettings, error) {
	tags, err := tx.Tags(v.ARN)
	if err != nil {
		return slipway.RoutingSettings{}, err
	}
	return slipway.RoutingOf(tags), nil
}

func (tx *Tx) ingressRoutes(v slipway.ServiceView) ([]slipway.VPCIngressConnection, error) {
	if v.Spec.Public() {
		return nil, nil
	}
	return tx.VPCIngressesOf(v.ID)
}

// PutRouter records that the router is alive and which table version it applies. Each call
// needs another time: that the row changes is the sign of life.
func (tx *Tx) PutRouter(id string, version int64, now time.Time) error {
	_, err := tx.exec(`INSERT INTO router (id, version, seen_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at`, id, version, nanos(now))
	return err
}

// ForgetRouter removes the router with this id and what it reported; an empty id
// means all. The caller knows that its process is dead.
func (tx *Tx) ForgetRouter(id string) error {
	if _, err := tx.exec(`DELETE FROM drained WHERE router IN (SELECT id FROM router WHERE $1 = '' OR id = $1)`, id); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM router WHERE $1 = '' OR id = $1`, id)
	return err
}

// ReportDrained records that the target, the id of a release or an instance of the
// service, takes no new requests from the router and has none in flight. It is
// idempotent.
func (tx *Tx) ReportDrained(routerID, serviceID, target string) error {
	n, err := tx.exec(`INSERT INTO drained (router, target) VALUES ($1, $2) ON CONFLICT DO NOTHING`, routerID, target)
	if err != nil {
		return fmt.Errorf("report %s drained: %w", target, err)
	}
	if n > 0 {
		tx.touch(serviceID, Drains)
	}
	return nil
}

// Drained reports whether every live router has reported the target drained. Without a live
// router no request is in flight. A router lives until its row has been the same for silent,
// by the time that passes in this process; see PutRouter.
func (tx *Tx) Drained(target string, silent time.Duration) (bool, error) {
	n, err := tx.countRouters(silent, `SELECT r.id, r.seen_at FROM router r
		WHERE NOT EXISTS (SELECT 1 FROM drained d WHERE d.router = r.id AND d.target = $1)`, target)
	return n == 0, err
}

// CountOtherRouters counts the live routers beside the one with this id, as Drained does.
func (tx *Tx) CountOtherRouters(id string, silent time.Duration) (int, error) {
	return tx.countRouters(silent, `SELECT id, seen_at FROM router WHERE id <> $1`, id)
}

// countRouters counts the live ones of the routers that a query returns.
func (tx *Tx) countRouters(silent time.Duration, query, arg string) (n int, err error) {
	live, err := all(tx, func(s scanner) (live bool, err error) {
		var id string
		var seenAt int64
		err = s.Scan(&id, &seenAt)
		return err == nil && tx.signs.lives(id, seenAt, silent), err
	}, query, arg)
	for _, l := range live {
		if l {
			n++
		}
	}
	return n, err
}

func (tx *Tx) forgetDrained(target string) error {
	_, err := tx.exec(`DELETE FROM drained WHERE router IN (SELECT id FROM router) AND target = $1`, target)
	return err
}
