package fleet_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
)

// pause has a release keep its instances for a while, as the pause of its service does.
func (l *lab) pause(r slipway.Release, keeps time.Duration) {
	l.Helper()
	l.update(func(tx *store.Tx) error {
		return errors.Join(tx.SetKeepUntil(r.ID, time.Now().Add(keeps)), tx.SetDesired(r, slipway.DesiredKeep))
	})
}

// resume has a release run again, with the instances that a pause has kept or without them.
func (l *lab) resume(r slipway.Release, with bool) {
	l.Helper()
	l.update(func(tx *store.Tx) error {
		if !with {
			if err := tx.SetKeepUntil(r.ID, time.Time{}); err != nil {
				return err
			}
		}
		return tx.SetDesired(r, slipway.DesiredRun)
	})
}

// kept waits until so many instances of a release are kept, and returns their ids. All live
// ones are frozen then.
func (l *lab) kept(r slipway.Release, n int) (ids []string) {
	l.Helper()
	l.until(fmt.Sprintf("%d instances are kept", n), func() bool {
		return len(l.inState(r, slipway.InstanceKept)) == n && len(l.machine.Running(r.ID)) == n
	})
	for _, i := range l.inState(r, slipway.InstanceKept) {
		ids = append(ids, i.ID)
		if !l.fake.Frozen(i.ID) {
			l.Errorf("instance %s is kept and runs", i.ID)
		}
	}
	return ids
}

// A paused service's instances are frozen, nobody checks them, and a resume has the same
// ones serve again, also of a second pause.
func TestKeep(t *testing.T) {
	inLab(t, func(l *lab) {
		var checks atomic.Int64
		l.machine.SetImage(image, runtimetest.Image{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { checks.Add(1) })})
		r := l.release(2, func(r *slipway.Release) { r.HealthCheck.HTTP = true })
		l.ready(r, 2)
		l.passes(time.Hour)
		for round := range 2 {
			l.pause(r, time.Hour)
			ids := l.kept(r, 2)
			l.passes(10 * time.Second) // one check may have been under way
			before := checks.Load()
			l.passes(50 * time.Minute)
			if n := checks.Load() - before; n != 0 {
				l.Errorf("%d checks of kept instances", n)
			}
			began := time.Now()
			l.resume(r, true)
			l.ready(r, 2)
			if took := time.Since(began); took > 50*time.Millisecond {
				l.Errorf("the resume took %v", took)
			}
			for _, i := range l.inState(r, slipway.InstanceReady) {
				if !slices.Contains(ids, i.ID) || i.ReadyAt.Before(began) || l.fake.Frozen(i.ID) {
					l.Errorf("round %d: %+v is ready, %v were kept", round, i, ids)
				}
			}
			if n := checks.Load() - before; n != 2 {
				l.Errorf("%d checks until two instances were ready again, want one each", n)
			}
		}
		if n := len(l.machine.Started()); n != 2 {
			l.Errorf("%d instances were started, want 2", n)
		}
	})
}

// Kept instances end at their time, and when the service resumes without them.
func TestKeepEnds(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		l.pause(r, time.Hour)
		l.kept(r, 2)
		l.passes(59 * time.Minute)
		l.kept(r, 2)
		l.passes(time.Minute + 15*time.Second) // with their grace
		if left := l.machine.Running(""); len(left) > 0 || len(l.rows(r)) > 0 {
			l.Errorf("%v run after their time; rows are %+v", left, l.rows(r))
		}
		if e := l.events(r); len(e) != 1 || !strings.Contains(e[0], "keeps its instances is over") {
			l.Errorf("events are %q", e)
		}
		l.resume(r, false)
		l.ready(r, 2)
		l.pause(r, time.Hour)
		ids := l.kept(r, 2)
		l.resume(r, false)
		l.ready(r, 2)
		for _, i := range l.inState(r, slipway.InstanceReady) {
			if slices.Contains(ids, i.ID) {
				l.Errorf("instance %s serves, which was not to be used again", i.ID)
			}
		}
	})
}

