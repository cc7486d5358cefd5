package takeover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// largeEnv has the large run run: `make steady` sets it.
const largeEnv = "SLIPWAY_TEST_STEADY"

// What happens during the large run.
const (
	updates    = 20 // rolling
	upgrades   = 5  // of the server, each while an update is under way
	scalings   = 20 // by one instance
	kills      = 5  // of an instance
	fewest     = 2  // instances
	most       = 7
	concurrent = 16 // requests that an instance has at most
)

// large is the large run.
type large struct {
	*busy
	began time.Time

	before struct{ answered, frames, left int64 } // what the clients had at the last report
}

// TestSteady has clients at a steady load while the service is updated and scaled, the server
// is upgraded, and instances are killed. No request is lost but those that were in a killed
// instance.
func TestSteady(t *testing.T) {
	if os.Getenv(largeEnv) == "" {
		t.Skipf("it takes some 7 minutes: `make steady` runs it (%s=yes)", largeEnv)
	}
	s := harness.Serve(t)
	svc := s.RunningService("steady", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck(),
		Scaling: s.CreateAutoScaling("steady", concurrent, fewest, most),
	})
	s.Set(svc, "access-log", "true")
	run := &large{busy: loaded(t, s, svc), began: time.Now()}
	sockets, leave := context.WithCancel(t.Context())
	defer leave()
	ctx := run.ctx
	for range 6 {
		run.clients.run(ctx, kept, "/?ms=20", "a body", whole)
	}
	for range 2 {
		run.clients.run(ctx, fresh, "/?ms=50", "", whole)
		run.clients.run(ctx, kept, "/?ms=1500", "", whole)
	}
	run.clients.run(ctx, kept, "/large?kib=256&ms=50", "", letters(256))
	run.clients.sockets(sockets, 10, 50*time.Millisecond)
	run.goesOn("before", 100)

	run.update(t)
	run.scale(t)
	leave() // a killed instance has no word for its WebSockets
	inside := run.killInstances(t)
	run.ends()
	c, took := run.clients, time.Since(run.began)
	t.Logf("in all %d requests in %v, on %d connections, of which the server closed %d: lost %d inside killed instances, none elsewhere",
		c.answered.Load(), took.Round(time.Second), c.dials.Load(), c.closes.Load(), inside)
}

// update deploys again and again, and upgrades the server meanwhile.
func (run *large) update(t *testing.T) {
	t.Helper()
	for n := range updates {
		greeting := fmt.Sprint("update ", n)
		operation := run.deploy(t, greeting)
		if n%(updates/upgrades) == 0 {
			if out, err := run.Upgrade(); err != nil {
				t.Fatalf("upgrade: %v: %s", err, out)
			}
		}
		run.greets(t, operation, greeting)
		run.goesOn(greeting, 20)
	}
	run.report(t, fmt.Sprintf("%d rolling updates, %d upgrades of the server", updates, upgrades))
}

// scale has more clients come, as many as one more instance takes, and more, and then has
// all of these go, so that the scaler takes one instance after the other away. WebSockets
// that were opened on all instances are left then.
func (run *large) scale(t *testing.T) {
	t.Helper()
	for range scalings / 2 / (most - fewest) {
		ctx, leave := context.WithCancel(run.ctx)
		for n := fewest + 1; n <= most; n++ {
			for range concurrent {
				run.clients.run(ctx, kept, "/?ms=1000", "", whole)
			}
			run.instances(t, n)
			run.goesOn(fmt.Sprint("scaled out to ", n), 100)
		}
		sockets, done := context.WithCancel(run.ctx)
		opened := run.clients.opened.Load()
		run.clients.sockets(sockets, 10, 50*time.Millisecond)
		harness.Eventually(t, "more WebSockets are open", func() (bool, string) {
			now := run.clients.opened.Load() - opened
			return now >= 10, fmt.Sprint(now)
		})
		leave()
		for n := most - 1; n >= fewest; n-- {
			run.instances(t, n)
			run.goesOn(fmt.Sprint("scaled in to ", n), 100)
		}
		done()
	}
	run.report(t, fmt.Sprintf("%d scale events", scalings))
}

