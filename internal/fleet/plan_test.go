package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/openslipway/slipway"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testRelease(size int) slipway.Release {
	return slipway.Release{
		ID: "r", ServiceID: "s", Workload: slipway.Workload{Port: 80}, Desired: slipway.DesiredRun, Size: size,
		HealthCheck: slipway.HealthCheck{UnhealthyThreshold: 3},
	}
}

// row returns a stored instance; n orders them by age, 0 the oldest.
func row(n int, state slipway.InstanceState) observation {
	i := slipway.Instance{
		ID: fmt.Sprintf("i%d", n), ServiceID: "s", ReleaseID: "r", State: state,
		CreatedAt: epoch.Add(time.Duration(n) * time.Second),
	}
	f := observation{row: i, stored: true, presence: alive, began: i.CreatedAt}
	if state != slipway.InstanceStarting {
		f.row.ReadyAt, f.passed = f.row.CreatedAt.Add(time.Millisecond), f.row.CreatedAt.Add(time.Millisecond)
	}
	f.failing = state == slipway.InstanceUnhealthy
	return f
}

// crashed returns the row of an instance that ended by itself before it was ready.
func crashed(n int, at time.Time) observation {
	f := row(n, slipway.InstanceEnded)
	f.presence, f.passed = absent, time.Time{}
	f.row.CreatedAt, f.row.ReadyAt, f.row.EndedAt = at.Add(-time.Millisecond), time.Time{}, at
	f.row.Exit = &slipway.Exit{Code: 1, At: at}
	return f
}

func with(f observation, change func(*observation)) observation {
	change(&f)
	return f
}

