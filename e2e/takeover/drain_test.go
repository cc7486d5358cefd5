package takeover

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestDrainLimit changes services that have requests in flight, and upgrades their server
// meanwhile. Requests that may take long end, and what keeps its instances is then frozen.
// A tunnel of another protocol than WebSocket does not end: it is cut with its instance when
// the limit of the drain is over, and a pause keeps nothing then.
func TestDrainLimit(t *testing.T) {
	if os.Getenv(largeEnv) == "" {
		t.Skipf("it waits for limits of minutes: `make steady` runs it (%s=yes)", largeEnv)
	}
	t.Parallel()
	s, other := harness.Serve(t), harness.Serve(t)
	made := func(s *harness.Server, name string, settings ...string) *types.Service {
		svc := s.RunningService(name, harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck()})
		if len(settings) > 0 {
			s.Set(svc, settings...)
		}
		return svc
	}
	long := []string{"request-timeout", "300"}
	keeps := []string{"pause-keeps", "3600"}
	deployed, paused, kept := made(s, "deployed", long...), made(s, "paused", long...), made(s, "kept", append(keeps, long...)...)
	cut, cutKept := made(other, "tunnel"), made(other, "tunnel-kept", keeps...)
	keptBoots, cutBoots := s.BootIDs(kept, 1), other.BootIDs(cutKept, 1)

	var requests, tunnels sync.WaitGroup
	for _, svc := range []*types.Service{deployed, paused, kept} {
		requests.Go(func() { // longer than the limit without the setting, and the stop signal's grace
			c := newClients(s, svc)
			at, err := c.dial()
			if err == nil {
				defer at.Close()
				_, err = c.exchange(at, "/?ms=150000", "", whole)
			}
			if err != nil {
				t.Errorf("the request to %s: %v", *svc.ServiceName, err)
			}
		})
		awaitInFlight(s, svc, 1)
	}
	for _, svc := range []*types.Service{cut, cutKept} {
		at := openTunnel(t, other, svc)
		tunnels.Go(func() {
			defer at.Close()
			if n, err := io.Copy(io.Discard, at.r); n > 0 || os.IsTimeout(err) {
				t.Errorf("the tunnel to %s got %d bytes and ended with %v", *svc.ServiceName, n, err)
			}
		})
	}
	b := loaded(t, s, deployed)
	operations := map[*types.Service]string{deployed: b.deploy(t, "new")}
	operations[paused], operations[kept] = s.BeginPause(paused), s.BeginPause(kept)
	operations[cut], operations[cutKept] = other.BeginPause(cut), other.BeginPause(cutKept)
	if out, err := s.Upgrade(); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	requests.Wait()
	tunnels.Wait()
	b.greets(t, operations[deployed], "new")
	s.WaitSucceeded(paused, operations[paused])
	s.WaitSucceeded(kept, operations[kept])
	s.AwaitFrozen(1)
	harness.Eventually(t, "of the paused services one has an instance", func() (bool, string) {
		n := len(s.InstanceProcesses("app"))
		return n == 2, fmt.Sprint(n) // and the one that was deployed
	})
	s.Resume(kept)
	if now := s.BootIDs(kept, 1); !slices.Equal(now, keptBoots) {
		t.Errorf("after the resume %v answers, before %v", now, keptBoots)
	}

	other.WaitSucceeded(cut, operations[cut])
	other.WaitSucceeded(cutKept, operations[cutKept])
	other.AssertPaused(cut) // nothing runs
	if said := other.Events(cutKept); !strings.Contains(said, "The instances are stopped, not kept: requests were still in flight") {
		t.Errorf("the log of a service with a tunnel says\n%s", said)
	}
	other.Resume(cutKept)
	if now := other.BootIDs(cutKept, 1); slices.Equal(now, cutBoots) {
		t.Errorf("after the resume the same instance answers, %v", now)
	}
}

// openTunnel opens a tunnel of another protocol than WebSocket.
func openTunnel(t *testing.T, s *harness.Server, svc *types.Service) *conn {
	t.Helper()
	c := newClients(s, svc)
	at, err := c.dial()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(at, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", c.host)
	r, err := http.ReadResponse(at.r, nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: no tunnel: %v, %v", c.host, r, err)
	}
	if _, err := at.Write(frame(0x81, "hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := readFrame(at.r); err != nil || string(text) != "hello" {
		t.Fatalf("%s: the tunnel says %q, %v", c.host, text, err)
	}
	return at
}
