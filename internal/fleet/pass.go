package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// pass plans for all services that are due and carries it out. Before the world
// was seen once nothing is decided.
func (f *Fleet) pass(ctx context.Context) {
	if !f.world.known || ctx.Err() != nil {
		return
	}
	now := time.Now()
	for id, t := range f.wakes {
		if !now.Before(t) {
			f.touch(id)
		}
	}
	if !f.world.everything && len(f.dirty) == 0 {
		return
	}
	p, err := f.decide(ctx, now)
	if err != nil {
		if ctx.Err() == nil {
			f.log.Error("plan instances", "err", err)
		}
		for id := range f.dirty { // not before a moment has passed
			f.wakes[id] = now.Add(time.Second)
		}
		clear(f.dirty)
		return
	}
	f.world.everything = false
	clear(f.dirty)
	for id, s := range p {
		f.apply(ctx, now, id, s)
	}
}

// touch makes a service due.
func (f *Fleet) touch(service string) {
	if _, due := f.dirty[service]; !due {
		f.dirty[service] = false
	}
}

// planned is a service's rows as they are now, and what was decided by them.
type planned struct {
	sight
	decision
}

// decide plans for the services that are due and writes the rows that change.
func (f *Fleet) decide(ctx context.Context, now time.Time) (map[string]planned, error) {
	all := map[string]planned{}
	writers := map[string]bool{}
	if f.news() {
		writers = f.dirty
	} else {
		if err := f.store.View(ctx, func(tx *store.Tx) error {
			ids, err := f.due(tx)
			if err != nil {
				return err
			}
			return f.planAll(tx, ids, now, all)
		}); err != nil {
			return nil, fmt.Errorf("read releases and instances: %w", err)
		}
		for id, p := range all {
			if p.writes() {
				writers[id] = true
			}
		}
		if len(writers) == 0 {
			return all, nil
		}
	}
	// What was read may have changed: decide in the writing transaction.
	if err := f.store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		if err := f.planAll(tx, writers, now, all); err != nil {
			return err
		}
		for id := range writers {
			if err := write(tx, id, now, all[id].decision); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("write instances: %w", err)
	}
	return all, nil
}

// news reports whether all that is due has something new to write for sure:
// then there is no need to look first.
func (f *Fleet) news() bool {
	if f.world.everything {
		return false
	}
	for _, certain := range f.dirty {
		if !certain {
			return false
		}
	}
	return true
}

func (f *Fleet) planAll(tx *store.Tx, ids map[string]bool, now time.Time, all map[string]planned) (err error) {
	for id := range ids {
		if all[id], err = f.plan(tx, id, now); err != nil {
			return err
		}
	}
	return nil
}

// due returns the services to look at.
func (f *Fleet) due(tx *store.Tx) (map[string]bool, error) {
	ids := maps.Clone(f.dirty)
	if !f.world.everything {
		return ids, nil
	}
	for id := range f.byService { // strays too
		ids[id] = true
	}
	services, err := tx.ServicesAtWork()
	for _, id := range services {
		ids[id] = true
	}
	return ids, err
}

// plan gathers a service's facts and decides.
func (f *Fleet) plan(tx *store.Tx, service string, now time.Time) (planned, error) {
	p := planned{sight: sight{limits: f.limits}}
	var err error
	if p.releases, err = tx.ReleasesOf(service); err != nil {
		return p, err
	}
	rows, err := tx.InstancesOf(service)
	if err != nil {
		return p, err
	}
	stored := make(map[string]bool, len(rows))
	for _, row := range rows {
		stored[row.ID] = true
		fa := fact{row: row, stored: true}
		fa.take(f.members[row.ID])
		if row.State == slipway.InstanceDraining {
			if fa.drained, err = tx.Drained(row.ID, now.Add(-f.limits.RouterSilent)); err != nil {
				return p, err
			}
		}
		p.instances = append(p.instances, fa)
	}
	for _, m := range f.byService[service] {
		if !stored[m.id] {
			fa := fact{row: slipway.Instance{
				ID: m.id, ServiceID: service, ReleaseID: m.release,
				State: slipway.InstanceStarting, CreatedAt: m.createdAt,
			}}
			fa.take(m)
			p.instances = append(p.instances, fa)
		}
	}
	// The planner works on its own copy: what is read stays what it was.
	p.decision = plan(now, sight{p.releases, slices.Clone(p.instances), p.limits})
	return p, nil
}