// words describes a decision in one line per action.
func words(d decision) []string {
	actions := []string{}
	for _, i := range d.put {
		actions = append(actions, fmt.Sprintf("put %s %s", i.ID, i.State))
	}
	for _, i := range d.forget {
		actions = append(actions, "forget "+i.ID)
	}
	for range d.start {
		actions = append(actions, "start")
	}
	for _, r := range d.remove {
		actions = append(actions, "remove "+r.id)
	}
	for _, a := range d.freeze {
		actions = append(actions, "freeze "+a.id)
	}
	for _, a := range d.thaw {
		actions = append(actions, "thaw "+a.id)
	}
	slices.Sort(actions)
	return actions
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const (
		starting  = slipway.InstanceStarting
		ready     = slipway.InstanceReady
		unhealthy = slipway.InstanceUnhealthy
		draining  = slipway.InstanceDraining
		isEnded   = slipway.InstanceEnded
	)
	now := epoch.Add(time.Minute)
	sized := testRelease
	desired := func(d slipway.Desired) slipway.Release { r := sized(2); r.Desired = d; return r }
	const kept = slipway.InstanceKept
	hour := now.Add(time.Hour)
	keeping := func(until time.Time) slipway.Release {
		r := desired(slipway.DesiredKeep)
		r.KeepUntil = until
		return r
	}
	resumed := func(until time.Time) slipway.Release { r := sized(2); r.KeepUntil = until; return r }
	again := resumed(now.Add(time.Hour))
	again.Run, again.Size = 2, 1
	frozen := func(f *observation) { f.frozen, f.held = true, true }
	fresh := func(n int) observation { // an instance without a row
		return with(row(n, starting), func(f *observation) { f.stored = false; f.row.CreatedAt, f.began = now, now })
	}
	for _, c := range []struct {
		name    string
		release slipway.Release
		seen    []observation
		want    string
	}{
		{"nothing yet", sized(2), nil, "start, start"},
		{"being made", sized(2), []observation{with(fresh(0), func(f *observation) { f.presence = creating }), fresh(1)}, ""},
		{"ready at once", sized(1), []observation{with(fresh(0), func(f *observation) { f.passed = now })}, "put i0 ready"},
		{"visible when slow", sized(1), []observation{with(fresh(0), func(f *observation) { f.began = now.Add(-time.Second) })}, "put i0 starting"},
		{"visible with a problem", sized(1), []observation{with(fresh(0), func(f *observation) { f.problem = "nothing listens" })}, "put i0 starting"},
		{"as wanted", sized(2), []observation{row(0, ready), row(1, ready)}, ""},
		{"one missing", sized(3), []observation{row(0, ready), row(1, starting)}, "start"},

		{
			"exit", sized(1),
			[]observation{with(row(0, ready), func(f *observation) { f.presence = dead; f.exit = &slipway.Exit{Code: 3, At: now} })},
			"put i0 ended, remove i0",
		},
		{
			"exit of one never seen", sized(1),
			[]observation{with(fresh(0), func(f *observation) { f.presence = dead; f.exit = &slipway.Exit{Code: 3, At: now} })},
			"put i0 ended, remove i0",
		},
		{
			"lost with the machine", sized(2),
			[]observation{with(row(0, ready), func(f *observation) { f.presence = absent }), with(row(1, starting), func(f *observation) { f.presence = absent })},
			"put i0 ended, put i1 ended, start, start",
		},
		{
			"could not be made", sized(1),
			[]observation{with(fresh(0), func(f *observation) { f.presence = absent; f.exit = &slipway.Exit{Reason: "no space", At: now} })},
			"put i0 ended",
		},
		{"crashed just now", sized(1), []observation{crashed(0, now)}, ""},
		{"crashed a second ago", sized(1), []observation{crashed(0, now.Add(-time.Second))}, "start"},
		{"known as ended but alive", sized(1), []observation{row(0, isEnded), row(1, ready)}, "remove i0"},

		{"unhealthy, only one", sized(1), []observation{with(row(0, ready), func(f *observation) { f.failing = true })}, "put i0 unhealthy, start"},
		{"unhealthy, replacement under way", sized(1), []observation{row(0, unhealthy), row(1, starting)}, ""},
		{"unhealthy, replaced", sized(1), []observation{row(0, unhealthy), row(1, ready)}, "put i0 draining"},
		{"unhealthy beside others", sized(2), []observation{row(0, ready), with(row(1, ready), func(f *observation) { f.failing = true })}, "put i1 draining, start"},
		{"all unhealthy", sized(3), []observation{row(0, unhealthy), row(1, unhealthy), row(2, unhealthy)}, "start"},
		{"recovered", sized(1), []observation{with(row(0, unhealthy), func(f *observation) { f.failing = false })}, "put i0 ready"},
		{
			"recovered beside its replacement", sized(1),
			[]observation{with(row(0, unhealthy), func(f *observation) { f.failing = false }), row(1, ready)},
			"put i0 ready, put i1 draining",
		},

		{"fewer, newest first", sized(1), []observation{row(0, ready), row(1, ready), row(2, ready)}, "put i1 draining, put i2 draining"},
		{"fewer, the starting one first", sized(1), []observation{row(0, starting), row(1, ready)}, "remove i0"},
		{"fewer, only one ready", sized(1), []observation{row(0, ready), row(1, starting), row(2, starting)}, "remove i1, remove i2"},
		{"to zero", sized(0), []observation{row(0, ready)}, "put i0 draining"},
		{"draining goes on", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.drainSince = now.Add(-time.Second) })}, ""},
		{"drained", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.drained = true })}, "remove i1"},
		{"drain limit", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.drainSince = now.Add(-2 * time.Minute) })}, "remove i1"},
		{"removed", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.removing = true; f.presence = absent })}, "put i1 ended"},
		{"being removed", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.removing = true; f.drained = true })}, ""},
		{"ended while being removed", sized(1), []observation{row(0, ready), with(row(1, draining), func(f *observation) { f.removing = true; f.presence = dead })}, ""},
		{"taken back before anybody knew", sized(0), []observation{with(fresh(0), func(f *observation) { f.removing = true; f.presence = absent })}, ""},

		{"too slow", sized(1), []observation{with(row(0, starting), func(f *observation) { f.began = now.Add(-6 * time.Minute) })}, "remove i0, start"},

		{"drain keeps", desired(slipway.DesiredDrain), []observation{row(0, ready), row(1, unhealthy)}, ""},
		{"drain adds nothing", desired(slipway.DesiredDrain), []observation{row(0, ready)}, ""},
		{"drain stops what starts", desired(slipway.DesiredDrain), []observation{fresh(0)}, "put i0 starting, remove i0"},
		{
			"drain notes exits", desired(slipway.DesiredDrain),
			[]observation{with(row(0, ready), func(f *observation) { f.presence = dead; f.exit = &slipway.Exit{At: now} })},
			"put i0 ended, remove i0",
		},

		{"keep freezes", keeping(hour), []observation{row(0, ready), row(1, ready)}, "freeze i0, freeze i1"},
		{"keep is freezing", keeping(hour), []observation{with(row(0, ready), func(f *observation) { f.resting = true })}, ""},
		{"keep has frozen", keeping(hour), []observation{with(row(0, ready), frozen)}, "put i0 kept"},
		{"keep goes on", keeping(hour), []observation{with(row(0, kept), frozen)}, ""},
		{"keep finds one frozen by an earlier server", keeping(hour), []observation{with(row(0, kept), func(f *observation) { f.frozen = true })}, "freeze i0"},
		{"keep finds one thawed", keeping(hour), []observation{with(row(0, kept), func(f *observation) { f.held = true })}, "freeze i0"},
		{"keep takes what is ready only", keeping(hour), []observation{row(0, starting), row(1, unhealthy), row(2, draining)}, "remove i0, remove i1, remove i2"},
		{"keep as many as a resume starts", keeping(hour), []observation{row(0, ready), row(1, ready), row(2, ready)}, "freeze i0, freeze i1, remove i2"},
		{"keep without a freezer", keeping(hour), []observation{with(row(0, ready), func(f *observation) { f.unfit = "no" })}, "remove i0"},
		{"kept one has ended", keeping(hour), []observation{with(row(0, kept), func(f *observation) { f.presence = dead; f.exit = &slipway.Exit{Code: 3, At: now} })}, "put i0 ended, remove i0"},
		{"keep is over", keeping(now), []observation{with(row(0, kept), frozen), with(row(1, ready), frozen)}, "remove i0, remove i1"},
		{"keep is over by the time that passed", keeping(hour), []observation{with(row(0, kept), func(f *observation) { frozen(f); f.keepEnds = now })}, "remove i0"},
		{"keep with a clock set back for long", keeping(now.Add(25 * time.Hour)), []observation{with(row(0, kept), frozen)}, "remove i0"},
		{"drain leaves kept ones", desired(slipway.DesiredDrain), []observation{with(row(0, kept), frozen)}, ""},
		{"kept ones stop", desired(slipway.DesiredStop), []observation{with(row(0, kept), frozen)}, "remove i0"},

		{"resume thaws", resumed(hour), []observation{with(row(0, kept), frozen), with(row(1, kept), frozen)}, "thaw i0, thaw i1"},
		{"resume thaws whatever the clock says", resumed(epoch), []observation{with(row(0, kept), func(f *observation) { frozen(f); f.keepEnds = epoch }), row(1, ready)}, "thaw i0"},
		{"resume is thawing", resumed(hour), []observation{with(row(0, kept), func(f *observation) { f.resting = true }), row(1, ready)}, ""},
		{"resume has thawed", resumed(hour), []observation{with(row(0, kept), func(f *observation) { f.rechecked = now }), row(1, ready)}, "put i0 ready"},
		{"resume starts what is missing", resumed(hour), []observation{with(row(0, kept), frozen)}, "start, thaw i0"},
		{"resume without the kept", resumed(time.Time{}), []observation{with(row(0, kept), frozen)}, "remove i0, start, start"},
		{"resume after a thaw that failed", resumed(hour), []observation{with(row(0, kept), func(f *observation) { f.unfit = "no answer" }), row(1, ready)}, "remove i0, start"},
		{"resume of one that has ended", resumed(hour), []observation{with(row(0, kept), func(f *observation) { f.presence = absent }), row(1, ready)}, "put i0 ended, start"},
		{"pause taken back while it froze", resumed(hour), []observation{with(row(0, ready), frozen), row(1, ready)}, "thaw i0"},
		{"an instance of an earlier run", again, []observation{row(0, ready), with(row(1, ready), func(f *observation) { f.row.Run = 2 })}, "remove i0"},
		{"none of this run yet", again, []observation{row(0, ready), row(1, starting)}, "remove i0, remove i1, start"},
		{"one that an earlier run keeps", again, []observation{with(row(0, kept), frozen)}, "thaw i0"},
		{"one that was thawed for this run", again, []observation{with(row(0, kept), func(f *observation) { f.rechecked = now })}, "put i0 ready"},
		{"a router's sleeper is not thawed", sized(1), []observation{with(row(0, ready), func(f *observation) { f.frozen = true })}, ""},

		{
			"stop", desired(slipway.DesiredStop),
			[]observation{row(0, ready), row(1, unhealthy), row(2, starting), row(3, draining)},
			"remove i0, remove i1, remove i2, remove i3",
		},
		{"stop shows what nobody knew", desired(slipway.DesiredStop), []observation{fresh(0)}, "put i0 draining, remove i0"},
		{
			"stopped", desired(slipway.DesiredStop),
			[]observation{with(row(0, ready), func(f *observation) { f.removing = true; f.presence = absent }), crashed(1, now)},
			"forget i0, forget i1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := plan(now, inputs{[]slipway.Release{c.release}, c.seen, Limits{}.withDefaults(), hangs{}})
			if got := strings.Join(words(d), ", "); got != c.want {
				t.Errorf("decided: %s\n   want: %s", got, c.want)
			}
		})
	}
}

