package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// presence says what exists of an instance.
type presence int

const (
	absent   presence = iota // nothing
	creating                 // it is being prepared or started
	alive                    // a process
	dead                     // what an ended process left
)

// observation is everything known about one instance.
type observation struct {
	row      slipway.Instance // as stored, or its initial row if it is not stored
	stored   bool
	presence presence
	removing bool // Remove is in progress
	stray    bool // its service is of another database: it is left alone

	began time.Time // when this process started or found it; zero if it does not exist
	ended time.Time // when this process first saw that it had ended; zero if it has not

	exit    *slipway.Exit // how it ended by itself; nil while it lives or if it was stopped
	passed  time.Time     // when its health check first succeeded; zero before
	failing bool          // it failed UnhealthyThreshold checks and has not recovered
	problem string        // what the last check found
	never   bool          // while it starts: it will never pass
	hung    string        // how it answers no request, as a router says; "" if it does

	full, toldFull runtime.Full // why it can't write to its disk, and what of that an event has told
	disk           int64        // bytes that its disk may take

	frozen    bool      // as the driver's last list or a freeze or thaw since said
	held      bool      // this process has frozen it and not thawed it since
	resting   bool      // it is being frozen or thawed
	unfit     string    // why it can't be kept or used again; "" if it can
	rechecked time.Time // when it passed its health check after a thaw; zero before
	keepEnds  time.Time // when it is kept no more, by the time that passes in this process; zero if it is not known to be kept

	drained    bool      // every router reported it empty
	drainSince time.Time // when it started draining, as far as is known
}

// inputs is what plan decides from: one service.
type inputs struct {
	releases  []slipway.Release
	instances []observation
	limits    Limits
	hangs     hangs // of the service
}

// decision is what to do for one service.
type decision struct {
	put    []slipway.Instance // rows to write
	forget []slipway.Instance // rows to delete
	listed []slipway.Release  // those whose instances all have rows now
	events []string
	start  []slipway.Release // one instance of each entry
	remove []removal
	freeze []action
	thaw   []action
	hangs  hangs     // of the service from now on
	held   time.Time // until when an instance that answers no request is kept; zero if none is
	wake   time.Time // when to plan again even if nothing changes; zero: never
}

func (d decision) writes() bool { return len(d.put)+len(d.forget)+len(d.listed)+len(d.events) > 0 }

// removal is an instance to stop and remove.
type removal struct {
	id     string
	reason string
	exit   *slipway.Exit // the exit to record; nil if the fleet stops it
}

// action is what to do with an instance of a release.
type action struct {
	id      string
	release slipway.Release
}

// plan decides what to do for a service. It is pure and converges: once its
// decision has been carried out and observed, it decides to do nothing.
func plan(now time.Time, s inputs) decision {
	p := planner{now: now, inputs: s}
	p.decision.hangs = s.hangs
	byRelease := map[string][]*observation{}
	for i := range s.instances {
		o := &s.instances[i]
		byRelease[o.row.ReleaseID] = append(byRelease[o.row.ReleaseID], o)
	}
	for _, r := range s.releases {
		p.release(r, byRelease[r.ID])
		delete(byRelease, r.ID)
	}
	for _, observations := range byRelease {
		observations = slices.DeleteFunc(observations, func(o *observation) bool { return o.stray })
		p.stop(observations, "its release no longer exists")
	}
	return p.decision
}

// planner collects a decision.
type planner struct {
	now time.Time
	inputs
	decision
	exits []slipway.Instance // rows that this plan ends with an Exit
}

