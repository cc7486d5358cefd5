package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

const image = "sha256:f00d"

// lab is a store, a fake driver's machine and a fleet, in a synctest bubble.
type lab struct {
	*testing.T
	store   *store.Store
	machine *runtimetest.Machine
	fake    *runtimetest.Fake
	logs    *recorder
	stop    func() // ends the fleet
}

// inLab runs test in a bubble of its own.
func inLab(t *testing.T, test func(*lab)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := storetest.Memory(t)
		defer st.Close()
		l := &lab{T: t, store: st, machine: runtimetest.NewMachine(), logs: &recorder{}}
		defer l.machine.Close()
		l.machine.SetImage(image, runtimetest.Image{})
		l.boot(nil)
		defer func() { l.stop() }()
		test(l)
	})
}

// boot starts a fleet on a new driver, as a new process does.
func (l *lab) boot(prepare func(*runtimetest.Fake, func())) {
	l.Helper()
	l.bootWith(fleet.Config{Log: slog.New(slog.DiscardHandler)}, prepare)
}

// bootWith is boot with more of a configuration.
func (l *lab) bootWith(c fleet.Config, prepare func(*runtimetest.Fake, func())) {
	l.Helper()
	l.fake = runtimetest.NewFake(l.machine)
	l.logs.machine = l.machine
	c.Store, c.Driver, c.Logs = l.store, l.fake, l.logs
	f, err := fleet.New(c)
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.Context())
	if prepare != nil {
		prepare(l.fake, cancel)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			l.Errorf("Run returned %v", err)
		}
	})
}

// recorder is a LogCollector that records its calls, each with the state of the
// instance at that time.
type recorder struct {
	machine *runtimetest.Machine
	mu      sync.Mutex
	calls   []string
}

func (r *recorder) note(call, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := "gone"
	if !slices.Contains(r.machine.Removed(), id) {
		state = "ended"
		if slices.Contains(r.machine.Running(""), id) {
			state = "running"
		}
	}
	r.calls = append(r.calls, fmt.Sprintf("%s %s %s", call, id, state))
}

func (r *recorder) Follow(_, id string) { r.note("follow", id) }

func (r *recorder) Finish(_ context.Context, id string) error {
	r.note("finish", id)
	return nil
}

func (r *recorder) has(call string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.calls, call)
}

// passes lets time pass, in the bubble.
func (l *lab) passes(d time.Duration) { time.Sleep(d) }

func (l *lab) update(f func(*store.Tx) error) {
	l.Helper()
	if err := l.store.Update(l.Context(), f); err != nil {
		l.Fatal(err)
	}
}

// release adds a service with one release and returns the release.
func (l *lab) release(size int, change func(*slipway.Release)) slipway.Release {
	l.Helper()
	id := slipway.NewID()
	r := slipway.Release{
		ID: slipway.NewID(), ServiceID: id, Image: image, Workload: slipway.Workload{Port: 8080},
		HealthCheck: slipway.HealthCheck{Path: "/", Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 1, UnhealthyThreshold: 5},
		Desired:     slipway.DesiredRun, Size: size, CreatedAt: time.Now(),
	}
	if change != nil {
		change(&r)
	}
	l.update(func(tx *store.Tx) error {
		s := slipway.Service{ID: id, Name: id, ARN: id, Label: id, Wanted: slipway.WantedRunning, Status: slipway.StatusRunning, CreatedAt: time.Now()}
		return errors.Join(tx.InsertService(s), tx.InsertRelease(r), tx.SetActiveRelease(id, r.ID))
	})
	return r
}

func (l *lab) rows(r slipway.Release) (rows []slipway.Instance) {
	l.Helper()
	if err := l.store.View(l.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.InstancesOf(r.ServiceID)
		return err
	}); err != nil {
		l.Fatal(err)
	}
	return rows
}

func (l *lab) inState(r slipway.Release, s slipway.InstanceState) []slipway.Instance {
	l.Helper()
	return slices.DeleteFunc(l.rows(r), func(i slipway.Instance) bool { return i.State != s })
}

