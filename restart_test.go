package slipway_test

import (
	"testing"
	"time"

	"github.com/openslipway/slipway"
)

func TestCrashing(t *testing.T) {
	t.Parallel()
	t0 := time.Unix(1_800_000_000, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	crash := func(end int) slipway.Instance {
		return slipway.Instance{ReleaseID: "r", State: slipway.InstanceEnded, CreatedAt: at(end - 1), EndedAt: at(end), Exit: &slipway.Exit{Code: 7}}
	}
	ready := func(since int) slipway.Instance {
		return slipway.Instance{ReleaseID: "r", State: slipway.InstanceReady, CreatedAt: at(since - 1), ReadyAt: at(since)}
	}
	starting := slipway.Instance{ReleaseID: "r", State: slipway.InstanceStarting, CreatedAt: at(100)}
	stopped := ready(110)
	stopped.State, stopped.EndedAt = slipway.InstanceEnded, at(200) // by the fleet
	other := ready(110)
	other.ReleaseID = "another"
	for name, c := range map[string]struct {
		instances []slipway.Instance
		size, now int
		want      bool
	}{
		"nothing":                          {nil, 1, 100, false},
		"first start":                      {[]slipway.Instance{starting}, 1, 100, false},
		"the next waits":                   {[]slipway.Instance{crash(98), crash(99)}, 1, 100, true},
		"the next starts":                  {[]slipway.Instance{crash(99), starting}, 1, 101, true},
		"it has become ready":              {[]slipway.Instance{crash(99), ready(101)}, 1, 102, false},
		"another release is ready":         {[]slipway.Instance{crash(99), other}, 1, 200, true},
		"it was ready and then stopped":    {[]slipway.Instance{crash(99), stopped}, 1, 300, false},
		"one of two, the next waits":       {[]slipway.Instance{ready(1), crash(99)}, 2, 99, true},
		"one of two, the next starts":      {[]slipway.Instance{ready(1), crash(99), starting}, 2, 150, false},
		"stopped for want of requests":     {[]slipway.Instance{crash(98), crash(99)}, 0, 100, false},
		"one of one, another was too many": {[]slipway.Instance{ready(1), crash(99)}, 1, 99, false},
	} {
		r := slipway.Release{ID: "r", Size: c.size}
		if got := slipway.RestartsOf(r, c.instances).Crashing(r, c.instances, at(c.now)); got != c.want {
			t.Errorf("%s: crashing is %v, want %v", name, got, c.want)
		}
	}
}
