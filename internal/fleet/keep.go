package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// keep freezes ready instances of a paused service, at most as many as the size, and
// removes all others. Once the time of the release is over, it removes all.
func (p *planner) keep(r slipway.Release, observations []*observation) {
	if over(r, observations, p.now) {
		if count(observations, isKept) > 0 {
			p.events = append(p.events, "The time for which the paused service keeps its instances is over; they are stopped.")
		}
		p.stop(observations, "the time is over for which its paused service keeps it")
		return
	}
	kept := 0
	for _, o := range observations {
		p.observe(r, o)
		switch {
		case o.removing, o.presence == absent, o.row.State == slipway.InstanceEnded:
		case o.row.State != slipway.InstanceReady && o.row.State != slipway.InstanceKept:
			p.removeOnce(o, "its service is paused")
		case kept == r.Size:
			p.removeOnce(o, "its paused service keeps fewer instances")
		case o.unfit != "":
			p.events = append(p.events, fmt.Sprintf("Instance %s is stopped instead of kept: %s.", o.row.ID, o.unfit))
			p.removeOnce(o, o.unfit)
		default:
			kept++
			p.keepOne(r, o)
		}
	}
	p.logExits(slipway.Restarts{})
	p.prune(r, observations)
}

// keepOne has an instance frozen, notes one that is, and plans again when its time is over.
func (p *planner) keepOne(r slipway.Release, o *observation) {
	switch {
	case o.resting:
	case !o.held || !o.frozen:
		p.freeze = append(p.freeze, action{o.row.ID, r})
	case o.row.State == slipway.InstanceReady:
		o.row.State = slipway.InstanceKept
		p.put = append(p.put, o.row)
	}
	if o.keepEnds.IsZero() {
		p.wakeAt(r.KeepUntil)
	} else {
		p.wakeAt(o.keepEnds)
	}
}

// over reports whether the release keeps instances no more. The time of day says so, and the
// time that has passed since this process found an instance kept: a clock that is set back
// does not make it longer.
func over(r slipway.Release, observations []*observation, now time.Time) bool {
	for _, o := range observations {
		if !o.keepEnds.IsZero() && !now.Before(o.keepEnds) {
			return true
		}
	}
	return !r.Keeps(now)
}

func isKept(o *observation) bool { return o.row.State == slipway.InstanceKept && !o.removing }

// thawOne has an instance of a release that runs again take requests again: it is thawed,
// and is ready after one check of its health. One that must not be used again, or fails, is
// removed. The clock decides nothing here: whoever had the release run has looked at it.
func (p *planner) thawOne(r slipway.Release, o *observation) {
	kept := o.row.State == slipway.InstanceKept
	switch {
	case !kept && !o.held, o.removing, o.resting, o.presence == absent:
	case kept && r.KeepUntil.IsZero():
		p.removeOnce(o, "a new instance would differ from it")
	case o.unfit != "":
		p.events = append(p.events, fmt.Sprintf("Instance %s, which was kept during the pause, is replaced: %s.", o.row.ID, o.unfit))
		p.removeOnce(o, o.unfit)
	default:
		p.thaw = append(p.thaw, action{o.row.ID, r})
	}
}

// restWithin limits how long a freeze and a thaw may take.
const restWithin = 10 * time.Second

// errNoFreezer is why a driver that freezes nothing keeps nothing.
var errNoFreezer = errors.New("this server can freeze no instances")

// freeze freezes an instance, to be kept.
func (f *Fleet) freeze(ctx context.Context, a action) {
	f.rest(a, func(driver runtime.Freezer, inst *instance) {
		err := f.within(ctx, func(ctx context.Context) error { return driver.Freeze(ctx, inst.id) })
		f.inbox.send(func() { f.onFrozen(inst, err) })
	})
}

// thaw thaws an instance and checks its health once.
func (f *Fleet) thaw(ctx context.Context, a action) {
	f.rest(a, func(driver runtime.Freezer, inst *instance) {
		c := checker{driver: f.driver, id: inst.id, port: a.release.Port, check: a.release.HealthCheck}
		failure := ""
		if err := f.within(ctx, func(ctx context.Context) error { return driver.Thaw(ctx, inst.id) }); err != nil {
			failure = fmt.Sprintf("it could not be thawed: %v", err)
		} else if err := c.once(ctx); err != nil {
			failure = "after its thaw " + c.describe(err)
		}
		if ctx.Err() == nil {
			f.inbox.send(func() { f.onThawed(inst, failure) })
		}
	})
}

func (f *Fleet) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	return do(ctx)
}

// rest calls work in a worker, with the driver as one that freezes.
func (f *Fleet) rest(a action, work func(runtime.Freezer, *instance)) {
	inst := f.instances[a.id]
	if inst == nil || inst.resting || inst.removing {
		return
	}
	driver, ok := f.driver.(runtime.Freezer)
	if !ok {
		f.inbox.send(func() { f.onFrozen(inst, errNoFreezer) })
		return
	}
	inst.resting, inst.rechecked = true, time.Time{}
	f.workers.Go(func() { work(driver, inst) })
}

// onFrozen records how a freeze ended.
func (f *Fleet) onFrozen(inst *instance, err error) {
	inst.resting = false
	if err != nil && errors.Is(err, context.Canceled) {
		return // the server stops
	}
	f.dirty[inst.service] = true
	if err != nil {
		inst.unfit = fmt.Sprintf("it could not be frozen: %v", err)
		return
	}
	inst.frozen, inst.held = true, true
}

// onThawed records how a thaw ended; failure is "" if the instance may take requests.
func (f *Fleet) onThawed(inst *instance, failure string) {
	inst.resting = false
	f.dirty[inst.service] = true
	if failure != "" {
		inst.unfit = failure
		return
	}
	inst.frozen, inst.held, inst.rechecked = false, false, time.Now()
}

// noteKept records what planning depends on and no row says: until when instances are kept
// by the time that passes here, and that one that serves is fit.
func (f *Fleet) noteKept(now time.Time, p planned) {
	for _, o := range p.instances {
		inst := f.instances[o.row.ID]
		if inst == nil {
			continue
		}
		for _, r := range p.releases {
			switch {
			case r.ID != inst.release:
			case r.Desired == slipway.DesiredRun && o.row.State == slipway.InstanceReady && !inst.held:
				inst.unfit = ""
			case r.Desired == slipway.DesiredKeep && !inst.keepUntil.Equal(r.KeepUntil):
				inst.keepUntil, inst.keepEnds = r.KeepUntil, now.Add(r.KeepUntil.Sub(now))
			}
		}
	}
}