// instances waits until the service has so many. As it is scaled by one, it had one more or
// one less.
func (run *large) instances(t *testing.T, n int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the service has %d instances", n), func() (bool, string) {
		k := len(run.InstanceProcesses("app"))
		if k < n-1 || k > n+1 {
			t.Fatalf("the service has %d instances on the way to %d", k, n)
		}
		return k == n, fmt.Sprint(k)
	})
}

// killInstances kills one of the instances, again and again. It returns how many requests
// were lost. Each was inside a killed instance: the access log says that it was sent there,
// before the process was gone.
func (run *large) killInstances(t *testing.T) (inside int) {
	t.Helper()
	for n := range kills {
		run.instances(t, fewest)
		victim := run.InstanceProcesses("app")[n%fewest]
		id := idOf(t, victim)
		from := time.Now()
		if err := syscall.Kill(victim.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the process is gone", func() (bool, string) { return victim.Reaped(), "" })
		gone := time.Now()
		run.instances(t, fewest)
		run.clients.passes(t, 200)
		lost, list := run.clients.losses()
		var failed []failedRequest
		harness.Eventually(t, "the access log has the requests that were lost", func() (bool, string) {
			failed = run.failedSince(t, from)
			return len(failed) == lost, fmt.Sprintf("%+v; lost are %d: %q", failed, lost, list)
		})
		for _, f := range failed {
			if !strings.HasPrefix(f.Instance, id) || f.sent().After(gone) {
				t.Errorf("kill %d, of instance %s, which was gone at %v: lost is %+v", n+1, id, gone, f)
			}
		}
		t.Logf("kill %d: %d requests were lost inside the instance", n+1, lost)
		inside += lost
	}
	run.report(t, fmt.Sprintf("%d killed instances", kills))
	return inside
}

// idOf returns the part of an instance's id that its process has as the name of its host.
func idOf(t *testing.T, p harness.Process) string {
	t.Helper()
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if name, is := bytes.CutPrefix(v, []byte("HOSTNAME=")); is {
			return string(name)
		}
	}
	t.Fatalf("process %v has no HOSTNAME", p)
	return ""
}

// failedRequest is a line of the access log.
type failedRequest struct {
	Time              time.Time
	Path              string
	Instance, Outcome string
	Status            int
	TotalMS           float64 `json:"total_ms"`
	QueueMS           float64 `json:"queue_ms"`
}

// sent returns when the request was sent to its instance, or would have been.
func (f failedRequest) sent() time.Time {
	return f.Time.Add(-time.Duration((f.TotalMS - f.QueueMS) * float64(time.Millisecond)))
}

// failedSince returns the requests that have failed since then, as the access log has them.
func (run *large) failedSince(t *testing.T, from time.Time) (list []failedRequest) {
	t.Helper()
	for text := range strings.Lines(run.MustSlipway(t, "logs", *run.svc.ServiceName, "--access", "-n", "5000")) {
		var f failedRequest
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("the access log has %q: %v", text, err)
		}
		if f.Time.After(from.Add(-time.Millisecond)) && (f.Status >= 500 || f.Outcome != "complete") {
			list = append(list, f)
		}
	}
	return list
}

// report logs what there was since the last report.
func (run *large) report(t *testing.T, what string) {
	c, was := run.clients, run.before
	run.before.answered, run.before.frames, run.before.left = c.answered.Load(), c.frames.Load(), c.left.Load()
	now := run.before
	t.Logf("%v: %s: %d requests, %d frames on WebSockets, of which %d were told to leave", time.Since(run.began).Round(time.Second), what,
		now.answered-was.answered, now.frames-was.frames, now.left-was.left)
}
