package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

// hung is a ready instance that answers no request.
func hung(n int) observation {
	return with(row(n, slipway.InstanceReady), func(o *observation) { o.hung = "it answers nothing" })
}

func TestPlanHung(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	given := func(count int, ago time.Duration) hangs { return hangs{count, now.Add(-ago)} }
	for _, c := range []struct {
		name  string
		size  int
		seen  []observation
		hangs hangs
		want  []string
		wake  time.Duration // from now; 0: never
	}{
		{"the only one", 1, []observation{hung(0)}, hangs{}, []string{"put i0 unhealthy", "start"}, 0},
		{"one of two, which another replaces", 2, []observation{hung(0), row(1, slipway.InstanceReady)}, hangs{}, []string{"put i0 draining", "start"}, 0},
		{"all, one at a time", 3, []observation{hung(0), hung(1), hung(2)}, hangs{}, []string{"put i0 draining", "start"}, 0},
		{"while another starts", 2, []observation{hung(0), row(1, slipway.InstanceStarting)}, hangs{}, []string{}, 0},
		{"while another drains", 2, []observation{row(0, slipway.InstanceDraining), hung(1), row(2, slipway.InstanceReady)}, hangs{}, []string{}, 0},
		{"the second of two", 2, []observation{hung(0), row(1, slipway.InstanceReady)}, given(1, 0), []string{"put i0 draining", "start"}, 0},
		{"the third of two, too soon", 2, []observation{hung(0), hung(1)}, given(2, 4*time.Second), []string{}, 6 * time.Second},
		{"the third of two, later", 2, []observation{hung(0), hung(1)}, given(2, 10*time.Second), []string{"put i0 draining", "start"}, 0},
		{"the fourth of one", 1, []observation{hung(0)}, given(3, 30*time.Second), []string{}, 10 * time.Second},
		{"the hundredth of one", 1, []observation{hung(0)}, given(99, 0), []string{}, slipway.LongestRestart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i := range c.seen {
				if c.seen[i].presence == alive && c.seen[i].row.State == slipway.InstanceStarting {
					c.seen[i].began = now
				}
				c.seen[i].drainSince = now
			}
			d := plan(now, inputs{[]slipway.Release{testRelease(c.size)}, c.seen, Limits{}.withDefaults(), c.hangs})
			if diff := cmp.Diff(c.want, words(d)); diff != "" {
				t.Error(diff)
			}
			if c.wake > 0 && !d.wake.Equal(now.Add(c.wake)) {
				t.Errorf("planned again at %v, want in %v", d.wake, c.wake)
			}
			gaveUp := len(c.want) > 0
			if told := strings.Contains(strings.Join(d.events, " "), "it answers nothing"); told != gaveUp {
				t.Errorf("events %q", d.events)
			}
			if counted := d.hangs.count - c.hangs.count; counted != map[bool]int{true: 1}[gaveUp] {
				t.Errorf("%d more were counted", counted)
			}
		})
	}
}

// One that answers again while it waits for its replacement is ready again.
func TestPlanHungRecovers(t *testing.T) {
	t.Parallel()
	o := with(row(0, slipway.InstanceUnhealthy), func(o *observation) { o.failing = false; o.hung = "it answers nothing" })
	r := []slipway.Release{testRelease(1)}
	if d := plan(epoch, inputs{r, []observation{o}, Limits{}.withDefaults(), hangs{}}); len(d.put) > 0 {
		t.Errorf("still hung, it is %v", words(d))
	}
	o.hung = ""
	if diff := cmp.Diff([]string{"put i0 ready"}, words(plan(epoch, inputs{r, []observation{o}, Limits{}.withDefaults(), hangs{}}))); diff != "" {
		t.Error(diff)
	}
}

// A service with a clean record for a while begins anew.
func TestHangsForgotten(t *testing.T) {
	t.Parallel()
	h := hangs{7, epoch}
	if got := h.again(epoch.Add(hangsForgotten)); got.count != 8 {
		t.Errorf("soon after, %d are counted", got.count)
	}
	if got := h.again(epoch.Add(hangsForgotten + 1)); got.count != 1 {
		t.Errorf("long after, %d are counted", got.count)
	}
}