// take adds what the loop knows of the instance.
func (fa *fact) take(m *member) {
	if m == nil {
		return
	}
	fa.presence, fa.removing, fa.exit = m.presence, m.removing, m.exit
	fa.passed, fa.failing, fa.problem = m.passed, m.failing, m.problem
	fa.drainSince = m.drainSince
	if m.cancel == nil && m.presence == alive { // nobody has looked after it yet
		fa.failing, fa.problem = fa.row.State == slipway.InstanceUnhealthy, fa.row.Problem
	}
}

func write(tx *store.Tx, service string, now time.Time, d decision) error {
	for _, i := range d.put {
		if err := tx.PutInstance(i); err != nil {
			return err
		}
	}
	for _, i := range d.forget {
		if err := tx.DeleteInstance(i); err != nil {
			return err
		}
	}
	for _, text := range d.events {
		if err := tx.InsertEvent(slipway.Event{ServiceID: service, Stream: "events", At: now, Text: text}); err != nil {
			return err
		}
	}
	return nil
}

// apply carries out what was decided for a service, once its rows are written.
func (f *Fleet) apply(ctx context.Context, now time.Time, service string, p planned) {
	f.adopt(ctx, p)
	for _, i := range p.put {
		if m := f.members[i.ID]; m != nil && i.State == slipway.InstanceDraining && m.drainSince.IsZero() {
			m.drainSince = now
		}
		if i.Exit != nil {
			f.log.Info("instance ended", "service", service, "release", i.ReleaseID, "instance", i.ID,
				"code", i.Exit.Code, "signal", i.Exit.Signal, "oom", i.Exit.OOM, "reason", i.Exit.Reason, "ran", i.Exit.Ran)
		}
	}
	for _, r := range p.start {
		f.start(ctx, now, r)
	}
	for _, r := range p.remove {
		f.remove(ctx, r)
	}
	for _, fa := range p.instances { // their rows are closed, or they never had one
		if m := f.members[fa.row.ID]; m != nil && m.presence == absent {
			f.drop(m)
		}
	}
	wake := p.wake
	if visible := now.Add(f.limits.visibleAfter); len(p.start) > 0 && (wake.IsZero() || visible.Before(wake)) {
		wake = visible // those that were started just now are not in the plan yet
	}
	delete(f.wakes, service)
	if !wake.IsZero() {
		f.wakes[service] = wake
	}
	if len(p.releases) == 0 && len(p.instances) == 0 {
		delete(f.slots, service)
	}
}

// adopt tends living instances that this process has not started.
func (f *Fleet) adopt(ctx context.Context, p planned) {
	for _, fa := range p.instances {
		m := f.members[fa.row.ID]
		if m == nil || m.presence != alive || m.removing || m.cancel != nil {
			continue
		}
		if fa.row.State == slipway.InstanceDraining && m.drainSince.IsZero() {
			m.drainSince = time.Now() // how long it has been draining is not known
		}
		i := slices.IndexFunc(p.releases, func(r slipway.Release) bool { return r.ID == m.release })
		if i < 0 {
			continue // a stray
		}
		switch fa.row.State {
		case slipway.InstanceReady, slipway.InstanceDraining:
			m.passed = fa.row.ReadyAt
		case slipway.InstanceUnhealthy:
			m.passed, m.failing, m.problem = fa.row.ReadyAt, true, fa.row.Problem
		}
		f.tend(ctx, m, p.releases[i], false)
	}
}