func TestPlanStrays(t *testing.T) {
	t.Parallel()
	d := plan(epoch, inputs{nil, []observation{row(0, slipway.InstanceReady), with(row(1, slipway.InstanceStarting), func(f *observation) { f.stored = false })}, Limits{}.withDefaults(), hangs{}})
	if got, want := strings.Join(words(d), ", "), "put i1 draining, remove i0, remove i1"; got != want {
		t.Errorf("decided %s, want %s", got, want)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	r := testRelease(1)
	var observations []*observation
	at := epoch
	var delays []time.Duration
	for n := range 12 {
		f := crashed(n, at)
		observations = append(observations, &f)
		next := nextStart(r, observations)
		delays = append(delays, next.Sub(at))
		at = next.Add(time.Millisecond) // the next one starts in time and ends at once
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(delays, want) {
		t.Errorf("delays are %v, want %v", delays, want)
	}
	// An instance that was ready for long ends the streak.
	steady := crashed(20, at.Add(time.Hour))
	steady.row.CreatedAt, steady.row.ReadyAt = at, at
	if next := nextStart(r, append(observations, &steady)); !next.IsZero() {
		t.Errorf("after an hour's health the next start is at %v", next)
	}
	// So does a start long after the delay, as on a resume.
	resumed := crashed(21, at.Add(time.Hour))
	if next := nextStart(r, append(observations, &resumed)); next.Sub(resumed.row.EndedAt) != time.Second {
		t.Errorf("the first failure after a rest delays by %v", next.Sub(resumed.row.EndedAt))
	}
	// In a release of size three, three ends at once are one failure.
	three := []*observation{observations[0], observations[0], observations[0]}
	if next := nextStart(testRelease(3), three); next.Sub(epoch) != time.Second {
		t.Errorf("three ends of three instances delay by %v", next.Sub(epoch))
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	t.Parallel()
	observations := []observation{row(1000, slipway.InstanceReady)}
	for n := range 40 {
		observations = append(observations, crashed(n, epoch.Add(time.Duration(n)*time.Minute)))
	}
	d := plan(epoch.Add(24*time.Hour), inputs{[]slipway.Release{testRelease(1)}, observations, Limits{}.withDefaults(), hangs{}})
	if len(d.forget) != 40-2*keepEnded {
		t.Fatalf("%d rows are forgotten", len(d.forget))
	}
	for _, i := range d.forget {
		if i.EndedAt.After(epoch.Add(15 * time.Minute)) {
			t.Errorf("the end at %v is forgotten", i.EndedAt)
		}
	}
}

func TestEventsOfAnExit(t *testing.T) {
	t.Parallel()
	dying := with(row(0, slipway.InstanceReady), func(f *observation) {
		f.presence, f.exit = dead, &slipway.Exit{Code: 3, At: epoch, Ran: 300 * time.Millisecond}
	})
	d := plan(epoch, inputs{[]slipway.Release{testRelease(1)}, []observation{dying}, Limits{}.withDefaults(), hangs{}})
	want := "Your application stopped or failed to start. See logs for more information. Container exit code: 3 (instance i0, after 0.3 s). Another one is started in 1s."
	if len(d.events) != 1 || d.events[0] != want {
		t.Errorf("events are %q", d.events)
	}
}

// TestPlanProperties changes a model of a release at random and checks the
// properties of each plan that must always hold.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &releaseModel{
			now:     epoch,
			release: testRelease(rapid.IntRange(0, 5).Draw(t, "size")),
			limits:  Limits{}.withDefaults(),
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.happen(t)
			before := w.observations
			d := w.plan()
			w.check(t, before, d)
			w.carryOut(d)
			if again := w.plan(); len(words(again)) > 0 || len(again.events) > 0 {
				t.Fatalf("a second plan decides %v (%q) after %v", words(again), again.events, words(d))
			}
		}
		w.converge(t)
	})
}

