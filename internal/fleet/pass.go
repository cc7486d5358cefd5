package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// pass plans for all services that are due and applies the decisions. It does
// nothing before the driver's instances have been listed once.
func (f *Fleet) pass(ctx context.Context) {
	if !f.observed.known || ctx.Err() != nil {
		return
	}
	now := time.Now()
	for id, t := range f.wakes {
		if !now.Before(t) {
			f.markDue(id)
		}
	}
	if !f.observed.everything && !f.observed.changed && len(f.dirty) == 0 {
		return
	}
	p, err := f.decide(ctx, now)
	if err != nil {
		if ctx.Err() == nil {
			f.log.Error("plan instances", "err", err)
		}
		for id := range f.dirty { // retry after a second
			f.wakes[id] = now.Add(time.Second)
		}
		clear(f.dirty)
		return
	}
	f.observed.everything, f.observed.changed = false, false
	clear(f.dirty)
	for id, s := range p {
		if s.settled() {
			delete(f.unsettled, id)
		} else {
			f.unsettled[id] = true
		}
		f.apply(ctx, now, id, s)
	}
	f.tellStrays(p)
}

// settled reports whether nothing is under way for a service: it needs no pass before it is
// told of a change. A router that falls silent is no such change, so a service that drains is
// not settled.
func (p planned) settled() bool {
	if p.writes() || len(p.start)+len(p.remove)+len(p.freeze)+len(p.thaw) > 0 {
		return false
	}
	keeps := map[string]bool{}
	for _, r := range p.releases {
		keeps[r.ID] = r.Desired == slipway.DesiredKeep
	}
	ready := map[string]int{}
	for _, o := range p.instances {
		switch {
		case o.stray:
		case o.resting, o.held && !keeps[o.row.ReleaseID]:
			return false
		case o.row.State == slipway.InstanceReady && o.presence == alive && !o.removing:
			ready[o.row.ReleaseID]++
		case o.row.State == slipway.InstanceKept && o.presence == alive && !o.removing && keeps[o.row.ReleaseID]:
		case o.row.State == slipway.InstanceEnded && o.presence == absent:
		default:
			return false
		}
	}
	for _, r := range p.releases {
		want := r.Size
		if r.Desired != slipway.DesiredRun {
			want = 0
		}
		if ready[r.ID] != want {
			return false
		}
		delete(ready, r.ID)
	}
	return len(ready) == 0
}

// markDue marks a service as due.
func (f *Fleet) markDue(service string) {
	if _, due := f.dirty[service]; !due {
		f.dirty[service] = false
	}
}

// planned is what was read about a service, and the decision.
type planned struct {
	inputs
	decision
}

