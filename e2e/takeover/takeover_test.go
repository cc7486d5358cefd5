// Package takeover tests that one server takes over from another without losing a
// request, whatever becomes of either.
package takeover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// busy is a server with a service that has clients.
type busy struct {
	*harness.Server
	svc     *types.Service
	clients *clients
	ctx     context.Context // until the clients end
	stop    func()          // ends them, and waits for their last requests
}

// loaded returns a server with clients of a service, none yet.
func loaded(t *testing.T, s *harness.Server, svc *types.Service) *busy {
	b := &busy{Server: s, svc: svc, clients: newClients(s, svc)}
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx, b.stop = ctx, func() { cancel(); b.clients.all.Wait() }
	t.Cleanup(b.stop)
	return b
}

// newBusy returns a server with a service that has clients of all kinds.
func newBusy(t *testing.T) *busy {
	s := harness.Serve(t)
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Scaling: s.CreateAutoScaling("wide", 200, 1, 2), Health: harness.QuickHealthCheck()})
	b := loaded(t, s, svc)
	b.clients.usual(b.ctx)
	b.goesOn("before", 200)
	return b
}

// goesOn checks that so many more requests are answered, and that nothing was lost so far.
func (b *busy) goesOn(when string, requests int64) {
	b.T.Helper()
	b.clients.passes(b.T, requests)
	b.nothingLost(when)
}

// ends stops the clients and checks that nothing was lost until then.
func (b *busy) ends() {
	b.T.Helper()
	b.stop()
	b.nothingLost("in the end")
}

// nothingLost checks that nothing was lost so far.
func (b *busy) nothingLost(when string) {
	b.T.Helper()
	_, list := b.clients.losses()
	for _, text := range list {
		b.T.Errorf("%s: %s", when, text)
	}
}

// works checks that the server answers calls and carries out operations.
func (b *busy) works(t *testing.T, greeting string) {
	t.Helper()
	b.greets(t, b.deploy(t, greeting), greeting)
}