// releaseModel is a model of one release and its instances for the properties.
type releaseModel struct {
	now          time.Time
	release      slipway.Release
	limits       Limits
	observations []observation
	n            int
}

func (w *releaseModel) plan() decision {
	return plan(w.now, inputs{[]slipway.Release{w.release}, slices.Clone(w.observations), w.limits, hangs{}})
}

// happen makes a random change that may happen outside the fleet.
func (w *releaseModel) happen(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "later")))
	if rapid.IntRange(0, 9).Draw(t, "operation") == 0 {
		w.release.Desired = rapid.SampledFrom([]slipway.Desired{slipway.DesiredRun, slipway.DesiredRun, slipway.DesiredDrain, slipway.DesiredStop, slipway.DesiredKeep}).Draw(t, "desired")
		switch {
		case w.release.Desired == slipway.DesiredKeep:
			w.release.KeepUntil = w.now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "keep")))
		case w.release.Desired == slipway.DesiredStop, rapid.Bool().Draw(t, "changed"):
			w.release.KeepUntil = time.Time{}
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "scale") == 0 {
		w.release.Size = rapid.IntRange(0, 5).Draw(t, "size")
	}
	for i := range w.observations {
		w.befall(t, &w.observations[i])
	}
}

func (w *releaseModel) befall(t *rapid.T, f *observation) {
	switch rapid.IntRange(0, 16).Draw(t, "event of "+f.row.ID) {
	case 13, 14:
		if f.resting { // the freeze or thaw ends
			f.resting = false
			switch {
			case f.presence != alive:
			case w.release.Desired == slipway.DesiredRun:
				f.frozen, f.held, f.rechecked = false, false, w.now
			default:
				f.frozen, f.held, f.rechecked = true, true, time.Time{}
			}
		}
	case 15:
		if f.resting {
			f.resting, f.unfit = false, "it failed"
		}
	case 16:
		f.frozen = f.frozen && rapid.IntRange(0, 9).Draw(t, "thawed by somebody") > 0
	case 0:
		if f.presence == creating {
			f.presence = alive
		}
	case 1, 2, 3:
		if f.presence == alive && !f.removing {
			f.failing, f.problem = false, ""
			if f.passed.IsZero() {
				f.passed = w.now
			}
		}
	case 4:
		if f.presence == alive && !f.removing && !f.passed.IsZero() {
			f.failing, f.problem = true, "no answer"
		}
	case 5:
		if f.presence == alive && !f.removing {
			f.presence, f.exit = dead, &slipway.Exit{Code: 1, At: w.now}
		}
	case 6, 7:
		if f.removing {
			f.presence = absent
		}
	case 8:
		f.drained = f.row.State == slipway.InstanceDraining
	case 9:
		if f.presence == alive && !f.removing && rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			f.presence, f.exit = absent, nil
		}
	}
}

