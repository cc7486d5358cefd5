package fleet_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
)

// freezes is the part of a runtime.Freezer that tells whether the only instance is frozen.
type freezes struct {
	mu     sync.Mutex // guards all
	times  int
	thawed chan struct{}
}

var _ runtime.Freezer = (*freezes)(nil)

func (f *freezes) Freeze(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times++
	f.thawed = make(chan struct{})
	return nil
}

func (f *freezes) Thaw(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.thawed)
	f.thawed = nil
	return nil
}

func (f *freezes) Frozen(id string) bool {
	_, thawed := f.Freezes(id)
	return thawed != nil
}

func (f *freezes) Freezes(string) (int, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.times, f.thawed
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
		l.stop()
		l.frozen = &freezes{}
		l.boot(nil)
		r := l.release(1, func(r *slipway.Release) { r.HealthCheck.HTTP, r.HealthCheck.UnhealthyThreshold = true, 1 })
		l.ready(r, 1)
		freeze := func() { l.frozen.Freeze(t.Context(), "") }
		thaw := func() { l.frozen.Thaw(t.Context(), "") }

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
		l.stop()
		l.frozen = &freezes{}
		l.boot(nil)
		r := l.release(3, nil)
		l.ready(r, 3)
		l.frozen.Freeze(l.Context(), "")
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
		l.frozen.Thaw(l.Context(), "")
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
