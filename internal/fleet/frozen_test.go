package fleet_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
)

// rest freezes or thaws the instances of a release, as a router does.
func (l *lab) rest(r slipway.Release, frozen bool) {
	l.Helper()
	change := l.fake.Thaw
	if frozen {
		change = l.fake.Freeze
	}
	for _, id := range l.machine.Running(r.ID) {
		if err := change(l.Context(), id); err != nil {
			l.Fatal(err)
		}
	}
}

// A frozen instance is not checked. A check that a freeze interrupts counts for nothing, and
// one that is ill is found out after the thaw.
func TestFrozenIsNotChecked(t *testing.T) {
	inLab(t, func(l *lab) {
		var checks atomic.Int64
		var hangs, sick atomic.Bool
		l.machine.SetImage(image, runtimetest.Image{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			checks.Add(1)
			if hangs.Load() {
				<-r.Context().Done()
			}
			if sick.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})})
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP, r.HealthCheck.UnhealthyThreshold = true, 1 })
		l.ready(r, 1)
		freeze := func() { l.rest(r, true) }
		thaw := func() { l.rest(r, false) }

		freeze()
		l.passes(10 * time.Second) // one check may have been under way
		before := checks.Load()
		l.passes(time.Hour)
		if n := checks.Load() - before; n != 0 {
			t.Errorf("%d checks of a frozen instance", n)
		}
		thaw()
		l.passes(time.Minute)
		if n := checks.Load() - before; n < 10 {
			t.Errorf("%d checks in the minute after the thaw", n)
		}

		hangs.Store(true)
		before = checks.Load()
		l.until("a check is under way", func() bool { return checks.Load() > before })
		freeze()
		thaw() // within the time that the check has
		hangs.Store(false)
		l.passes(time.Minute)
		if ready := l.inState(r, slipway.InstanceReady); len(ready) != 1 || len(l.machine.Started()) != 1 {
			t.Errorf("a check that was interrupted counted: rows are %+v", l.rows(r))
		}

		sick.Store(true)
		l.until("it is unhealthy", func() bool { return len(l.inState(r, slipway.InstanceUnhealthy)) > 0 })
	})
}

// A release that may have no instance stops all, frozen as they are, and starts one again.
func TestStopFrozen(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(3, nil)
		l.ready(r, 3)
		l.rest(r, true)
		l.passes(time.Minute)
		l.update(func(tx *store.Tx) error { return tx.SetSize(r, 0) })
		l.until("no instance lives", func() bool { return len(l.inState(r, slipway.InstanceEnded)) == 3 })
		if left := l.machine.Running(""); len(left) > 0 {
			l.Errorf("%v run", left)
		}
		l.passes(time.Hour)
		if n := len(l.rows(r)); n != 3 {
			l.Errorf("%d rows after an hour at rest", n)
		}
		r.Size = 0
		l.update(func(tx *store.Tx) error { return tx.SetSize(r, 1) })
		begin := time.Now()
		l.ready(r, 1)
		if took := time.Since(begin); took > 50*time.Millisecond {
			l.Errorf("the instance was ready after %v", took)
		}
		for _, i := range l.rows(r) {
			if i.Exit != nil {
				l.Errorf("a stop counts as an end of its own: %+v", i)
			}
		}
	})
}