func (p *planner) release(r slipway.Release, observations []*observation) {
	slices.SortStableFunc(observations, func(a, b *observation) int {
		return cmp.Or(a.row.CreatedAt.Compare(b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	if r.Unlisted && r.Desired != slipway.DesiredRun { // what follows writes the missing rows
		p.listed = append(p.listed, r)
	}
	switch r.Desired {
	case slipway.DesiredRun:
		p.run(r, observations)
	case slipway.DesiredDrain:
		p.drain(r, observations)
	case slipway.DesiredKeep:
		p.keep(r, observations)
	default:
		p.stop(observations, "its release is to stop")
	}
}

// stop removes every instance, and deletes its row once nothing is left of it.
func (p *planner) stop(observations []*observation, reason string) {
	for _, o := range observations {
		switch {
		case o.presence == absent && o.stored:
			p.forget = append(p.forget, o.row)
		case o.presence != absent:
			if !o.stored { // a step that waits for the end must see that it exists
				o.row.State = slipway.InstanceDraining
				p.put = append(p.put, o.row)
			}
			p.removeOnce(o, reason)
		}
	}
}

// drain keeps ready instances and starts none.
func (p *planner) drain(r slipway.Release, observations []*observation) {
	for _, o := range observations {
		p.observe(r, o)
		switch o.row.State {
		case slipway.InstanceStarting:
			p.removeOnce(o, "its release takes no more requests")
		case slipway.InstanceDraining:
			p.drainOne(o)
		}
	}
	p.logExits(slipway.Restarts{})
	p.prune(r, observations)
}

// run brings the release to its size.
func (p *planner) run(r slipway.Release, observations []*observation) {
	for _, o := range observations {
		p.observe(r, o)
		p.checkRun(r, o)
		p.checkStartLimit(r, o)
		p.thawOne(r, o)
	}
	p.giveUp(r, observations)
	p.replace(r, observations)
	p.shrink(r, observations)
	p.grow(r, observations)
	for _, o := range observations {
		if o.row.State == slipway.InstanceDraining {
			p.drainOne(o)
		}
	}
	p.logExits(restarts(r, observations))
	p.prune(r, observations)
}

// observe updates the row to what is known about the instance, and removes what
// is left of an ended one.
func (p *planner) observe(r slipway.Release, o *observation) {
	was := o.row
	switch o.presence {
	case absent:
		if !o.stored && o.exit == nil {
			o.row.State = slipway.InstanceEnded // it never had a row
			return
		}
		if was.State.Live() {
			o.row = ended(was, o.exit, p.now)
			if o.exit == nil && !o.removing && was.State != slipway.InstanceDraining && was.State != slipway.InstanceKept {
				o.row.Problem = "Its process was gone when the server looked for it."
			}
		}
	case dead:
		if was.State.Live() && !o.removing { // one that is being removed ends when that is done
			o.row = ended(was, o.exit, p.now)
		}
		p.removeOnce(o, "it has ended")
	default:
		if was.State == slipway.InstanceEnded {
			p.removeOnce(o, "its row says that it has ended")
		}
		o.row = health(was, o, r.Run)
	}
	if o.row.State == slipway.InstanceEnded && was.State.Live() && o.row.Exit != nil {
		p.exits = append(p.exits, o.row)
	}
	if was.State == slipway.InstanceKept && o.row.State == slipway.InstanceEnded && !o.removing {
		p.events = append(p.events, fmt.Sprintf("Instance %s, which was kept during the pause, has ended.", o.row.ID))
	}
	p.tellFull(o)
	if o.row.State == slipway.InstanceUnhealthy && o.failing && was.State != slipway.InstanceUnhealthy {
		p.events = append(p.events, fmt.Sprintf("Instance %s failed its health check %d times in a row: %s. It takes no more requests.",
			o.row.ID, r.HealthCheck.UnhealthyThreshold, o.row.Problem))
	}
	p.putRow(r, o, was)
}

// putRow writes the row if it changed. A starting instance without a problem gets
// no row at first, as most are ready in a moment.
func (p *planner) putRow(r slipway.Release, o *observation, was slipway.Instance) {
	if o.stored {
		if !sameRow(o.row, was) {
			p.put = append(p.put, o.row)
		}
		return
	}
	if o.row.State == slipway.InstanceStarting && o.row.Problem == "" && r.Desired == slipway.DesiredRun {
		visible := o.began.Add(p.limits.visibleAfter)
		if p.now.Before(visible) {
			p.wakeAt(visible)
			return
		}
	}
	p.put = append(p.put, o.row)
}

func sameRow(a, b slipway.Instance) bool {
	return a.Run == b.Run && a.State == b.State && a.Problem == b.Problem && a.ReadyAt.Equal(b.ReadyAt)
}

// ended returns the row of an instance that has ended. One that was draining was to go, and
// an earlier process may have sent its stop signal: it has not ended by itself. Nor does the
// end of one that was kept say that the application fails.
func ended(row slipway.Instance, exit *slipway.Exit, now time.Time) slipway.Instance {
	quiet := row.State == slipway.InstanceDraining || row.State == slipway.InstanceKept
	row.State, row.EndedAt, row.Exit, row.Problem = slipway.InstanceEnded, now, exit, ""
	if exit != nil && !exit.At.IsZero() {
		row.EndedAt = exit.At
	}
	if quiet {
		row.Exit = nil
	}
	return row
}

// health moves a live instance between starting, ready and unhealthy, and one that was kept
// to ready in the release's current run.
func health(row slipway.Instance, o *observation, run int64) slipway.Instance {
	switch {
	case row.State == slipway.InstanceStarting && !o.passed.IsZero():
		row.State, row.ReadyAt, row.Problem = slipway.InstanceReady, o.passed, ""
	case row.State == slipway.InstanceKept && !o.rechecked.IsZero():
		row.State, row.ReadyAt, row.Run = slipway.InstanceReady, o.rechecked, run
	case row.State == slipway.InstanceStarting:
		row.Problem = o.problem
	case row.State == slipway.InstanceReady && o.failing:
		row.State, row.Problem = slipway.InstanceUnhealthy, o.problem
	case row.State == slipway.InstanceUnhealthy && !o.failing && o.hung == "":
		row.State, row.Problem = slipway.InstanceReady, ""
	}
	return row
}

// checkRun removes an instance of an earlier run of its release: it was to be stopped before
// this run began, and it may have other values of secrets. One that a pause has kept takes
// part in the run that thaws it.
func (p *planner) checkRun(r slipway.Release, o *observation) {
	if o.row.Run != r.Run && o.row.State != slipway.InstanceKept {
		p.removeOnce(o, "it is of an earlier run of its release")
	}
}

// checkStartLimit removes an instance that did not become healthy in time, or surely
// never will.
func (p *planner) checkStartLimit(r slipway.Release, o *observation) {
	if o.row.State != slipway.InstanceStarting || o.removing || o.presence == absent {
		return
	}
	limit := o.began.Add(p.limits.StartWithin)
	if p.now.Before(limit) && !o.never {
		p.wakeAt(limit)
		return
	}
	reason := fmt.Sprintf("it did not pass its health check within %v", min(p.limits.StartWithin, p.now.Sub(o.began).Round(time.Second)))
	if o.row.Problem != "" {
		reason += ": " + o.row.Problem
	}
	o.exit = &slipway.Exit{Reason: reason, At: p.now, Ran: p.now.Sub(o.began)}
	p.removeOnce(o, reason)
}

// serving reports whether the instance counts towards the size: it takes requests
// or will do so.
func (o *observation) serving() bool {
	return !o.removing && (o.row.State == slipway.InstanceReady || o.row.State == slipway.InstanceStarting || o.row.State == slipway.InstanceKept)
}

// replace retires unhealthy instances once another instance is ready. Until then
// they are kept, as one may recover.
func (p *planner) replace(r slipway.Release, observations []*observation) {
	if count(observations, isReady) == 0 && r.Size > 0 {
		return
	}
	for _, o := range observations {
		if o.row.State == slipway.InstanceUnhealthy && !o.removing {
			p.retire(o)
		}
	}
}

func isReady(o *observation) bool { return o.row.State == slipway.InstanceReady && !o.removing }

func isUnhealthy(o *observation) bool { return o.row.State == slipway.InstanceUnhealthy && !o.removing }

func count(observations []*observation, is func(*observation) bool) (n int) {
	for _, o := range observations {
		if is(o) {
			n++
		}
	}
	return n
}

// shrink removes surplus instances, the newest first: kept and starting ones at once, since
// they have no requests, then ready ones after a drain. It leaves as many ready
// instances as the size says, so it never removes the only one.
func (p *planner) shrink(r slipway.Release, observations []*observation) {
	surplus := count(observations, (*observation).serving) - r.Size
	for _, state := range []slipway.InstanceState{slipway.InstanceKept, slipway.InstanceStarting, slipway.InstanceReady} {
		for _, o := range slices.Backward(observations) {
			if surplus <= 0 {
				return
			}
			if !o.serving() || o.row.State != state {
				continue
			}
			surplus--
			if state == slipway.InstanceReady {
				p.retire(o)
			} else {
				p.removeOnce(o, "the release is to have fewer instances")
			}
		}
	}
}

// retire starts draining an instance.
func (p *planner) retire(o *observation) {
	o.row.State, o.drainSince, o.drained = slipway.InstanceDraining, p.now, false
	p.put = append(slices.DeleteFunc(p.put, func(i slipway.Instance) bool { return i.ID == o.row.ID }), o.row)
}

// grow starts missing instances, after a delay if the last ones ended too soon.
// While unhealthy instances await their replacement, it starts only as many as
// leave at most one instance more than the size.
func (p *planner) grow(r slipway.Release, observations []*observation) {
	serving := count(observations, (*observation).serving)
	n := min(r.Size-serving, r.Size+1-serving-count(observations, isUnhealthy))
	if n <= 0 {
		return
	}
	if at := nextStart(r, observations); p.now.Before(at) {
		p.wakeAt(at)
		return
	}
	for range n {
		p.start = append(p.start, r)
	}
}

// drainOne removes a draining instance once it has no requests in flight or its
// drain limit has passed.
func (p *planner) drainOne(o *observation) {
	since := o.drainSince
	if since.IsZero() {
		since = p.now
	}
	limit := since.Add(p.limits.Drain)
	switch {
	case o.presence == absent:
	case o.drained:
		p.removeOnce(o, "it is drained")
	case !p.now.Before(limit):
		p.removeOnce(o, fmt.Sprintf("requests were still in flight on it after %v", p.limits.Drain))
	default:
		p.wakeAt(limit)
	}
}

// prune deletes the oldest ended rows.
func (p *planner) prune(r slipway.Release, observations []*observation) {
	keep := keepEnded * (1 + r.Size)
	for _, o := range slices.Backward(observations) {
		if o.row.State != slipway.InstanceEnded || o.presence != absent || !o.stored {
			continue
		}
		if keep--; keep < 0 {
			p.put = slices.DeleteFunc(p.put, func(i slipway.Instance) bool { return i.ID == o.row.ID })
			p.forget = append(p.forget, o.row)
		}
	}
}

func (p *planner) removeOnce(o *observation, reason string) {
	if o.removing || o.presence == absent {
		return
	}
	o.removing = true
	p.remove = append(p.remove, removal{o.row.ID, reason, o.exit})
}

func (p *planner) wakeAt(t time.Time) {
	if p.wake.IsZero() || t.Before(p.wake) {
		p.wake = t
	}
}

// logExits writes instances that ended by themselves to the service's events.
func (p *planner) logExits(s slipway.Restarts) {
	for _, i := range p.exits {
		line := exitMessage(i)
		if s.Count > 1 {
			line += fmt.Sprintf(" Instances have ended %d times in a row.", s.Count)
		}
		if p.now.Before(s.Next) {
			line += fmt.Sprintf(" Another one is started in %v.", s.Next.Sub(p.now).Round(100*time.Millisecond))
		}
		p.events = append(p.events, line)
	}
	p.exits = nil
}

// exitMessage describes an exit; it begins as App Runner's message does.
func exitMessage(i slipway.Instance) string {
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
