package life

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestKept pauses a service that keeps its instances. The resume has the same processes
// answer, also after a server that was killed meanwhile. It
// starts others when a secret has changed, or the time is over.
func TestKept(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	k := harness.NewServiceSecrets(s)
	k.Put("first")
	svc := s.RunningService("kept", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "kept:1"), Health: harness.QuickHealthCheck(),
		Secrets: map[string]string{"TOKEN": "/secretive/token"}, Scaling: s.CreateAutoScaling("pairs", 100, 2, 2),
	})
	if err := s.TrySet(svc, "pause-keeps", "86401"); err == nil || !strings.Contains(err.Error(), `the value of "slipway:pause-keeps" is "86401"; it must be the seconds for which a paused service keeps its instances, frozen, from 0 to 86400`) {
		t.Errorf("a day and a second: %v", err)
	}
	s.Set(svc, "pause-keeps", "3600")
	boots := s.BootIDs(svc, 2)
	same := func(when string) {
		t.Helper()
		if now := s.BootIDs(svc, 2); !slices.Equal(now, boots) {
			t.Errorf("%s, %v answer, before %v", when, now, boots)
		}
	}

	s.Pause(svc)
	s.AwaitFrozen(2)
	if code, body, err := s.Request(svc, "/"); code != http.StatusServiceUnavailable || err != nil {
		t.Errorf("the paused service answers %d %.100q, %v", code, body, err)
	}
	for _, command := range [][]string{{"ls"}, {"describe", "kept"}} {
		if out := s.MustSlipway(t, command...); !strings.Contains(out, "PAUSED, 2 instances kept frozen until ") {
			t.Errorf("slipway %s says\n%s", command[0], out)
		}
	}
	s.Resume(svc)
	same("after a resume")
	if out := s.MustSlipway(t, "ls"); strings.Contains(out, "kept frozen") {
		t.Errorf("after the resume slipway ls says\n%s", out)
	}

	s.Pause(svc)
	s.Kill()
	s.Start()
	s.AwaitFrozen(2)
	s.Resume(svc)
	same("after a resume by another server")

	s.Set(svc, "sleep-after", "1") // the router has frozen them when the pause comes
	s.AwaitFrozen(2)
	s.Pause(svc)
	s.AwaitFrozen(2)
	s.Unset(svc, "sleep-after")
	s.Resume(svc)
	same("after a pause while asleep")

	s.Pause(svc)
	k.Put("second")
	s.Resume(svc)
	if now := s.BootIDs(svc, 2); slices.ContainsFunc(now, func(id string) bool { return slices.Contains(boots, id) }) {
		t.Errorf("%v answer although a secret has changed, before %v", now, boots)
	}
	if _, body, err := s.Request(svc, "/env?name=TOKEN"); body != harness.SecretValue("second") {
		t.Errorf("the secret is %q, %v", body, err)
	}
	if n := s.Frozen(); n != 0 || len(s.InstanceProcesses("app")) != 2 {
		t.Errorf("%d of %d instances are frozen", n, len(s.InstanceProcesses("app")))
	}

	boots = s.BootIDs(svc, 2)
	s.Set(svc, "pause-keeps", "2")
	s.Pause(svc)
	s.Kill() // their time is over while no server runs, or later
	s.Start()
	harness.Eventually(t, "their time is over", func() (bool, string) {
		n := len(s.InstanceProcesses("app"))
		return n == 0, fmt.Sprint(n)
	})
	s.Resume(svc)
	if now := s.BootIDs(svc, 2); slices.ContainsFunc(now, func(id string) bool { return slices.Contains(boots, id) }) {
		t.Errorf("%v answer after their time, before %v", now, boots)
	}
	s.Set(svc, "pause-keeps", "3600")
	s.Pause(svc)
	s.AwaitFrozen(2) // and is deleted so
}

// TestKeptKilled kills the server at random moments of pauses that keep instances and of the
// resumes that follow: the same process answers after each, and goes on counting.
func TestKeptKilled(t *testing.T) {
	t.Parallel()
	const rounds = 8
	s := harness.Serve(t)
	svc := s.RunningService("kept", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "kept:1"), Health: harness.QuickHealthCheck()})
	s.Set(svc, "pause-keeps", "3600")
	boots, count := s.BootIDs(svc, 1), counted(s, svc)
	for range rounds {
		for _, to := range []types.ServiceStatus{types.ServiceStatusPaused, types.ServiceStatusRunning} {
			// The server may die before it answers; the call is made again then.
			go change(s.Client(), svc, to, t)
			delay := time.Duration(rand.Int64N(int64(60 * time.Millisecond)))
			<-time.After(delay)
			s.Kill()
			s.Start()
			harness.Eventually(t, fmt.Sprintf("%s, killed after %v", to, delay), func() (bool, string) {
				is := s.Status(svc)
				if is != to && is != types.ServiceStatusOperationInProgress {
					change(s.Client(), svc, to, t)
				}
				return is == to, string(is)
			})
			if to == types.ServiceStatusPaused {
				s.AwaitFrozen(1)
			}
		}
		if now := s.BootIDs(svc, 1); !slices.Equal(now, boots) {
			t.Fatalf("%v answers, before %v\n%s", now, boots, s.Events(svc))
		}
		if count++; counted(s, svc) != count {
			t.Errorf("the process has not counted %d requests", count)
		}
	}
}

func change(c *apprunner.Client, svc *types.Service, to types.ServiceStatus, t *testing.T) {
	if to == types.ServiceStatusPaused {
		_, _ = c.PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	} else {
		_, _ = c.ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
	}
}

// counted sends a request to the only instance of a service, which counts it in memory, and
// returns how many that makes.
func counted(s *harness.Server, svc *types.Service) (n int) {
	s.T.Helper()
	_, body, err := s.Request(svc, "/count")
	if err == nil {
		_, err = fmt.Sscan(body, &n)
	}
	if err != nil {
		s.T.Fatalf("%s: count: %v", aws.ToString(svc.ServiceName), err)
	}
	return n
}