func (l *lab) events(r slipway.Release) (texts []string) {
	l.Helper()
	if err := l.store.View(l.Context(), func(tx *store.Tx) error {
		events, err := tx.EventsByTime(store.EventQuery{ServiceID: r.ServiceID, Stream: "events"})
		for _, e := range events {
			texts = append(texts, e.Text)
		}
		return err
	}); err != nil {
		l.Fatal(err)
	}
	return texts
}

// pass lets the bubble's clock run for d.
func (l *lab) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until lets the clock run until cond holds. It checks after each write, and from
// time to time.
func (l *lab) until(what string, cond func() bool) {
	l.Helper()
	watch := l.store.Watch(store.Operations | store.Releases | store.Instances | store.Routes | store.Drains)
	defer watch.Close()
	step, end := time.Millisecond, time.Now().Add(10*time.Minute)
	for time.Now().Before(end) {
		synctest.Wait()
		if cond() {
			return
		}
		select {
		case <-watch.C:
		case <-time.After(step):
			step = min(step+step/10, 500*time.Millisecond)
		}
	}
	l.Fatalf("ten minutes passed without this: %s", what)
}

func (l *lab) ready(r slipway.Release, n int) {
	l.Helper()
	l.until(fmt.Sprintf("%d instances are ready", n), func() bool { return len(l.inState(r, slipway.InstanceReady)) == n })
}

func TestStart(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{StartTakes: 3 * time.Millisecond, Program: runtimetest.Program{ListenAfter: 100 * time.Millisecond}})
		var before, after int64
		version := func(v *int64) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				routes, err := tx.RoutesSince(0)
				if err == nil {
					*v = routes[len(routes)-1].Service.RouteVersion
				}
				return err
			}
		}
		r := l.release(2, nil)
		l.update(version(&before))
		begin := time.Now()
		l.ready(r, 2)
		if took := time.Since(begin); took > 115*time.Millisecond {
			l.Errorf("instances that start in 3 ms and listen after 100 ms are ready after %v", took)
		}
		l.update(version(&after))
		if after-before > 2 { // the two may become ready at the same time or not
			l.Errorf("two starts told the routers %d times", after-before)
		}
		for _, i := range l.rows(r) {
			if i.CreatedAt.Before(begin) || i.ReadyAt.Before(i.CreatedAt) || i.Problem != "" || i.Exit != nil {
				l.Errorf("row is %+v", i)
			}
			if !l.logs.has("follow " + i.ID + " running") {
				l.Errorf("the output of %s is not followed", i.ID)
			}
		}
		calls := l.fake.Calls(runtimetest.Ensure)
		l.pass(time.Minute)
		if n := l.fake.Calls(runtimetest.Ensure); n != calls || len(l.machine.Started()) != 2 {
			l.Errorf("%d instances were started by %d calls", len(l.machine.Started()), n)
		}
	})
}

func TestHealthyThreshold(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HealthyThreshold, r.HealthCheck.HTTP = 20, true })
		begin := time.Now()
		l.ready(r, 1)
		if took := time.Since(begin); took > 50*time.Millisecond {
			l.Errorf("twenty successful checks took %v", took)
		}
	})
}

func TestCrashIsRecordedAtOnceAndBacksOff(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{
			Stderr: "cannot reach the database\n", NoListen: true, Exit: &runtimetest.Exit{After: 300 * time.Millisecond, Code: 3},
		}})
		begin := time.Now()
		r := l.release(1, nil)
		l.until("the exit is recorded", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		if took := time.Since(begin); took > 310*time.Millisecond {
			l.Errorf("an exit after 300 ms is known after %v", took)
		}
		x := l.rows(r)[0].Exit
		if x == nil || x.Code != 3 || x.Ran != 300*time.Millisecond || x.Tail != "cannot reach the database\n" {
			l.Errorf("exit is %+v", x)
		}
		l.pass(30 * time.Minute)
		// Delays of 1, 2, 4 ... 256 s sum up to 511 s; then one every 5 minutes.
		if n := len(l.machine.Started()); n < 13 || n > 16 {
			l.Errorf("a crashing instance was started %d times in half an hour", n)
		}
		if n := len(l.machine.Running("")); n > 1 {
			l.Errorf("%d instances run", n)
		}
		e := l.events(r)
		if len(e) < 13 || !strings.Contains(e[0], "Container exit code: 3") || !strings.Contains(e[0], "Another one is started in 1s") {
			l.Errorf("events are %q", e)
		}
		if !strings.Contains(e[6], "Instances have ended 7 times in a row. Another one is started in 1m4s.") {
			l.Errorf("the seventh event is %q", e[6])
		}
		// Once the cause is fixed, the next start comes within the delay.
		l.machine.SetImage(image, runtimetest.Image{})
		l.ready(r, 1)
	})
}

