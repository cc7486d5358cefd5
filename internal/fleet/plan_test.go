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
func row(n int, state slipway.InstanceState) fact {
	i := slipway.Instance{
		ID: fmt.Sprintf("i%d", n), ServiceID: "s", ReleaseID: "r", State: state,
		CreatedAt: epoch.Add(time.Duration(n) * time.Second),
	}
	f := fact{row: i, stored: true, presence: alive}
	if state != slipway.InstanceStarting {
		f.row.ReadyAt, f.passed = f.row.CreatedAt.Add(time.Millisecond), f.row.CreatedAt.Add(time.Millisecond)
	}
	f.failing = state == slipway.InstanceUnhealthy
	return f
}

// crashed returns the row of an instance that ended of its own before it was
// ready.
func crashed(n int, at time.Time) fact {
	f := row(n, slipway.InstanceEnded)
	f.presence, f.passed = absent, time.Time{}
	f.row.CreatedAt, f.row.ReadyAt, f.row.EndedAt = at.Add(-time.Millisecond), time.Time{}, at
	f.row.Exit = &slipway.Exit{Code: 1, At: at}
	return f
}

func with(f fact, change func(*fact)) fact {
	change(&f)
	return f
}

// words tells a decision in one line per action.
func words(d decision) []string {
	list := []string{}
	for _, i := range d.put {
		list = append(list, fmt.Sprintf("put %s %s", i.ID, i.State))
	}
	for _, i := range d.forget {
		list = append(list, "forget "+i.ID)
	}
	for range d.start {
		list = append(list, "start")
	}
	for _, r := range d.remove {
		list = append(list, "remove "+r.id)
	}
	slices.Sort(list)
	return list
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
	fresh := func(n int) fact { // an instance that nobody was told of yet
		return with(row(n, starting), func(f *fact) { f.stored = false; f.row.CreatedAt = now })
	}
	for _, c := range []struct {
		name    string
		release slipway.Release
		facts   []fact
		want    string
	}{
		{"nothing yet", sized(2), nil, "start, start"},
		{"being made", sized(2), []fact{with(fresh(0), func(f *fact) { f.presence = making }), fresh(1)}, ""},
		{"ready at once", sized(1), []fact{with(fresh(0), func(f *fact) { f.passed = now })}, "put i0 ready"},
		{"visible when slow", sized(1), []fact{with(fresh(0), func(f *fact) { f.row.CreatedAt = now.Add(-time.Second) })}, "put i0 starting"},
		{"visible with a problem", sized(1), []fact{with(fresh(0), func(f *fact) { f.problem = "nothing listens" })}, "put i0 starting"},
		{"as wanted", sized(2), []fact{row(0, ready), row(1, ready)}, ""},
		{"one missing", sized(3), []fact{row(0, ready), row(1, starting)}, "start"},

		{
			"exit", sized(1),
			[]fact{with(row(0, ready), func(f *fact) { f.presence = dead; f.exit = &slipway.Exit{Code: 3, At: now} })},
			"put i0 ended, remove i0",
		},
		{
			"exit of one never seen", sized(1),
			[]fact{with(fresh(0), func(f *fact) { f.presence = dead; f.exit = &slipway.Exit{Code: 3, At: now} })},
			"put i0 ended, remove i0",
		},
		{
			"lost with the machine", sized(2),
			[]fact{with(row(0, ready), func(f *fact) { f.presence = absent }), with(row(1, starting), func(f *fact) { f.presence = absent })},
			"put i0 ended, put i1 ended, start, start",
		},
		{
			"could not be made", sized(1),
			[]fact{with(fresh(0), func(f *fact) { f.presence = absent; f.exit = &slipway.Exit{Reason: "no space", At: now} })},
			"put i0 ended",
		},
		{"crashed just now", sized(1), []fact{crashed(0, now)}, ""},
		{"crashed a second ago", sized(1), []fact{crashed(0, now.Add(-time.Second))}, "start"},
		{"known as ended but alive", sized(1), []fact{row(0, isEnded), row(1, ready)}, "remove i0"},

		{"unhealthy, only one", sized(1), []fact{with(row(0, ready), func(f *fact) { f.failing = true })}, "put i0 unhealthy, start"},
		{"unhealthy, replacement under way", sized(1), []fact{row(0, unhealthy), row(1, starting)}, ""},
		{"unhealthy, replaced", sized(1), []fact{row(0, unhealthy), row(1, ready)}, "put i0 draining"},
		{"unhealthy beside others", sized(2), []fact{row(0, ready), with(row(1, ready), func(f *fact) { f.failing = true })}, "put i1 draining, start"},
		{"all unhealthy", sized(3), []fact{row(0, unhealthy), row(1, unhealthy), row(2, unhealthy)}, "start"},
		{"recovered", sized(1), []fact{with(row(0, unhealthy), func(f *fact) { f.failing = false })}, "put i0 ready"},
		{
			"recovered beside its replacement", sized(1),
			[]fact{with(row(0, unhealthy), func(f *fact) { f.failing = false }), row(1, ready)},
			"put i0 ready, put i1 draining",
		},

		{"fewer, newest first", sized(1), []fact{row(0, ready), row(1, ready), row(2, ready)}, "put i1 draining, put i2 draining"},
		{"fewer, the starting one first", sized(1), []fact{row(0, starting), row(1, ready)}, "remove i0"},
		{"fewer, only one ready", sized(1), []fact{row(0, ready), row(1, starting), row(2, starting)}, "remove i1, remove i2"},
		{"to zero", sized(0), []fact{row(0, ready)}, "put i0 draining"},
		{"draining goes on", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.drainSince = now.Add(-time.Second) })}, ""},
		{"drained", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.drained = true })}, "remove i1"},
		{"drain limit", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.drainSince = now.Add(-2 * time.Minute) })}, "remove i1"},
		{"removed", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.removing = true; f.presence = absent })}, "put i1 ended"},
		{"being removed", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.removing = true; f.drained = true })}, ""},
		{"ended while being removed", sized(1), []fact{row(0, ready), with(row(1, draining), func(f *fact) { f.removing = true; f.presence = dead })}, ""},
		{"taken back before anybody knew", sized(0), []fact{with(fresh(0), func(f *fact) { f.removing = true; f.presence = absent })}, ""},

		{"too slow", sized(1), []fact{with(row(0, starting), func(f *fact) { f.row.CreatedAt = now.Add(-6 * time.Minute) })}, "remove i0, start"},

		{"drain keeps", desired(slipway.DesiredDrain), []fact{row(0, ready), row(1, unhealthy)}, ""},
		{"drain adds nothing", desired(slipway.DesiredDrain), []fact{row(0, ready)}, ""},
		{"drain stops what starts", desired(slipway.DesiredDrain), []fact{fresh(0)}, "put i0 starting, remove i0"},
		{
			"drain notes exits", desired(slipway.DesiredDrain),
			[]fact{with(row(0, ready), func(f *fact) { f.presence = dead; f.exit = &slipway.Exit{At: now} })},
			"put i0 ended, remove i0",
		},

		{
			"stop", desired(slipway.DesiredStop),
			[]fact{row(0, ready), row(1, unhealthy), row(2, starting), row(3, draining)},
			"remove i0, remove i1, remove i2, remove i3",
		},
		{"stop shows what nobody knew", desired(slipway.DesiredStop), []fact{fresh(0)}, "put i0 draining, remove i0"},
		{
			"stopped", desired(slipway.DesiredStop),
			[]fact{with(row(0, ready), func(f *fact) { f.removing = true; f.presence = absent }), crashed(1, now)},
			"forget i0, forget i1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := plan(now, sight{[]slipway.Release{c.release}, c.facts, Limits{}.withDefaults()})
			if got := strings.Join(words(d), ", "); got != c.want {
				t.Errorf("decided: %s\n   want: %s", got, c.want)
			}
		})
	}
}

