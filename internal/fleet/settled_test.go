package fleet

import (
	"testing"

	"github.com/openslipway/slipway"
)

// A service is settled if nothing is under way for it.
func TestSettled(t *testing.T) {
	t.Parallel()
	release := func(id string, d slipway.Desired, size int) slipway.Release {
		return slipway.Release{ID: id, Desired: d, Size: size}
	}
	inst := func(release string, s slipway.InstanceState, p presence) observation {
		return observation{row: slipway.Instance{ReleaseID: release, State: s}, stored: true, presence: p}
	}
	run, ready, ended := release("r", slipway.DesiredRun, 1), inst("r", slipway.InstanceReady, alive), inst("r", slipway.InstanceEnded, absent)
	removing := ready
	removing.removing = true
	for name, c := range map[string]struct {
		releases  []slipway.Release
		instances []observation
		decision  decision
		want      bool
	}{
		"nothing":                          {nil, nil, decision{}, true},
		"running":                          {[]slipway.Release{run}, []observation{ready, ended}, decision{}, true},
		"paused":                           {[]slipway.Release{release("r", slipway.DesiredStop, 1)}, nil, decision{}, true},
		"too few":                          {[]slipway.Release{run}, []observation{ended}, decision{}, false},
		"too many":                         {[]slipway.Release{run}, []observation{ready, ready}, decision{}, false},
		"not to run":                       {[]slipway.Release{release("r", slipway.DesiredDrain, 1)}, []observation{ready}, decision{}, false},
		"of no release":                    {nil, []observation{ready}, decision{}, false},
		"starting":                         {[]slipway.Release{run}, []observation{inst("r", slipway.InstanceStarting, alive)}, decision{}, false},
		"unhealthy":                        {[]slipway.Release{run}, []observation{inst("r", slipway.InstanceUnhealthy, alive)}, decision{}, false},
		"draining":                         {[]slipway.Release{run}, []observation{ready, inst("r", slipway.InstanceDraining, alive)}, decision{}, false},
		"dead":                             {[]slipway.Release{run}, []observation{inst("r", slipway.InstanceReady, dead)}, decision{}, false},
		"being removed":                    {[]slipway.Release{run}, []observation{removing}, decision{}, false},
		"ended, with something left":       {[]slipway.Release{run}, []observation{ready, inst("r", slipway.InstanceEnded, dead)}, decision{}, false},
		"with a start":                     {[]slipway.Release{run}, []observation{ready}, decision{start: []slipway.Release{run}}, false},
		"with a row that is to be written": {[]slipway.Release{run}, []observation{ready}, decision{put: []slipway.Instance{{}}}, false},
	} {
		p := planned{inputs{releases: c.releases, instances: c.instances}, c.decision}
		if got := p.settled(); got != c.want {
			t.Errorf("%s: settled %t, want %t", name, got, c.want)
		}
	}
}