func TestStartThatFails(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{StartFails: "exec /app: no such file"})
		begin := time.Now()
		r := l.release(1, nil)
		l.until("the end is recorded", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		if took := time.Since(begin); took > 5*time.Millisecond {
			l.Errorf("a failed start is known after %v", took)
		}
		if x := l.rows(r)[0].Exit; x == nil || x.Reason != "exec /app: no such file" {
			l.Errorf("exit is %+v", x)
		}
	})
}

func TestMakingFails(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{PrepareError: errors.New("no space left on device")})
		r := l.release(1, nil)
		l.until("the problem shows", func() bool {
			s := l.inState(r, slipway.InstanceStarting)
			return len(s) == 1 && strings.Contains(s[0].Problem, "no space left on device")
		})
		l.until("it is given up", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		if x := l.rows(r)[0].Exit; x == nil || !strings.Contains(x.Reason, "no space left on device") {
			l.Errorf("exit is %+v", x)
		}
		if n := l.fake.Calls(runtimetest.Prepare); n < 5 {
			l.Errorf("it was given up after %d tries", n)
		}
		l.machine.SetImage(image, runtimetest.Image{})
		l.ready(r, 1)
	})
}

// A release that is stopped in the first moment of an instance is unlisted until the instance
// has a row.
func TestStopOfOneWithoutARow(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{NoListen: true}})
		r := l.release(1, nil)
		l.pass(100 * time.Millisecond)
		if n := len(l.rows(r)); n != 0 || len(l.machine.Running("")) != 1 {
			l.Fatalf("there are %d rows and %d processes, want a process without a row", n, len(l.machine.Running("")))
		}
		unlisted := func() (is bool) {
			l.update(func(tx *store.Tx) error {
				now, err := tx.Release(r.ID)
				is = now.Unlisted
				return err
			})
			return is
		}
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
		for unlisted() {
			l.pass(time.Millisecond)
		}
		if n := len(l.rows(r)); n == 0 && len(l.machine.Running("")) > 0 {
			l.Error("the release is listed while a process has no row")
		}
		l.until("the row is gone", func() bool { return len(l.rows(r)) == 0 })
		if n := len(l.machine.Running("")); n != 0 {
			l.Errorf("%d processes run when no row is left", n)
		}
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredRun) })
		if !unlisted() {
			l.Error("a release that runs again is not unlisted")
		}
	})
}

func TestSlowPrepareHoldsUpNobody(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage("sha256:slow", runtimetest.Image{PrepareTakes: time.Hour})
		slow := l.release(3, func(r *slipway.Release) { r.Image = "sha256:slow" })
		l.pass(time.Second)
		begin := time.Now()
		fast := l.release(3, nil)
		l.ready(fast, 3)
		if took := time.Since(begin); took > 10*time.Millisecond {
			l.Errorf("another service's start took %v", took)
		}
		if rows := l.inState(slow, slipway.InstanceStarting); len(rows) != 3 {
			l.Errorf("the slow ones show as %+v", l.rows(slow))
		}
		// An instance can be removed while its image is being prepared.
		l.update(func(tx *store.Tx) error { return tx.SetDesired(slow, slipway.DesiredStop) })
		l.until("nothing is left of it", func() bool { return len(l.rows(slow)) == 0 })
	})
}

func TestWrongPortIsNamed(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{Port: 3000}})
		r := l.release(1, nil)
		l.until("the other port is named", func() bool {
			s := l.inState(r, slipway.InstanceStarting)
			return len(s) == 1 && s[0].Problem == "nothing listens on port 8080; the application listens on port 3000: deploy it with --port 3000, or let it listen on the port in the variable PORT"
		})
		l.until("it is given up", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		if x := l.rows(r)[0].Exit; x.Ran > 90*time.Second || !strings.Contains(x.Reason, "the application listens on port 3000") {
			l.Errorf("exit is %+v", x)
		}
	})
}

func TestNeverHealthyIsReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		})})
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP, r.HealthCheck.Path = true, "/health?deep=1" })
		l.until("it is given up", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		i := l.inState(r, slipway.InstanceEnded)[0]
		want := "it did not pass its health check within 6m0s: GET /health?deep=1 on port 8080 was answered with 503 Service Unavailable; the application's log may say why"
		if i.Exit == nil || i.Exit.Reason != want {
			l.Errorf("exit is %+v of %+v", i.Exit, l.rows(r))
		}
	})
}

func TestUnhealthyIsReplacedFirst(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{SickAfter: time.Minute}})
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP = true })
		l.ready(r, 1)
		old := l.rows(r)[0].ID
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{ListenAfter: 10 * time.Second}})
		l.until("it is unhealthy", func() bool { return len(l.inState(r, slipway.InstanceUnhealthy)) == 1 })
		if p := l.inState(r, slipway.InstanceUnhealthy)[0].Problem; !strings.Contains(p, "503") {
			l.Errorf("the problem is %q", p)
		}
		l.pass(5 * time.Second)
		if !slices.Contains(l.machine.Running(r.ID), old) {
			l.Error("the only instance was stopped before another was ready")
		}
		l.ready(r, 1)
		l.until("the old one is gone", func() bool { return len(l.machine.Running(r.ID)) == 1 && len(l.inState(r, slipway.InstanceEnded)) == 1 })
		if slices.Contains(l.machine.Running(r.ID), old) {
			l.Error("the wrong one was stopped")
		}
		if gone := l.inState(r, slipway.InstanceEnded)[0]; gone.Exit != nil {
			l.Errorf("an instance that the fleet stopped has the exit %+v", gone.Exit)
		}
	})
}

func TestDeafIsReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{UnreachableAfter: time.Minute}})
		r := l.release(1, nil)
		l.ready(r, 1)
		old := l.rows(r)[0].ID
		l.machine.SetImage(image, runtimetest.Image{})
		l.until("it is replaced", func() bool {
			run := l.machine.Running(r.ID)
			return len(run) == 1 && run[0] != old
		})
		if e := l.events(r); len(e) != 1 || !strings.Contains(e[0], "failed its health check 5 times in a row: nothing listens on port 8080") {
			l.Errorf("events are %q", e)
		}
	})
}

func TestUnhealthyRecovers(t *testing.T) {
	inLab(t, func(l *lab) {
		var sick atomic.Bool
		l.machine.SetImage(image, runtimetest.Image{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if sick.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})})
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP, r.HealthCheck.HealthyThreshold = true, 2 })
		l.ready(r, 1)
		old := l.rows(r)[0].ID
		l.machine.SetImage(image, runtimetest.Image{PrepareTakes: time.Hour})
		sick.Store(true)
		l.until("it is unhealthy", func() bool { return len(l.inState(r, slipway.InstanceUnhealthy)) == 1 })
		sick.Store(false)
		l.ready(r, 1)
		l.until("its replacement is taken back", func() bool { return len(l.rows(r)) <= 2 && len(l.inState(r, slipway.InstanceStarting)) == 0 })
		if rest := l.inState(r, slipway.InstanceReady); len(rest) != 1 || rest[0].ID != old || rest[0].Problem != "" {
			l.Errorf("rows are %+v", l.rows(r))
		}
		if n := len(l.machine.Started()); n != 1 {
			l.Errorf("%d instances were started", n)
		}
	})
}

func (l *lab) seeRouter(version int64) {
	l.Helper()
	l.update(func(tx *store.Tx) error { return tx.PutRouter("router", version, time.Now()) })
}