// deploy begins an update of the service, and returns the operation.
func (b *busy) deploy(t *testing.T, greeting string) (operation string) {
	t.Helper()
	out, err := b.Client().UpdateService(t.Context(), &apprunner.UpdateServiceInput{
		ServiceArn:          b.svc.ServiceArn,
		SourceConfiguration: harness.Spec{Image: harness.ECRImage("steady:1"), Env: map[string]string{"GREETING": greeting}}.Source(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.OperationId
}

// greets waits for the operation of deploy, and checks that the service is the new one.
func (b *busy) greets(t *testing.T, operation, greeting string) {
	t.Helper()
	b.WaitSucceeded(b.svc, operation)
	if r, err := b.Ask(b.svc, "/"); err != nil || r.Greeting != greeting {
		t.Errorf("the service greets with %q, %v; want %q", r.Greeting, err, greeting)
	}
}

// TestUpgrades replaces the server five times under load: nothing is lost, no connection is
// closed but those of WebSockets, whose clients are told, and instances run on.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	before := b.InstanceProcesses("app")
	for n := range 5 {
		began := time.Now()
		if out, err := b.Upgrade(); err != nil {
			t.Fatalf("upgrade %d: %v: %s", n+1, err, out)
		}
		t.Logf("upgrade %d took %v", n+1, time.Since(began))
		b.goesOn(fmt.Sprintf("upgrade %d", n+1), 200)
	}
	b.AwaitFormers()
	if after := b.InstanceProcesses("app"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the service runs %v; it was %v", after, before)
	}
	b.works(t, "five")
	b.ends()
	c := b.clients
	t.Logf("%d requests on %d connections, %d closed by the server; %d frames, %d WebSockets told to leave",
		c.answered.Load(), c.dials.Load(), c.closes.Load(), c.frames.Load(), c.left.Load())
	if c.closes.Load() > 0 {
		t.Errorf("%d connections were closed", c.closes.Load())
	}
	if c.left.Load() < 10 {
		t.Errorf("only %d WebSockets were told to leave", c.left.Load())
	}
}

// TestBrokenUpgrades has the server replaced by what cannot serve, before and after it has
// let go of its data directory. It goes on each time, says why, and can still be replaced.
func TestBrokenUpgrades(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	broken := filepath.Join(t.TempDir(), "slipway")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	with := func(v ...string) {
		b.Env = append(append([]string{}, env...), v...)
	}
	pid := b.PID
	for n, c := range []struct {
		name  string
		flags []string
		env   []string
		want  string
	}{
		{"no program", []string{"--program", "/nowhere"}, nil, "no such file"},
		{"another program", []string{"--program", broken}, nil, "ended at its start"},
		{"a wrong setting", []string{"--environment"}, []string{"SLIPWAY_ACCOUNT=1"}, "--account"},
		{"a port in use", []string{"--environment"}, []string{"SLIPWAY_METRICS_ADDR=" + b.HostPort()}, "metrics-addr"},
		{"a setting that is found wrong late", []string{"--environment"}, []string{"SLIPWAY_ALIAS=x"}, "--alias"},
		{"another one", []string{"--environment"}, []string{"SLIPWAY_QUOTA=x"}, "quota"},
	} {
		with(c.env...)
		out, err := b.UpgradeWith(b.Env, c.flags...)
		if err == nil || !strings.Contains(out, c.want) || !strings.Contains(out, "serves on") {
			t.Errorf("%s: %v: %s", c.name, err, out)
		}
		b.goesOn(c.name, 50)
		b.works(t, fmt.Sprint("greeting", n))
		if b.PID != pid {
			t.Errorf("%s: the server is process %d, it was %d", c.name, b.PID, pid)
		}
	}
	with()
	if out, err := b.Upgrade(); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	b.goesOn("upgraded", 50)
	b.works(t, "upgraded")
	b.ends()
}

// TestKilledHeir kills a server that takes over at once, then when the elder has let go of
// the data directory, which it opens meanwhile, and in the end when it has taken over. Before
// that the elder goes on, and nothing is lost.
func TestKilledHeir(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	elder := b.PID
	for n, step := range []string{"", "", "another server takes over", "another server takes over", "another server takes over"} {
		b.TakeOver()
		harness.Eventually(t, "the heir gets to a step", func() (bool, string) {
			return step == "" || b.Output.Contains(fmt.Sprintf("%q pid=%d", step, b.LastPID())), step
		})
		b.Kill()
		b.GiveBack()
		if p := b.PID; p != elder {
			t.Fatalf("the server is process %d, it was %d", p, elder)
		}
		b.goesOn(fmt.Sprintf("kill %d, at %q", n+1, step), 50)
		b.works(t, fmt.Sprint("after kill", n+1))
	}
	b.TakeOver()
	b.AwaitServing()
	b.Kill() // as any server is killed
	b.stop()
	b.AwaitFormers()
	b.clients.losses()
	b.Start()
	b.works(t, "in the end")
}

// TestKilledElder kills the elder when another server has taken over: only the requests that
// it still had are lost, and what waits for them goes on.
func TestKilledElder(t *testing.T) {
	t.Parallel()
	b := newBusy(t)
	slow, cancel := context.WithCancel(t.Context())
	defer cancel()
	const stuck = 8
	for range stuck {
		b.clients.run(slow, fresh, "/?ms=40000", "", whole)
	}
	awaitInFlight(b.Server, b.svc, stuck)
	if out, err := b.Upgrade(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cancel() // no more of them
	b.nothingLost("upgrade")
	if !b.FormerRuns() {
		t.Fatal("the elder has ended before its requests")
	}
	b.KillFormer()
	b.works(t, "after the elder") // an update drains the release that had them
	b.stop()
	n, list := b.clients.losses()
	t.Logf("lost with the elder: %d: %v", n, list)
	if n < stuck || n > stuck+20 { // and at most what the usual clients had there
		t.Errorf("%d requests were lost, want %d and few more", n, stuck)
	}
}

// TestThousandSockets has 1,000 WebSockets when a new version of the service is deployed, and
// when the server is upgraded. Each client is told to leave (1001) once each time, and none
// is cut: those that do not answer have the grace period before the server closes.
func TestThousandSockets(t *testing.T) {
	t.Parallel()
	const polite, deaf = 950, 50
	s := harness.Serve(t, "--connections-per-address", "5000")
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Scaling: s.CreateAutoScaling("wide", 200, 1, 25), Health: harness.QuickHealthCheck()})
	b := loaded(t, s, svc)
	c := b.clients
	c.sockets(b.ctx, polite, 5*time.Second)
	c.deafSockets(b.ctx, deaf, 5*time.Second)
	// counts waits until all clients have connected again after so many changes.
	counts := func(when string, changes int64) {
		t.Helper()
		const n = polite + deaf
		harness.Eventually(t, when, func() (bool, string) {
			opened, left, expelled := c.opened.Load(), c.left.Load(), c.expelled.Load()
			return opened == n*(changes+1) && left == n*changes && expelled == deaf*changes,
				fmt.Sprintf("%d were opened, %d told to leave, %d closed after the grace period", opened, left, expelled)
		})
		b.nothingLost(when)
	}
	counts("the WebSockets are open", 0)
	b.works(t, "two")
	counts("after a deployment", 1)
	if out, err := b.Upgrade(); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	counts("after an upgrade of the server", 2)
	b.AwaitFormers()
	frames := c.frames.Load()
	harness.Eventually(t, "the WebSockets go on", func() (bool, string) {
		now := c.frames.Load() - frames
		return now >= polite+deaf, fmt.Sprint(now)
	})
	counts("later", 2)
	b.ends()
	t.Logf("%d WebSockets: %d were told to leave (1001) by a deployment and an upgrade, %d of them closed by the server as they did not answer, none cut",
		polite+deaf, c.left.Load(), c.expelled.Load())
}
