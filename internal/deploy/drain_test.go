package deploy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
)

// What stops a release waits for its requests for as long as these may take. What is still in
// flight then keeps nobody: the instances are stopped, also by a pause that is to keep them.
func TestDrainLimit(t *testing.T) {
	const busy = "busy"
	settled := slipway.OperationSucceeded
	for _, c := range []struct {
		name string
		tags []string
		op   testOperation
		want time.Duration
		says string
	}{
		{"a deployment", nil, testOperation{slipway.UpdateService, "next", settled, slipway.StatusRunning, "next", ""}, 2 * time.Minute, ""},
		{"of long requests", []string{"request-timeout", "600"}, testOperation{slipway.UpdateService, "next", settled, slipway.StatusRunning, "next", ""}, 10 * time.Minute, ""},
		{"of short requests", []string{"request-timeout", "30"}, testOperation{slipway.UpdateService, "next", settled, slipway.StatusRunning, "next", ""}, 2 * time.Minute, ""},
		{"a pause", nil, testOperation{slipway.PauseService, "", settled, slipway.StatusPaused, "", ""}, 2 * time.Minute, ""},
		{"a pause, long requests", []string{"request-timeout", "600"}, testOperation{slipway.PauseService, "", settled, slipway.StatusPaused, "", ""}, 10 * time.Minute, ""},
		{"a pause that keeps", []string{"pause-keeps", "3600"}, testOperation{slipway.PauseService, "", settled, slipway.StatusPaused, "", ""}, 2 * time.Minute, "The instances are stopped, not kept: requests were still in flight when their time was over."},
		{"a pause that keeps, long requests", []string{"pause-keeps", "3600", "request-timeout", "600"}, testOperation{slipway.PauseService, "", settled, slipway.StatusPaused, "", ""}, 10 * time.Minute, "stopped, not kept"},
		{"a deletion", []string{"request-timeout", "600"}, testOperation{slipway.DeleteService, "", settled, slipway.StatusDeleted, "", ""}, 10 * time.Minute, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, running := newStore(t)
				start(t, running, t.Context(), st, &resolver{tries: map[string]int{}}, newReader(t, st), "a", nil)
				id := create(t, st)
				var tags []slipway.Tag
				for i := 0; i < len(c.tags); i += 2 {
					tags = append(tags, slipway.Tag{Key: "slipway:" + c.tags[i], Value: c.tags[i+1]})
				}
				setTags(t, st, id, tags...)
				testOperation{slipway.CreateService, busy, settled, slipway.StatusRunning, busy, ""}.run(t, st, id)
				op := c.op.end(t, st, id)
				c.op.check(t, st, id)
				if took := op.EndedAt.Sub(op.StartedAt); op.Status != settled || took < c.want || took > c.want+time.Minute {
					t.Errorf("it ended %s after %v, want %v", op.Status, took, c.want)
				}
				if said := eventsOf(t, st, id); !strings.Contains(said, c.says) {
					t.Errorf("events are\n%s\nwant %q", said, c.says)
				}
			})
		})
	}
}
