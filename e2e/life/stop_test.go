package life

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// sleeper is a service that may have no instance.
type sleeper struct {
	*harness.Server
	svc *types.Service
}

// stops waits until no process of the service is left. The API says RUNNING all the while.
func (s sleeper) stops() {
	s.T.Helper()
	harness.Eventually(s.T, "the idle service has no process", func() (bool, string) {
		s.running()
		left := s.InstanceProcesses("app")
		return len(left) == 0, fmt.Sprint(left)
	})
	s.running()
}

func (s sleeper) running() {
	s.T.Helper()
	if got := s.Status(s.svc); got != types.ServiceStatusRunning {
		s.T.Fatalf("the service is %s, want RUNNING", got)
	}
}

// burst sends requests at once, each of which must be answered by the greeting. It returns
// the boot ids of the instances.
func (s sleeper) burst(n int, greeting string) (boots []string) {
	s.T.Helper()
	var all sync.WaitGroup
	replies, errs := make([]harness.Reply, n), make([]error, n)
	for i := range n {
		all.Go(func() { replies[i], errs[i] = s.Ask(s.svc, "/") })
	}
	all.Wait()
	for i := range n {
		if errs[i] != nil || replies[i].Greeting != greeting {
			s.T.Errorf("request %d of %d to a service at rest: %+v, %v", i, n, replies[i], errs[i])
		}
		boots = append(boots, replies[i].Boot)
	}
	slices.Sort(boots)
	return slices.Compact(boots)
}

// A service that may have no instance is frozen and then stopped when it is idle. The
// next requests wait until an instance serves; none fails, also not after a crash of the
// server. Every operation works while it is stopped.
func TestIdleServiceIsStopped(t *testing.T) {
	t.Parallel()
	s := sleeper{Server: harness.Serve(t)}
	image := s.Push(harness.WebImage(t, "1"), "idle:1")
	spec := harness.Spec{Image: image, Health: harness.QuickHealthCheck(), Env: map[string]string{"GREETING": "one"}, Scaling: s.CreateAutoScaling("three", 10, 3, 5)}
	s.svc = s.RunningService("idle", spec)
	first := s.BootIDs(s.svc, 3)
	s.Set(s.svc, "min-size", "0", "sleep-after", "1", "stop-after", "3")
	s.stops()

	if out := s.MustSlipway(t, "ls"); !strings.Contains(out, "stopped (wakes on request)") {
		t.Errorf("ls says\n%s", out)
	}
	boots := s.burst(50, "one")
	if out := s.MustSlipway(t, "describe", "idle"); !strings.Contains(out, "1 wake from stopped, median ") {
		t.Errorf("describe says\n%s", out)
	}
	for _, line := range []string{"All instances are stopped; the next request starts one.", "A request came after "} {
		if out := s.Events(s.svc); !strings.Contains(out, line) {
			t.Errorf("the service's log lacks %q:\n%s", line, out)
		}
	}
	if slices.ContainsFunc(boots, func(b string) bool { return slices.Contains(first, b) }) {
		t.Errorf("the instances %v from before the stop answer: %v", first, boots)
	}
	s.stops()
	s.Kill()
	s.Start()
	s.running()
	s.burst(50, "one")
	s.stops()

	spec.Env["GREETING"] = "two"
	out, err := s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: s.svc.ServiceArn, SourceConfiguration: spec.Source()})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(s.svc, *out.OperationId)
	s.stops()
	s.burst(50, "two")
	s.stops()

	s.Pause(s.svc)
	s.AssertPaused(s.svc)
	s.Resume(s.svc)
	s.stops()
	s.burst(1, "two")

	// A failed update leaves it stopped, and able to wake.
	s.stops()
	spec.Env["MODE"] = "exit"
	if out, err = s.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{ServiceArn: s.svc.ServiceArn, SourceConfiguration: spec.Source()}); err != nil {
		t.Fatal(err)
	}
	if got := s.WaitOperation(s.svc, *out.OperationId); got != types.OperationStatusRollbackSucceeded {
		t.Errorf("an update to an application that exits ends %s", got)
	}
	s.burst(10, "two")

	// Without the setting MinSize counts again.
	s.stops()
	s.Unset(s.svc, "min-size", "stop-after")
	s.BootIDs(s.svc, 3)
}

// Instances that were frozen when the server was killed serve on.
func TestFrozenServiceOutlivesServer(t *testing.T) {
	t.Parallel()
	s := sleeper{Server: harness.Serve(t)}
	s.svc = s.RunningService("frozen", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "frozen:1"), Health: harness.QuickHealthCheck(), Env: map[string]string{"GREETING": "one"}})
	before := s.BootIDs(s.svc, 1)
	s.Set(s.svc, "min-size", "0", "sleep-after", "1", "stop-after", "3600")
	harness.Eventually(t, "the service is frozen", func() (bool, string) {
		out := s.MustSlipway(t, "describe", "frozen")
		return strings.Contains(out, "asleep since"), out
	})
	s.Kill()
	s.Start()
	if after := s.burst(50, "one"); !slices.Equal(after, before) {
		t.Errorf("%v answer, want the frozen %v", after, before)
	}
}

// The time from a request that finds the service stopped to its response, beside that from
// the start of the application on the host to its first response. It is printed, not
// asserted.
func TestWakeTime(t *testing.T) {
	t.Parallel()
	s := sleeper{Server: harness.Serve(t)}
	s.svc = s.RunningService("wake", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "wake:1"), Env: map[string]string{"GREETING": "one"}})
	s.Set(s.svc, "min-size", "0", "sleep-after", "1", "stop-after", "1")
	var woken, bare []time.Duration
	for range 10 {
		s.stops()
		began := time.Now()
		s.burst(1, "one")
		woken = append(woken, time.Since(began))
		bare = append(bare, bareStart(t))
	}
	slices.Sort(woken)
	slices.Sort(bare)
	t.Logf("wake from stopped: median %v, %v to %v; the application on the host: median %v, %v to %v", woken[5], woken[0], woken[9], bare[5], bare[0], bare[9])
}

// bareStart starts the application on the host and returns after how long it answered.
func bareStart(t *testing.T) time.Duration {
	t.Helper()
	_, port, err := net.SplitHostPort(harness.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.App(t))
	cmd.Env = append(os.Environ(), "PORT="+port)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for t.Context().Err() == nil {
		if r, err := http.Get("http://127.0.0.1:" + port); err == nil {
			r.Body.Close()
			return time.Since(began)
		}
	}
	return 0
}