func (w *releaseModel) check(t *rapid.T, before []observation, d decision) {
	goes := map[string]bool{}
	for _, r := range d.remove {
		goes[r.id] = true
	}
	for _, i := range d.put {
		if i.State == slipway.InstanceDraining {
			goes[i.ID] = true
		}
	}
	exist, readyBefore, readyAfter := len(d.start), 0, 0
	for _, f := range before {
		counts := !f.removing && f.row.State != slipway.InstanceDraining && f.row.State.Live() && (f.presence == alive || f.presence == creating)
		if counts && !goes[f.row.ID] {
			exist++
		}
		// It is healthy, even if its row does not say so yet.
		healthy := counts && f.presence == alive && !f.passed.IsZero() && !f.failing
		// One that a pause has frozen takes no requests until it is thawed.
		if healthy && !f.held && !f.resting {
			readyBefore++
		}
		if healthy && !goes[f.row.ID] {
			readyAfter++
		}
	}
	if len(d.start) > 0 && w.release.Desired != slipway.DesiredRun {
		t.Fatalf("%d instances are started although %s is wanted", len(d.start), w.release.Desired)
	}
	if len(d.start) > 0 && exist > w.release.Size+1 {
		t.Fatalf("%d instances exist after a start, the size is %d", exist, w.release.Size)
	}
	if w.release.Desired == slipway.DesiredRun && w.release.Size > 0 && readyBefore > 0 && readyAfter == 0 {
		t.Fatalf("the only ready instance goes: %v", words(d))
	}
	if w.release.Desired == slipway.DesiredStop && len(d.remove) < len(slices.DeleteFunc(slices.Clone(before), func(f observation) bool { return f.presence == absent || f.removing })) {
		t.Fatalf("something is left although all is to stop: %v", words(d))
	}
}

