package takeover

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestKeptAcrossUpgrades has a service paused that keeps its instances when the server is
// replaced, also while the pause or the resume is under way, when the next server fails, and
// when it is killed afterwards. The instances stay frozen, and each resume thaws them.
func TestKeptAcrossUpgrades(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("kept", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck(), Scaling: s.CreateAutoScaling("pairs", 100, 2, 2),
	})
	s.Set(svc, "pause-keeps", "3600")
	boots, processes, thaws := s.BootIDs(svc, 2), s.InstanceProcesses("app"), 0
	upgrade := func() {
		t.Helper()
		if out, err := s.Upgrade(); err != nil {
			t.Fatalf("upgrade: %v: %s", err, out)
		}
	}
	keeps := func(when string) {
		t.Helper()
		s.AwaitFrozen(2)
		if now := s.InstanceProcesses("app"); !slices.Equal(now, processes) {
			t.Errorf("%s: the instances are %v, they were %v", when, now, processes)
		}
		if out := s.MustSlipway(t, "ls"); !strings.Contains(out, "PAUSED, 2 instances kept frozen until ") {
			t.Errorf("%s: slipway ls says\n%s", when, out)
		}
	}
	thawed := func(when string) {
		t.Helper()
		if now := s.BootIDs(svc, 2); !slices.Equal(now, boots) {
			t.Errorf("%s: %v answer, before %v", when, now, boots)
		}
		thaws++
		if said := s.Events(svc); strings.Count(said, "Thawing the instances that were kept") != thaws || strings.Contains(said, "Starting new instances") {
			t.Errorf("%s: the log of the service does not tell of %d thaws:\n%s", when, thaws, said)
		}
		if n := s.Frozen(); n > 0 {
			t.Errorf("%s: %d instances are frozen", when, n)
		}
	}
	resumes := func(when string) {
		t.Helper()
		keeps(when)
		s.Resume(svc)
		thawed(when)
	}

	s.Pause(svc)
	upgrade()
	resumes("after an upgrade")

	s.Pause(svc)
	if out, err := s.UpgradeWith(append(os.Environ(), "SLIPWAY_ALIAS=x"), "--environment"); err == nil {
		t.Fatalf("an upgrade with a wrong setting succeeds: %s", out)
	}
	resumes("after an upgrade that failed")

	s.Pause(svc)
	upgrade()
	s.AwaitFormers()
	s.Kill()
	s.Start()
	resumes("after an upgrade and a kill")

	operation := s.BeginPause(svc)
	upgrade()
	s.WaitSucceeded(svc, operation)
	resumes("after an upgrade during the pause")

	s.Pause(svc)
	keeps("before a resume")
	operation = s.BeginResume(svc)
	upgrade()
	s.WaitSucceeded(svc, operation)
	thawed("after an upgrade during the resume")

	s.Set(svc, "pause-keeps", "2")
	s.Pause(svc)
	upgrade()
	harness.Eventually(t, "their time is over", func() (bool, string) {
		return len(s.InstanceProcesses("app")) == 0, ""
	})
	s.Resume(svc)
	if now := s.BootIDs(svc, 2); slices.ContainsFunc(now, func(id string) bool { return slices.Contains(boots, id) }) {
		t.Errorf("%v answer after their time, before %v", now, boots)
	}
	s.Set(svc, "pause-keeps", "3600")
	s.Pause(svc)
	upgrade()
	s.AwaitFrozen(2) // and is deleted so
}

// TestKeptAfterRequests pauses a service that keeps its instance while this has a request, and
// upgrades the server before the pause or after. The request is answered, the instance is
// frozen then, and the resume thaws it.
func TestKeptAfterRequests(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("kept", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck(), Scaling: s.CreateAutoScaling("single", 100, 1, 1)})
	s.Set(svc, "pause-keeps", "3600")
	boots := s.BootIDs(svc, 1)
	for _, during := range []bool{false, true} {
		c := newClients(s, svc)
		c.all.Go(func() {
			at, err := c.dial()
			if err == nil {
				defer at.Close()
				_, err = c.exchange(at, "/?ms=10000", "", whole)
			}
			if err != nil {
				t.Errorf("the request, an upgrade during the pause %t: %v", during, err)
			}
		})
		awaitInFlight(s, svc, 1)
		operation := ""
		if during {
			operation = s.BeginPause(svc)
		}
		if out, err := s.Upgrade(); err != nil {
			t.Fatalf("upgrade: %v: %s", err, out)
		}
		if !during {
			operation = s.BeginPause(svc)
		}
		c.all.Wait()
		s.WaitSucceeded(svc, operation)
		s.AwaitFrozen(1)
		s.Resume(svc)
		if now := s.BootIDs(svc, 1); !slices.Equal(now, boots) {
			t.Errorf("an upgrade during the pause %t: %v answers, before %v", during, now, boots)
		}
	}
}
