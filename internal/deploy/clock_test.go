package deploy_test

import (
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