func TestPlanStrays(t *testing.T) {
	t.Parallel()
	d := plan(epoch, sight{nil, []fact{row(0, slipway.InstanceReady), with(row(1, slipway.InstanceStarting), func(f *fact) { f.stored = false })}, Limits{}.withDefaults()})
	if got, want := strings.Join(words(d), ", "), "put i1 draining, remove i0, remove i1"; got != want {
		t.Errorf("decided %s, want %s", got, want)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	r := testRelease(1)
	var facts []*fact
	at := epoch
	var delays []time.Duration
	for n := range 12 {
		f := crashed(n, at)
		facts = append(facts, &f)
		next := nextStart(r, facts)
		delays = append(delays, next.Sub(at))
		at = next.Add(time.Millisecond) // the next one is started in time and ends at once
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(delays, want) {
		t.Errorf("delays are %v, want %v", delays, want)
	}
	// One that was ready for long ends the streak.
	steady := crashed(20, at.Add(time.Hour))
	steady.row.CreatedAt, steady.row.ReadyAt = at, at
	if next := nextStart(r, append(facts, &steady)); !next.IsZero() {
		t.Errorf("after an hour's health the next start is at %v", next)
	}
	// So does a start that came long after the delay: somebody resumed it.
	resumed := crashed(21, at.Add(time.Hour))
	if next := nextStart(r, append(facts, &resumed)); next.Sub(resumed.row.EndedAt) != time.Second {
		t.Errorf("the first failure after a rest delays by %v", next.Sub(resumed.row.EndedAt))
	}
	// Three that end together are one failure of a release of three.
	three := []*fact{facts[0], facts[0], facts[0]}
	if next := nextStart(testRelease(3), three); next.Sub(epoch) != time.Second {
		t.Errorf("three ends of three instances delay by %v", next.Sub(epoch))
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	t.Parallel()
	facts := []fact{row(1000, slipway.InstanceReady)}
	for n := range 40 {
		facts = append(facts, crashed(n, epoch.Add(time.Duration(n)*time.Minute)))
	}
	d := plan(epoch.Add(24*time.Hour), sight{[]slipway.Release{testRelease(1)}, facts, Limits{}.withDefaults()})
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
	dying := with(row(0, slipway.InstanceReady), func(f *fact) {
		f.presence, f.exit = dead, &slipway.Exit{Code: 3, At: epoch, Ran: 300 * time.Millisecond}
	})
	d := plan(epoch, sight{[]slipway.Release{testRelease(1)}, []fact{dying}, Limits{}.withDefaults()})
	want := "Your application stopped or failed to start. See logs for more information. Container exit code: 3 (instance i0, after 0.3 s). Another one is started in 1s."
	if len(d.events) != 1 || d.events[0] != want {
		t.Errorf("events are %q", d.events)
	}
}

// TestPlanProperties plays a service's life at random against a world of rows
// and checks after each plan what must hold whatever happens.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &planWorld{
			now:     epoch,
			release: testRelease(rapid.IntRange(0, 5).Draw(t, "size")),
			limits:  Limits{}.withDefaults(),
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.happen(t)
			before := w.facts
			d := w.plan()
			w.check(t, before, d)
			w.carryOut(d)
			if again := w.plan(); len(words(again)) > 0 || len(again.events) > 0 {
				t.Fatalf("a second plan decides %v (%q) after %v", words(again), again.events, words(d))
			}
		}
		w.settle(t)
	})
}