// decide plans for the services that are due and writes the changed rows.
func (f *Fleet) decide(ctx context.Context, now time.Time) (map[string]planned, error) {
	all := map[string]planned{}
	writers := map[string]bool{}
	if f.allCertain() {
		writers = f.dirty
	} else {
		if err := f.store.ViewUnsynced(ctx, func(tx *store.Tx) error {
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
	// Rows may have changed since: plan again in the writing transaction.
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

// allCertain reports whether every service that is due certainly has a row to
// write. The read transaction before the write is then of no use.
func (f *Fleet) allCertain() bool {
	if f.observed.everything || f.observed.changed {
		return false
	}
	for _, certain := range f.dirty {
		if !certain {
			return false
		}
	}
	return true
}

func (f *Fleet) planAll(tx *store.Tx, ids map[string]bool, now time.Time, all map[string]planned) error {
	for id := range ids {
		p, err := f.planService(tx, id, now)
		if err == nil {
			all[id] = p
			continue
		}
		// What a service should have cannot be read: what it has is left as it is.
		if err := tx.PassOver("service "+id, err); err != nil {
			return err
		}
		delete(all, id)
	}
	return nil
}

// due returns the services to plan for.
func (f *Fleet) due(tx *store.Tx) (map[string]bool, error) {
	ids := maps.Clone(f.dirty)
	if !f.observed.everything && !f.observed.changed {
		return ids, nil
	}
	changed, version, err := tx.ChangedServices(f.observed.version)
	if err != nil {
		return nil, err
	}
	f.observed.version = version
	if !f.observed.everything {
		for _, id := range changed {
			f.markDue(id) // also for the next pass, if this one fails
			ids[id] = f.dirty[id]
		}
		return ids, nil
	}
	for id := range f.byService { // also those that the store does not know
		ids[id] = true
	}
	services, err := tx.ServicesWithInstances()
	for _, id := range services {
		ids[id] = true
	}
	return ids, err
}

// planService gathers the inputs of a service and plans.
func (f *Fleet) planService(tx *store.Tx, service string, now time.Time) (planned, error) {
	p := planned{inputs: inputs{limits: f.limits, hangs: f.hangs[service]}}
	var err error
	if p.releases, err = tx.ReleasesOf(service); err != nil {
		return p, err
	}
	rows, err := tx.InstancesOf(service)
	if err != nil {
		return p, err
	}
	if slices.ContainsFunc(rows, isDraining) {
		if p.limits.Drain, err = f.drainTime(tx, service); err != nil {
			return p, err
		}
	}
	unknown, err := f.isUnknown(tx, service, p.releases, rows)
	if err != nil {
		return p, err
	}
	stored := make(map[string]bool, len(rows))
	for _, row := range rows {
		stored[row.ID] = true
		o := observation{row: row, stored: true}
		if row.State == slipway.InstanceEnded {
			o.ended = f.sawEnd(service, row, now)
		}
		o.merge(f.instances[row.ID])
		if isDraining(row) {
			if o.drained, err = tx.Drained(row.ID, f.limits.RouterSilent); err != nil {
				return p, err
			}
		}
		p.instances = append(p.instances, o)
	}
	for _, inst := range f.byService[service] {
		if !stored[inst.id] {
			o := observation{row: slipway.Instance{
				ID: inst.id, ServiceID: service, ReleaseID: inst.release, Run: inst.run,
				State: slipway.InstanceStarting, CreatedAt: inst.createdAt,
			}}
			o.merge(inst)
			o.stray = unknown && inst.found && !inst.removing
			p.instances = append(p.instances, o)
		}
	}
	// The planner changes its copy only: apply needs the observations as read.
	p.decision = plan(now, inputs{p.releases, slices.Clone(p.instances), p.limits, p.inputs.hangs})
	return p, nil
}

func isDraining(i slipway.Instance) bool { return i.State == slipway.InstanceDraining }

// drainTime returns how long an instance of a service may take to drain.
func (f *Fleet) drainTime(tx *store.Tx, service string) (time.Duration, error) {
	v, err := tx.Service(service)
	if errors.Is(err, store.ErrNotFound) { // its releases are gone, too, and what is left is stopped
		return f.limits.Drain, nil
	}
	if err != nil {
		return 0, err
	}
	settings, err := tx.RoutingSettings(v.Service)
	return settings.DrainTime(f.limits.Drain), err
}

// sawEnd returns when the row of an ended instance says that it ended, or when this process
// first saw the row if that is earlier: a clock that was set back since is no reason to wait
// with the next start. From then on the time that passes in this process counts.
func (f *Fleet) sawEnd(service string, row slipway.Instance, now time.Time) time.Time {
	at, seen := f.ends[service][row.ID]
	if !seen {
		if f.ends[service] == nil {
			f.ends[service] = map[string]time.Time{}
		}
		at = now.Add(-max(now.Sub(row.EndedAt), 0))
		f.ends[service][row.ID] = at
	}
	return at
}

// forgetEnds forgets when instances of a service ended that have no row any more.
func (f *Fleet) forgetEnds(service string, p planned) {
	maps.DeleteFunc(f.ends[service], func(id string, _ time.Time) bool {
		return !slices.ContainsFunc(p.instances, func(o observation) bool { return o.row.ID == id })
	})
	if len(f.ends[service]) == 0 {
		delete(f.ends, service)
	}
}

// merge adds what the loop knows about the instance.
func (o *observation) merge(inst *instance) {
	if inst == nil {
		return
	}
	o.began = inst.began
	o.presence, o.removing, o.exit = inst.presence, inst.removing, inst.exit
	o.passed, o.failing, o.problem, o.never = inst.passed, inst.failing, inst.problem, inst.never
	o.full, o.toldFull, o.disk = inst.full, inst.toldFull, inst.disk
	o.drainSince, o.hung = inst.drainSince, inst.hung
	o.frozen, o.held, o.resting, o.unfit, o.rechecked, o.keepEnds = inst.frozen, inst.held, inst.resting, inst.unfit, inst.rechecked, time.Time{}
	if r := o.row.State; r == slipway.InstanceKept || inst.held {
		o.keepEnds = inst.keepEnds
	}
	if inst.cancel == nil && inst.presence == alive { // not supervised yet
		o.failing, o.problem = o.row.State == slipway.InstanceUnhealthy, o.row.Problem
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
	for _, r := range d.listed {
		if err := tx.SetListed(r); err != nil {
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

// apply carries out the decision for a service, after its rows were written.
func (f *Fleet) apply(ctx context.Context, now time.Time, service string, p planned) {
	f.adopt(ctx, p)
	for _, i := range p.put {
		if inst := f.instances[i.ID]; inst != nil && i.State == slipway.InstanceDraining && inst.drainSince.IsZero() {
			inst.drainSince = now
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
	f.noteFull(p)
	f.noteKept(now, p)
	f.noteHangs(service, p)
	f.forgetEnds(service, p)
	for _, a := range p.freeze {
		f.freeze(ctx, a)
	}
	for _, a := range p.thaw {
		f.thaw(ctx, a)
	}
	for _, o := range p.instances { // their rows are ended, or they never had one
		if inst := f.instances[o.row.ID]; inst != nil && inst.presence == absent {
			f.drop(inst)
		}
	}
	wake := p.wake
	if visible := now.Add(f.limits.visibleAfter); len(p.start) > 0 && (wake.IsZero() || visible.Before(wake)) {
		wake = visible // the plan does not know of those started just now
	}
	delete(f.wakes, service)
	if !wake.IsZero() {
		f.wakes[service] = wake
	}
	if len(p.releases) == 0 && len(p.instances) == 0 {
		delete(f.hangs, service)
		delete(f.slots, service)
	}
}

// noteHangs records that an instance of a service was given up.
func (f *Fleet) noteHangs(service string, p planned) {
	if p.decision.held.IsZero() {
		f.held.Delete(service)
	} else {
		f.held.Store(service, p.decision.held)
	}
	if p.decision.hangs != p.inputs.hangs {
		f.hangs[service] = p.decision.hangs
	}
}

// adopt supervises live instances that another process started.
func (f *Fleet) adopt(ctx context.Context, p planned) {
	for _, o := range p.instances {
		inst := f.instances[o.row.ID]
		if inst == nil || inst.presence != alive || inst.removing || inst.cancel != nil {
			continue
		}
		if o.row.State == slipway.InstanceDraining && inst.drainSince.IsZero() {
			inst.drainSince = time.Now() // when it started draining is unknown
		}
		i := slices.IndexFunc(p.releases, func(r slipway.Release) bool { return r.ID == inst.release })
		if i < 0 {
			continue // its release is gone, or of another database
		}
		switch o.row.State {
		case slipway.InstanceReady, slipway.InstanceDraining, slipway.InstanceKept:
			inst.passed = o.row.ReadyAt
		case slipway.InstanceUnhealthy:
			inst.passed, inst.failing, inst.problem = o.row.ReadyAt, true, o.row.Problem
		}
		f.supervise(ctx, inst, p.releases[i], false)
	}
}