// carryOut applies the decision to the model.
func (w *releaseModel) carryOut(d decision) {
	find := func(id string) *observation {
		return &w.observations[slices.IndexFunc(w.observations, func(f observation) bool { return f.row.ID == id })]
	}
	for _, i := range d.put {
		f := find(i.ID)
		f.row, f.stored = i, true
		if i.State == slipway.InstanceDraining && f.drainSince.IsZero() {
			f.drainSince = w.now
		}
	}
	for _, r := range d.remove {
		f := find(r.id)
		f.removing, f.exit = true, r.exit
	}
	for _, i := range d.forget {
		w.observations = slices.DeleteFunc(w.observations, func(f observation) bool { return f.row.ID == i.ID })
	}
	for _, a := range slices.Concat(d.freeze, d.thaw) {
		f := find(a.id)
		f.resting, f.rechecked = true, time.Time{}
	}
	for _, r := range d.start {
		w.n++
		w.observations = append(w.observations, observation{presence: creating, began: w.now, row: slipway.Instance{
			ID: fmt.Sprintf("i%d", w.n), ServiceID: "s", ReleaseID: r.ID, State: slipway.InstanceStarting, CreatedAt: w.now,
		}})
	}
	w.observations = slices.DeleteFunc(w.observations, func(f observation) bool { return !f.stored && f.presence == absent })
}

