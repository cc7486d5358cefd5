package deploy_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
)

// clock is a time of day that steps. Its times compare as those of a database do: without
// the reading of the monotonic clock, which makes a step invisible.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

func (c *clock) step(by time.Duration) { c.off.Add(int64(by)) }

// The clock steps back while an image is pulled: the instances are then older than the
// operation that starts them.
func TestClockStepsBackDuringPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		st, running := newStoreAt(t, c.now)
		startAt(t, running, t.Context(), c.now, st, &resolver{tries: map[string]int{}}, nil, "a",
			func(_ slipway.Operation, point string) error {
				if point == "before work resolve" {
					c.step(-time.Hour)
				}
				return nil
			})
		id := create(t, st)
		for _, o := range []testOperation{
			{slipway.CreateService, "one", slipway.OperationSucceeded, slipway.StatusRunning, "one", ""},
			{slipway.UpdateService, "two", slipway.OperationSucceeded, slipway.StatusRunning, "two", ""},
		} {
			op := o.end(t, st, id)
			if op.Status != o.status {
				t.Errorf("%s ended %s: %s", o.kind, op.Status, op.Cause)
			}
			o.check(t, st, id)
		}
	})
}

// The clock steps by six hours at every checkpoint of every lifecycle, once in each run, and
// all operations end as without a step, in about the time that they take then.
func TestEveryLifecycleAtEveryClockStep(t *testing.T) {
	for _, s := range lifecycles {
		if s.keeps {
			s.keeps = false // a time of day ends what a pause keeps: see docs/clocks.md
			s.operations = withoutKept(s.operations)
		}
		t.Run(s.name, func(t *testing.T) {
			points, usual := stepLifecycle(t, s, 0, 0)
			for n := 0; n < points; n += stride {
				for _, by := range []time.Duration{6 * time.Hour, -6 * time.Hour} {
					t.Run(fmt.Sprintf("%d by %v", n+1, by), func(t *testing.T) {
						if _, took := stepLifecycle(t, s, n+1, by); took > usual+30*time.Second {
							t.Errorf("the lifecycle takes %v, without a step %v", took, usual)
						}
					})
				}
			}
		})
	}
}

// withoutKept returns operations whose pauses keep nothing.
func withoutKept(list []testOperation) (all []testOperation) {
	for _, o := range list {
		if o.kind == slipway.PauseService {
			o.serves = ""
		}
		all = append(all, o)
	}
	return all
}

// stepLifecycle runs a lifecycle and has the clock step at a checkpoint, the first one being
// 1. It returns how many checkpoints there are, and how long it took.
func stepLifecycle(t *testing.T, s lifecycle, at int, by time.Duration) (points int, took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		st, running := newStoreAt(t, c.now)
		read := newReader(t, st)
		putToken(t, read, "t")
		var mu sync.Mutex
		startAt(t, running, t.Context(), c.now, st, &resolver{tries: map[string]int{}}, read, "a",
			func(slipway.Operation, string) error {
				mu.Lock()
				defer mu.Unlock()
				if points++; points == at {
					c.step(by)
				}
				return nil
			})
		scaling := slipway.Scaling{MaxConcurrency: 100, MinSize: 1, MaxSize: 3}
		if s.idle {
			scaling.MinSize = 3
		}
		id := createScaled(t, st, scaling)
		began := time.Now()
		for _, o := range s.operations {
			if s.idle {
				stopIdle(t, st, id)
			}
			op := o.end(t, st, id)
			if op.Status != o.status || op.Cause != o.cause {
				t.Errorf("%s of %q ended %s at %q with cause %q, want %s with %q", o.kind, o.image, op.Status, op.Step, op.Cause, o.status, o.cause)
			}
			o.check(t, st, id)
		}
		took = time.Since(began)
		mu.Lock()
		defer mu.Unlock()
	})
	return points, took
}