func TestScaleInDrains(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{StopTakes: time.Second}})
		r := l.release(1, nil)
		l.ready(r, 1)
		oldest := l.rows(r)[0].ID
		l.pass(time.Second)
		l.update(func(tx *store.Tx) error { return tx.SetSize(r, 3) })
		l.ready(r, 3)
		l.seeRouter(1)
		l.update(func(tx *store.Tx) error { return tx.SetSize(r, 1) })
		l.until("two drain", func() bool { return len(l.inState(r, slipway.InstanceDraining)) == 2 })
		if rest := l.inState(r, slipway.InstanceReady); len(rest) != 1 || rest[0].ID != oldest {
			t.Errorf("ready are %+v, want the oldest", rest)
		}
		for range 6 { // the router lives and reports no drain
			l.seeRouter(1)
			l.pass(5 * time.Second)
		}
		if n := len(l.machine.Running(r.ID)); n != 3 {
			t.Fatalf("%d instances run while requests are in flight on two", n)
		}
		first := l.inState(r, slipway.InstanceDraining)[0].ID
		l.update(func(tx *store.Tx) error { return tx.ReportDrained("router", r.ServiceID, first) })
		l.until("the drained one is gone", func() bool { return len(l.machine.Running(r.ID)) == 2 })
		if slices.Contains(l.machine.Running(r.ID), first) {
			t.Error("the wrong one was stopped")
		}
		begin := time.Now()
		for len(l.machine.Running(r.ID)) == 2 && time.Since(begin) < 3*time.Minute {
			l.seeRouter(1)
			l.pass(time.Second)
		}
		if rest := l.machine.Running(r.ID); len(rest) != 1 || time.Since(begin) > 2*time.Minute {
			t.Errorf("%v run %v later, the drain limit is 2 minutes", rest, time.Since(begin))
		}
		l.until("rows are closed", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 2 })
	})
}

// An instance of a service whose requests may take longer has as long to drain.
func TestScaleInDrainsLongRequests(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.update(func(tx *store.Tx) error {
			return tx.SetTags(r.ServiceID, []slipway.Tag{{Key: "slipway:request-timeout", Value: "600"}})
		})
		l.ready(r, 2)
		l.seeRouter(1)
		l.update(func(tx *store.Tx) error { return tx.SetSize(r, 1) })
		begin := time.Now()
		for len(l.machine.Running(r.ID)) == 2 && time.Since(begin) < time.Hour {
			l.seeRouter(1)
			l.pass(time.Second)
		}
		if took := time.Since(begin); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("an instance with requests was stopped after %v, want 10 minutes", took)
		}
	})
}

func TestStopReadsTheLastOutput(t *testing.T) {
	inLab(t, func(l *lab) {
		l.machine.SetImage(image, runtimetest.Image{Program: runtimetest.Program{IgnoreStop: true}})
		r := l.release(2, nil)
		l.ready(r, 2)
		rows := l.rows(r)
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
		begin := time.Now()
		l.until("no row is left", func() bool { return len(l.rows(r)) == 0 })
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			l.Errorf("instances that ignore their stop signal were gone after %v, their grace is 10 s", took)
		}
		if n := len(l.machine.Removed()); n != 2 {
			l.Errorf("%d instances were removed", n)
		}
		for _, i := range rows {
			if !l.logs.has("finish " + i.ID + " ended") {
				l.Errorf("the last output of %s was not read between its end and its removal", i.ID)
			}
		}
		// It starts again at once, as on a resume.
		begin = time.Now()
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredRun) })
		l.ready(r, 2)
		if took := time.Since(begin); took > 5*time.Millisecond {
			l.Errorf("it ran again after %v", took)
		}
	})
}

func TestDrainKeepsButReplacesNothing(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredDrain) })
		l.pass(time.Minute)
		l.machine.Kill(l.rows(r)[0].ID)
		l.until("its end is recorded", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 1 })
		l.pass(time.Minute)
		if n := len(l.machine.Started()); n != 2 || len(l.inState(r, slipway.InstanceReady)) != 1 {
			l.Errorf("%d were started, rows are %+v", n, l.rows(r))
		}
		x := l.inState(r, slipway.InstanceEnded)[0].Exit
		if x == nil || x.Signal != "SIGKILL" {
			l.Errorf("exit is %+v", x)
		}
	})
}

func TestRebootStartsAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		l.stop()
		l.machine.Reboot()
		begin := time.Now()
		l.boot(nil)
		l.until("all run again", func() bool {
			return len(l.inState(r, slipway.InstanceReady)) == 2 && len(l.inState(r, slipway.InstanceEnded)) == 2
		})
		if took := time.Since(begin); took > 10*time.Millisecond {
			l.Errorf("that took %v", took)
		}
		for _, i := range l.inState(r, slipway.InstanceEnded) {
			if i.Exit != nil || i.Problem == "" {
				l.Errorf("a lost instance's row is %+v", i)
			}
		}
	})
}

