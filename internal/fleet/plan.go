package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/openslipway/slipway"
)

// presence is what the world holds of an instance.
type presence int

const (
	absent presence = iota // nothing
	making                 // it is being prepared or started
	alive                  // a process
	dead                   // what an ended process left
)

// fact is all that is known of one instance.
type fact struct {
	row      slipway.Instance // as stored; what it would begin with when it is not
	stored   bool
	presence presence
	removing bool // Remove is under way

	exit    *slipway.Exit // how it ended of its own; nil while it lives or when it was stopped
	passed  time.Time     // when its health check first succeeded; zero before
	failing bool          // it failed its threshold and has not recovered
	problem string        // what the last check met

	drained    bool      // every router reported it empty
	drainSince time.Time // since when it is draining, as far as is known
}

// sight is what a plan goes by: one service.
type sight struct {
	releases  []slipway.Release
	instances []fact
	limits    Limits
}

// decision is what is to be done for one service.
type decision struct {
	put    []slipway.Instance // rows to write
	forget []slipway.Instance // rows to delete
	events []string
	start  []slipway.Release // one instance of each entry
	remove []removal
	wake   time.Time // when to plan again even if nothing happens; zero: no need
}

func (d decision) writes() bool { return len(d.put)+len(d.forget)+len(d.events) > 0 }

// removal is an instance to stop and clear away.
type removal struct {
	id     string
	reason string
	exit   *slipway.Exit // what to record as its end; nil: the fleet stopped it
}

// plan decides what to do for a service. It is pure: what it wants done a
// second time is nothing, once the first time shows in the facts.
func plan(now time.Time, s sight) decision {
	p := planner{now: now, sight: s}
	byRelease := map[string][]*fact{}
	for i := range s.instances {
		f := &s.instances[i]
		byRelease[f.row.ReleaseID] = append(byRelease[f.row.ReleaseID], f)
	}
	for _, r := range s.releases {
		p.release(r, byRelease[r.ID])
		delete(byRelease, r.ID)
	}
	for _, facts := range byRelease { // strays: their release is gone
		p.stop(facts, "its release no longer exists")
	}
	return p.decision
}

// planner collects a decision.
type planner struct {
	now time.Time
	sight
	decision
	exits []slipway.Instance // rows that this plan closes with an Exit
}

