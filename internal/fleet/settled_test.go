package fleet

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
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

// What the fleet plans for from time to time are the services that have changed since, whoever
// changed them, and not those that are settled.
func TestDue(t *testing.T) {
	t.Parallel()
	st := storetest.Memory(t)
	defer st.Close()
	f, err := New(Config{Store: st, Driver: runtimetest.NewFake(nil), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	release := func(service string) slipway.Release {
		return slipway.Release{ID: "r" + service, ServiceID: service, Desired: slipway.DesiredRun, Size: 1}
	}
	insert := func(id string) {
		t.Helper()
		if err := st.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.InsertService(slipway.Service{ID: id, Name: id, ARN: id, Label: id}), tx.InsertRelease(release(id)))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		insert(id)
	}
	for _, c := range []struct {
		when                string
		change              func(tx *store.Tx) error
		everything, changed bool
		want                []string
	}{
		{"at first", nil, true, false, []string{"a", "b", "c"}},
		{"without news", nil, false, false, nil},
		{"nothing has changed", nil, false, true, nil},
		{"a size has changed", func(tx *store.Tx) error { return tx.SetSize(release("b"), 2) }, false, true, []string{"b"}},
		{"it was planned for", nil, false, true, nil},
		{"a release is to stop", func(tx *store.Tx) error { return tx.SetDesired(release("c"), slipway.DesiredStop) }, false, true, []string{"c"}},
		{"a service is to be paused", func(tx *store.Tx) error { return tx.SetWanted("a", slipway.WantedPaused, time.Now()) }, false, true, []string{"a"}},
		{"after an hour", nil, true, true, []string{"a", "b"}},
	} {
		if c.change != nil {
			if err := st.Update(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
		}
		f.observed.everything, f.observed.changed = c.everything, c.changed
		var due map[string]bool
		if err := st.View(t.Context(), func(tx *store.Tx) (err error) { due, err = f.due(tx); return err }); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(due)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v are due, want %v", c.when, got, c.want)
		}
		clear(f.dirty)
	}
}