// Instances that cannot be frozen are stopped. Those that cannot be thawed, or fail the check
// of their health after that, are replaced at once.
func TestKeepFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  func(*lab, *atomic.Bool)
		event string
		kept  int
	}{
		{"freeze", func(l *lab, _ *atomic.Bool) {
			l.fake.Break(runtimetest.Failpoint{Method: runtimetest.Freeze, Err: errors.New("no freezer")})
		}, "is stopped instead of kept: it could not be frozen: no freezer.", 0},
		{"thaw", func(l *lab, _ *atomic.Bool) {
			l.fake.Break(runtimetest.Failpoint{Method: runtimetest.Thaw, Err: errors.New("no luck")})
		}, "which was kept during the pause, is replaced: it could not be thawed: no luck.", 1},
		{"health", func(_ *lab, sick *atomic.Bool) { sick.Store(true) }, "is replaced: after its thaw GET / on port 8080 was answered with 500 Internal Server Error.", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				var sick atomic.Bool
				l.machine.SetImage(image, runtimetest.Image{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if sick.Load() {
						w.WriteHeader(http.StatusInternalServerError)
					}
				})})
				r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP = true })
				l.ready(r, 1)
				first := l.rows(r)[0].ID
				c.fail(l, &sick)
				l.pause(r, time.Hour)
				if c.kept == 0 {
					l.until("it is stopped", func() bool { return len(l.machine.Running("")) == 0 })
				} else {
					l.kept(r, 1)
				}
				l.machine.SetImage(image, runtimetest.Image{})
				l.resume(r, true)
				l.until("a new one is ready", func() bool {
					ready := l.inState(r, slipway.InstanceReady)
					return len(ready) == 1 && ready[0].ID != first
				})
				l.until("the first one is gone", func() bool { return len(l.machine.Running("")) == 1 })
				if e := strings.Join(l.events(r), "\n"); !strings.Contains(e, c.event) {
					l.Errorf("events are %q, want %q", e, c.event)
				}
			})
		})
	}
}

// A router that has frozen an instance may thaw it late. It is frozen again.
func TestKeepAgainstALateThaw(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(1, nil)
		l.ready(r, 1)
		l.rest(r, true) // by a router
		l.pause(r, time.Hour)
		ids := l.kept(r, 1)
		l.rest(r, false)
		l.until("it is frozen again", func() bool { return l.fake.Frozen(ids[0]) })
	})
}

// The server is killed before and after each call of the driver, while a pause keeps
// instances and while a resume thaws them. The next server finds them: they are still
// frozen, serve again, and end at their time.
func TestKeepKilled(t *testing.T) {
	for _, m := range []runtimetest.Method{runtimetest.Freeze, runtimetest.Thaw, runtimetest.List, runtimetest.Stop, runtimetest.Remove} {
		for call := 1; call <= 2; call++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %d after %v", m, call, after), func(t *testing.T) {
					inLab(t, func(l *lab) { l.keepKilled(runtimetest.Failpoint{Method: m, Call: call, After: after}) })
				})
			}
		}
	}
}

func (l *lab) keepKilled(at runtimetest.Failpoint) {
	r := l.release(2, nil)
	l.ready(r, 2)
	killed := make(chan struct{}, 1)
	l.stop()
	l.boot(func(f *runtimetest.Fake, end func()) {
		at.Kill = func() { end(); killed <- struct{}{} }
		f.Break(at)
	})
	again := func() {
		select {
		case <-killed:
			l.stop()
			l.passes(time.Second)
			l.boot(nil)
		default:
		}
	}
	first := l.rows(r)
	l.pause(r, time.Hour)
	l.passes(10 * time.Second)
	again()
	ids := l.kept(r, 2)
	l.resume(r, true)
	l.passes(10 * time.Second)
	again()
	l.ready(r, 2)
	for _, i := range first {
		if !slices.Contains(ids, i.ID) || !slices.ContainsFunc(l.inState(r, slipway.InstanceReady), func(n slipway.Instance) bool { return n.ID == i.ID }) {
			l.Errorf("instance %s is lost; rows are %+v", i.ID, l.rows(r))
		}
	}
	l.pause(r, time.Hour)
	l.passes(30 * time.Minute)
	again()
	l.stop() // whether or not it was killed so far
	l.boot(func(f *runtimetest.Fake, end func()) {
		at.Kill = func() { end(); killed <- struct{}{} }
		f.Break(at)
	})
	l.passes(time.Second)
	again()
	l.kept(r, 2)
	l.passes(30*time.Minute + time.Second)
	again()
	l.until("all are gone", func() bool { return len(l.machine.Running("")) == 0 && len(l.rows(r)) == 0 })
}