func (p *planner) release(r slipway.Release, facts []*fact) {
	slices.SortStableFunc(facts, func(a, b *fact) int {
		return cmp.Or(a.row.CreatedAt.Compare(b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	switch r.Desired {
	case slipway.DesiredRun:
		p.run(r, facts)
	case slipway.DesiredDrain:
		p.drain(r, facts)
	default:
		p.stop(facts, "its release is to stop")
	}
}

// stop removes everything, and each row once nothing is left of its instance.
func (p *planner) stop(facts []*fact, reason string) {
	for _, f := range facts {
		switch {
		case f.presence == absent && f.stored:
			p.forget = append(p.forget, f.row)
		case f.presence != absent:
			if !f.stored { // whoever waits for the end must see that it exists
				f.row.State = slipway.InstanceDraining
				p.put = append(p.put, f.row)
			}
			p.removeOnce(f, reason)
		}
	}
}

// drain keeps what is ready and adds nothing.
func (p *planner) drain(r slipway.Release, facts []*fact) {
	for _, f := range facts {
		p.observe(r, f)
		switch f.row.State {
		case slipway.InstanceStarting:
			p.removeOnce(f, "its release takes no more requests")
		case slipway.InstanceDraining:
			p.drainOne(f)
		}
	}
	p.tellExits(time.Time{})
	p.prune(r, facts)
}

// run brings the release to its size.
func (p *planner) run(r slipway.Release, facts []*fact) {
	for _, f := range facts {
		p.observe(r, f)
		p.tooSlow(r, f)
	}
	p.replace(r, facts)
	p.shrink(r, facts)
	p.grow(r, facts)
	for _, f := range facts {
		if f.row.State == slipway.InstanceDraining {
			p.drainOne(f)
		}
	}
	p.tellExits(nextStart(r, facts))
	p.prune(r, facts)
}

// observe brings the row up to what is known of the instance, and clears away
// what an ended one left.
func (p *planner) observe(r slipway.Release, f *fact) {
	was := f.row
	switch f.presence {
	case absent:
		if !f.stored && f.exit == nil {
			f.row.State = slipway.InstanceEnded // before anybody knew of it
			return
		}
		if was.State.Live() {
			f.row = ended(was, f.exit, p.now)
			if f.exit == nil && !f.removing {
				f.row.Problem = "Its process was gone when the server looked for it."
			}
		}
	case dead:
		if was.State.Live() && !f.removing { // one that is being removed ends when it is
			f.row = ended(was, f.exit, p.now)
		}
		p.removeOnce(f, "it has ended")
	default:
		if was.State == slipway.InstanceEnded {
			p.removeOnce(f, "it is known as ended")
		}
		f.row = health(was, f)
	}
	if f.row.State == slipway.InstanceEnded && was.State.Live() && f.row.Exit != nil {
		p.exits = append(p.exits, f.row)
	}
	if f.row.State == slipway.InstanceUnhealthy && was.State != slipway.InstanceUnhealthy {
		p.events = append(p.events, fmt.Sprintf("Instance %s failed its health check %d times in a row: %s. It takes no more requests.",
			f.row.ID, r.HealthCheck.UnhealthyThreshold, f.row.Problem))
	}
	p.keep(r, f, was)
}

// keep writes the row if it says something new. A starting instance of which
// there is nothing to say is not written at first: most are ready in a moment.
func (p *planner) keep(r slipway.Release, f *fact, was slipway.Instance) {
	if f.stored {
		if !sameRow(f.row, was) {
			p.put = append(p.put, f.row)
		}
		return
	}
	if f.row.State == slipway.InstanceStarting && f.row.Problem == "" && r.Desired == slipway.DesiredRun {
		visible := f.row.CreatedAt.Add(p.limits.visibleAfter)
		if p.now.Before(visible) {
			p.wakeAt(visible)
			return
		}
	}
	p.put = append(p.put, f.row)
}

func sameRow(a, b slipway.Instance) bool {
	return a.State == b.State && a.Problem == b.Problem && a.ReadyAt.Equal(b.ReadyAt)
}

// ended closes a row.
func ended(row slipway.Instance, exit *slipway.Exit, now time.Time) slipway.Instance {
	row.State, row.EndedAt, row.Exit, row.Problem = slipway.InstanceEnded, now, exit, ""
	if exit != nil && !exit.At.IsZero() {
		row.EndedAt = exit.At
	}
	return row
}

// health moves a living instance between starting, ready and unhealthy.
func health(row slipway.Instance, f *fact) slipway.Instance {
	switch {
	case row.State == slipway.InstanceStarting && !f.passed.IsZero():
		row.State, row.ReadyAt, row.Problem = slipway.InstanceReady, f.passed, ""
	case row.State == slipway.InstanceStarting:
		row.Problem = f.problem
	case row.State == slipway.InstanceReady && f.failing:
		row.State, row.Problem = slipway.InstanceUnhealthy, f.problem
	case row.State == slipway.InstanceUnhealthy && !f.failing:
		row.State, row.Problem = slipway.InstanceReady, ""
	}
	return row
}

// tooSlow gives up on an instance that never became healthy.
func (p *planner) tooSlow(r slipway.Release, f *fact) {
	if f.row.State != slipway.InstanceStarting || f.removing || f.presence == absent {
		return
	}
	limit := f.row.CreatedAt.Add(p.limits.StartWithin)
	if p.now.Before(limit) {
		p.wakeAt(limit)
		return
	}
	reason := fmt.Sprintf("it did not pass its health check within %v", p.limits.StartWithin)
	if f.row.Problem != "" {
		reason += ": " + f.row.Problem
	}
	f.exit = &slipway.Exit{Reason: reason, At: p.now, Ran: p.now.Sub(f.row.CreatedAt)}
	p.removeOnce(f, reason)
}

// serving reports whether the instance counts towards the size: it takes
// requests or is about to.
func (f *fact) serving() bool {
	return !f.removing && (f.row.State == slipway.InstanceReady || f.row.State == slipway.InstanceStarting)
}

// replace lets unhealthy instances go as soon as another one serves. Until then
// one that recovers is better than none.
func (p *planner) replace(r slipway.Release, facts []*fact) {
	if count(facts, isReady) == 0 && r.Size > 0 {
		return
	}
	for _, f := range facts {
		if f.row.State == slipway.InstanceUnhealthy && !f.removing {
			p.retire(f)
		}
	}
}

func isReady(f *fact) bool { return f.row.State == slipway.InstanceReady && !f.removing }

func isUnhealthy(f *fact) bool { return f.row.State == slipway.InstanceUnhealthy && !f.removing }

func count(facts []*fact, is func(*fact) bool) (n int) {
	for _, f := range facts {
		if is(f) {
			n++
		}
	}
	return n
}

// shrink takes the surplus away, newest first: instances that have never taken
// a request at once, ready ones once they are drained. As many ready ones as
// the size says are left, so the only one never goes.
func (p *planner) shrink(r slipway.Release, facts []*fact) {
	surplus := count(facts, (*fact).serving) - r.Size
	for _, state := range []slipway.InstanceState{slipway.InstanceStarting, slipway.InstanceReady} {
		for _, f := range slices.Backward(facts) {
			if surplus <= 0 {
				return
			}
			if !f.serving() || f.row.State != state {
				continue
			}
			surplus--
			if state == slipway.InstanceReady {
				p.retire(f)
			} else {
				p.removeOnce(f, "the release is to have fewer instances")
			}
		}
	}
}

// retire marks an instance draining.
func (p *planner) retire(f *fact) {
	f.row.State, f.drainSince, f.drained = slipway.InstanceDraining, p.now, false
	p.put = append(slices.DeleteFunc(p.put, func(i slipway.Instance) bool { return i.ID == f.row.ID }), f.row)
}

// grow starts what is missing, unless the last ones ended too soon. Unhealthy
// instances that nothing has replaced yet count as one: no more than one more
// than the size exist at a time.
func (p *planner) grow(r slipway.Release, facts []*fact) {
	serving := count(facts, (*fact).serving)
	n := min(r.Size-serving, r.Size+1-serving-count(facts, isUnhealthy))
	if n <= 0 {
		return
	}
	if at := nextStart(r, facts); p.now.Before(at) {
		p.wakeAt(at)
		return
	}
	for range n {
		p.start = append(p.start, r)
	}
}

// drainOne removes a draining instance when no request is on it any more.
func (p *planner) drainOne(f *fact) {
	since := f.drainSince
	if since.IsZero() {
		since = p.now
	}
	limit := since.Add(p.limits.Drain)
	switch {
	case f.presence == absent:
	case f.drained:
		p.removeOnce(f, "it is drained")
	case !p.now.Before(limit):
		p.removeOnce(f, fmt.Sprintf("requests were still in flight on it after %v", p.limits.Drain))
	default:
		p.wakeAt(limit)
	}
}

// prune forgets the oldest ended rows.
func (p *planner) prune(r slipway.Release, facts []*fact) {
	keep := keepEnded * (1 + r.Size)
	for _, f := range slices.Backward(facts) {
		if f.row.State != slipway.InstanceEnded || f.presence != absent || !f.stored {
			continue
		}
		if keep--; keep < 0 {
			p.put = slices.DeleteFunc(p.put, func(i slipway.Instance) bool { return i.ID == f.row.ID })
			p.forget = append(p.forget, f.row)
		}
	}
}

func (p *planner) removeOnce(f *fact, reason string) {
	if f.removing || f.presence == absent {
		return
	}
	f.removing = true
	p.remove = append(p.remove, removal{f.row.ID, reason, f.exit})
}

func (p *planner) wakeAt(t time.Time) {
	if p.wake.IsZero() || t.Before(p.wake) {
		p.wake = t
	}
}

// tellExits writes what ended by itself to the service's events.
func (p *planner) tellExits(next time.Time) {
	for _, i := range p.exits {
		line := exitLine(i)
		if p.now.Before(next) {
			line += fmt.Sprintf(" Another one is started in %v.", next.Sub(p.now).Round(100*time.Millisecond))
		}
		p.events = append(p.events, line)
	}
	p.exits = nil
}

// exitLine words an exit, beginning as App Runner does.
func exitLine(i slipway.Instance) string {
	x := i.Exit
	how := fmt.Sprintf("Container exit code: %d", x.Code)
	switch {
	case x.OOM:
		how += ", killed for using more memory than the service has"
	case x.Reason != "":
		how = "Reason: " + x.Reason
	case x.Signal != "":
		how += ", killed by " + x.Signal
	}
	return fmt.Sprintf("Your application stopped or failed to start. See logs for more information. %s (instance %s, after %.1f s).",
		how, i.ID, x.Ran.Seconds())
}