// planWorld is a model of one release's world for the properties.
type planWorld struct {
	now     time.Time
	release slipway.Release
	limits  Limits
	facts   []fact
	n       int
}

func (w *planWorld) plan() decision {
	return plan(w.now, sight{[]slipway.Release{w.release}, slices.Clone(w.facts), w.limits})
}

// happen changes anything that may change by itself.
func (w *planWorld) happen(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "later")))
	if rapid.IntRange(0, 9).Draw(t, "operation") == 0 {
		w.release.Desired = rapid.SampledFrom([]slipway.Desired{slipway.DesiredRun, slipway.DesiredRun, slipway.DesiredDrain, slipway.DesiredStop}).Draw(t, "desired")
	}
	if rapid.IntRange(0, 4).Draw(t, "scale") == 0 {
		w.release.Size = rapid.IntRange(0, 5).Draw(t, "size")
	}
	for i := range w.facts {
		w.befall(t, &w.facts[i])
	}
}

func (w *planWorld) befall(t *rapid.T, f *fact) {
	switch rapid.IntRange(0, 12).Draw(t, "event of "+f.row.ID) {
	case 0:
		if f.presence == making {
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

func (w *planWorld) check(t *rapid.T, before []fact, d decision) {
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
		counts := !f.removing && f.row.State != slipway.InstanceDraining && f.row.State.Live() && (f.presence == alive || f.presence == making)
		if counts && !goes[f.row.ID] {
			exist++
		}
		// Ready in the world: its health is good, whatever the row says yet.
		healthy := counts && f.presence == alive && !f.passed.IsZero() && !f.failing
		if healthy {
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
	if w.release.Desired == slipway.DesiredStop && len(d.remove) < len(slices.DeleteFunc(slices.Clone(before), func(f fact) bool { return f.presence == absent || f.removing })) {
		t.Fatalf("something is left although all is to stop: %v", words(d))
	}
}

// carryOut makes the decision part of the world.
func (w *planWorld) carryOut(d decision) {
	find := func(id string) *fact {
		return &w.facts[slices.IndexFunc(w.facts, func(f fact) bool { return f.row.ID == id })]
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
		w.facts = slices.DeleteFunc(w.facts, func(f fact) bool { return f.row.ID == i.ID })
	}
	for _, r := range d.start {
		w.n++
		w.facts = append(w.facts, fact{presence: making, row: slipway.Instance{
			ID: fmt.Sprintf("i%d", w.n), ServiceID: "s", ReleaseID: r.ID, State: slipway.InstanceStarting, CreatedAt: w.now,
		}})
	}
	w.facts = slices.DeleteFunc(w.facts, func(f fact) bool { return !f.stored && f.presence == absent })
}

// settle lets everything go well for a while: the world must come to be as it
// is wanted.
func (w *planWorld) settle(t *rapid.T) {
	for range 20 {
		w.now = w.now.Add(longestDelay)
		for i := range w.facts {
			f := &w.facts[i]
			switch {
			case f.removing:
				f.presence = absent
			case f.presence == making || f.presence == alive:
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
	for _, f := range w.facts {
		if f.row.State == slipway.InstanceReady {
			got++
		}
		if f.presence != absent && f.row.State != slipway.InstanceReady {
			t.Errorf("in the end %s is %s", f.row.ID, f.row.State)
		}
	}
	if got != want && w.release.Desired != slipway.DesiredDrain {
		t.Errorf("in the end %d instances are ready, want %d (%s)", got, want, w.release.Desired)
	}
	if w.release.Desired == slipway.DesiredStop && len(w.facts) > 0 {
		t.Errorf("in the end %d rows are left of a stopped release", len(w.facts))
	}
}