func TestRestartFindsEverything(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(3, nil)
		l.ready(r, 3)
		l.stop()
		victim := l.rows(r)[1].ID
		l.machine.Kill(victim)
		stray := runtime.Spec{ID: slipway.NewID(), Service: r.ServiceID, Release: slipway.NewID(), Image: image}
		if err := l.fake.Ensure(l.Context(), stray); err != nil {
			l.Fatal(err)
		}
		l.boot(nil)
		l.until("the exit is recorded and replaced, the stray is gone", func() bool {
			ended := l.inState(r, slipway.InstanceEnded)
			return len(ended) == 1 && ended[0].ID == victim && ended[0].Exit != nil && ended[0].Exit.Signal == "SIGKILL" &&
				len(l.inState(r, slipway.InstanceReady)) == 3 && slices.Contains(l.machine.Removed(), stray.ID)
		})
		if n := len(l.machine.Started()); n != 5 {
			l.Errorf("%d instances were started, want 3, the stray and 1", n)
		}
	})
}

// TestKilledAtEveryCall kills the daemon before and after each of its driver calls
// during a start, a crash, a scale-in and a stop, and starts another one.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, method := range []runtimetest.Method{runtimetest.Prepare, runtimetest.Ensure, runtimetest.List, runtimetest.Dial, runtimetest.Stop, runtimetest.Remove} {
		for _, after := range []bool{false, true} {
			for call := 1; call <= 4; call++ {
				t.Run(fmt.Sprintf("%s %d, after %v", method, call, after), func(t *testing.T) {
					inLab(t, func(l *lab) { liveThrough(l, runtimetest.Failpoint{Method: method, Call: call, After: after}) })
				})
			}
		}
	}
}

// liveThrough runs a service's lifecycle under a daemon that is killed once.
func liveThrough(l *lab, fp runtimetest.Failpoint) {
	l.stop()
	var again func()
	l.boot(func(f *runtimetest.Fake, cancel func()) {
		died := make(chan struct{})
		fp.Kill = func() { cancel(); close(died) }
		f.Break(fp)
		stop := l.stop
		again = func() { // what systemd does
			select {
			case <-died:
				stop()
				died = make(chan struct{})
				l.stop()
				l.boot(nil)
			default:
			}
		}
	})
	r := l.release(3, nil)
	await := func(what string, cond func() bool) {
		l.Helper()
		l.until(what, func() bool { again(); return cond() })
	}
	running := func(n int) func() bool {
		return func() bool {
			return len(l.inState(r, slipway.InstanceReady)) == n && len(l.machine.Running("")) == n
		}
	}
	await("three run", running(3))
	if victims := l.machine.Running(""); len(victims) > 0 {
		l.machine.Kill(victims[0])
	}
	await("the crash is recorded", func() bool { return len(l.inState(r, slipway.InstanceEnded)) > 0 })
	await("three run again", running(3))
	l.update(func(tx *store.Tx) error { return tx.SetSize(r, 1) })
	await("one runs", running(1))
	l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
	await("nothing is left", func() bool { return len(l.machine.Running("")) == 0 && len(l.rows(r)) == 0 })
	known, err := l.fake.List(l.Context())
	if err != nil || len(known) > 0 {
		l.Errorf("the driver still knows %+v (%v)", known, err)
	}
}

func TestErrorsOfTheDriverPass(t *testing.T) {
	t.Parallel()
	for _, method := range []runtimetest.Method{runtimetest.Prepare, runtimetest.Ensure, runtimetest.List, runtimetest.Dial, runtimetest.Stop, runtimetest.Remove} {
		t.Run(string(method), func(t *testing.T) {
			inLab(t, func(l *lab) {
				for call := range 3 {
					l.fake.Break(runtimetest.Failpoint{Method: method, Call: call + 1, Err: errors.New("out of order")})
				}
				r := l.release(2, nil)
				l.ready(r, 2)
				l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
				l.until("all is gone", func() bool { return len(l.rows(r)) == 0 && len(l.machine.Running("")) == 0 })
			})
		})
	}
}