// converge lets everything go well for a while: the instances must come to their
// desired state.
func (w *releaseModel) converge(t *rapid.T) {
	for range 20 {
		w.now = w.now.Add(slipway.LongestRestart)
		for i := range w.observations {
			f := &w.observations[i]
			switch {
			case f.removing:
				f.presence = absent
			case f.resting:
				thaws := w.release.Desired == slipway.DesiredRun
				f.resting, f.frozen, f.held = false, !thaws, !thaws
				if thaws {
					f.rechecked = w.now
				}
			case f.presence == creating || f.presence == alive:
				f.presence, f.failing, f.drained = alive, false, true
				if f.passed.IsZero() {
					f.passed = w.now
				}
			}
		}
		w.carryOut(w.plan())
	}
	want := map[slipway.Desired]int{slipway.DesiredRun: w.release.Size}[w.release.Desired]
	got := 0
	for _, f := range w.observations {
		if f.row.State == slipway.InstanceReady {
			got++
		}
		leftKept := w.release.Desired == slipway.DesiredDrain && f.row.State == slipway.InstanceKept // until it is to stop
		if f.presence != absent && f.row.State != slipway.InstanceReady && !leftKept {
			t.Errorf("in the end %s is %s", f.row.ID, f.row.State)
		}
	}
	if got != want && w.release.Desired != slipway.DesiredDrain {
		t.Errorf("in the end %d instances are ready, want %d (%s)", got, want, w.release.Desired)
	}
	if w.release.Desired == slipway.DesiredStop && len(w.observations) > 0 {
		t.Errorf("in the end %d rows are left of a stopped release", len(w.observations))
	}
}

// An instance that was to go and is found ended, since the server was killed after it had
// sent the stop signal, has not ended by itself: the next one is started without a delay.
func TestDrainingHasNotCrashed(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Minute)
	for _, p := range []presence{dead, absent} {
		o := with(row(0, slipway.InstanceDraining), func(f *observation) {
			f.presence, f.exit = p, &slipway.Exit{Code: 0, At: now, Ran: time.Second}
		})
		d := plan(now, inputs{releases: []slipway.Release{testRelease(1)}, instances: []observation{o}, limits: Limits{}.withDefaults()})
		if len(d.put) != 1 || d.put[0].State != slipway.InstanceEnded || d.put[0].Exit != nil || d.put[0].Problem != "" || len(d.events) > 0 {
			t.Errorf("presence %d: rows %+v, events %q", p, d.put, d.events)
		}
		if len(d.start) != 1 {
			t.Errorf("presence %d: %d are started, want one at once", p, len(d.start))
		}
	}
}

// A clock that was set back after an end does not put off the next start.
func TestClockStepsAfterAnEnd(t *testing.T) {
	t.Parallel()
	f := &Fleet{ends: map[string]map[string]time.Time{}}
	now := time.Now()
	o := crashed(0, now.Add(6*time.Hour).Round(0))
	for _, later := range []time.Duration{0, 500 * time.Millisecond, time.Hour} {
		o.ended = f.sawEnd("s", o.row, now.Add(later))
		if next := nextStart(testRelease(1), []*observation{&o}); !next.Equal(now.Add(time.Second)) {
			t.Errorf("after %v the next start is in %v, want 1 s after the end was seen", later, next.Sub(now))
		}
	}
	f.forgetEnds("s", planned{})
	if len(f.ends) > 0 {
		t.Errorf("ends are remembered of rows that are gone: %v", f.ends)
	}
}
