package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// isolation is a server on a machine of its own, with an attacking service and a
// neighbour.
type isolation struct {
	*harness.Server
	attacker, neighbour *types.Service
}

// TestIsolation lets a hostile image loose. The server runs on a machine of
// its own (a network namespace) with an uplink to another that plays the
// internet and the cloud's metadata service: all of it answers the host, so
// what the attacker can't reach is out of its reach and not merely absent.
func TestIsolation(t *testing.T) {
	t.Parallel()
	host, outside := harness.NewNetwork(t), harness.NewNetwork(t)
	harness.Connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	host.Route(t, "198.51.100.2")
	outside.Address(t, "lo", "169.254.169.254/32")
	outside.Serve(t, "198.51.100.2:80", "the internet")
	outside.Serve(t, "169.254.169.254:80", "metadata")
	host.Serve(t, "127.0.0.1:9001", "the host's loopback")
	host.Serve(t, "0.0.0.0:9002", "the host")

	s := harness.ServeIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080")
	x := &isolation{Server: s}
	x.attacker = s.RunningService("attacker", harness.Spec{Image: s.Push(harness.HostileImage(t), "hostile:1")})
	x.neighbour = s.RunningService("neighbour", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "web:1"), Env: map[string]string{"GREETING": "neighbour"}})
	second := s.RunningService("accomplice", harness.Spec{Image: harness.ECRImage("hostile:1")})

	t.Run("network", func(t *testing.T) { x.attackNetwork(t, second) })
	t.Run("files", func(t *testing.T) {
		canary := filepath.Join(t.TempDir(), "canary")
		if err := os.WriteFile(canary, []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		x.assertHolds(t, "host-files", url.Values{"path": {canary}})
		x.assertHolds(t, "host-files", url.Values{"path": {s.Credentials}})
	})
	for _, name := range []string{
		"handles", "shim", "processes", "ptrace", "mount", "namespaces", "modules", "kernel", "syscalls",
		"sysctl", "core-limit", "disks", "cgroup", "devices", "privileges", "raw-sockets",
	} {
		t.Run(name, func(t *testing.T) { x.assertHolds(t, name, nil) })
	}
	for _, name := range []string{"fork-bomb", "threads"} {
		t.Run(name, func(t *testing.T) { x.assertHolds(t, name, nil) })
	}
	t.Run("disk", x.attackDisk)
	t.Run("flood", x.attackFlood)
	t.Run("memory", x.attackMemory)
}

// assertHolds fails unless the sandbox withstands an attack and the neighbour still
// serves.
func (x *isolation) assertHolds(t *testing.T, name string, q url.Values) {
	t.Helper()
	held, detail := x.Attack(t, x.attacker, name, q)
	if !held {
		t.Errorf("%s: %s", name, detail)
	} else {
		t.Log(detail)
	}
	x.assertNeighbourServes(t)
}

func (x *isolation) assertNeighbourServes(t *testing.T) {
	t.Helper()
	if r, err := x.Ask(x.neighbour, "/"); err != nil || r.Greeting != "neighbour" {
		t.Errorf("the neighbour answers %+v (%v)", r, err)
	}
}

// attackNetwork tries what an instance must not reach, after what it must: a sandbox
// without any network would pass otherwise.
func (x *isolation) attackNetwork(t *testing.T, other *types.Service) {
	if held, detail := x.Attack(t, x.attacker, "dial", url.Values{"to": {"198.51.100.2:80"}}); held {
		t.Errorf("the internet is out of reach: %s", detail)
	}
	targets := []string{
		"127.0.0.1:9001", "127.0.0.1:8070", "127.0.0.1:9002", // the host's loopback
		"198.51.100.1:9002", "198.51.100.1:8070", "198.51.100.1:8080", // the host by its outer address
		"169.254.169.254:80", // the cloud's metadata
	}
	for _, svc := range []*types.Service{x.attacker, other} {
		code, body, err := x.Request(svc, "/addrs")
		if err != nil || code != http.StatusOK {
			t.Fatalf("addresses: %d %q (%v)", code, body, err)
		}
		for line := range strings.Lines(body) {
			kind, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch {
			case kind == "gateway":
				targets = append(targets, addr+":8070", addr+":8080", addr+":9001", addr+":9002")
			case svc == other:
				targets = append(targets, addr+":8080")
			}
		}
	}
	x.assertHolds(t, "dial", url.Values{"to": targets})
	x.assertHolds(t, "bind", url.Values{"to": {"198.51.100.1:9999"}})
}

// attackDisk fills the writable layer and the shared memory file system.
func (x *isolation) attackDisk(t *testing.T) {
	const gib = 1 << 30
	x.assertHolds(t, "disk", url.Values{"bound": {strconv.Itoa(16 * gib)}})
	x.assertHolds(t, "shm", url.Values{"bound": {strconv.Itoa(gib)}})
}

// attackFlood prints more than is kept: the rest must not stay on the host's disk.
func (x *isolation) attackFlood(t *testing.T) {
	const printed = 512 << 20
	before := x.DiskUsed()
	x.assertHolds(t, "flood", url.Values{"bound": {strconv.Itoa(printed)}})
	harness.Eventually(t, "the flood has drained", func() (bool, string) {
		grown := x.DiskUsed() - before
		return grown < printed/4, fmt.Sprintf("%d MiB more on disk", grown>>20)
	})
	x.assertNeighbourServes(t)
}

// attackMemory takes more than the service's limit. The instance must be killed for
// it, say so, and be replaced.
func (x *isolation) attackMemory(t *testing.T) {
	code, body, err := x.Request(x.attacker, "/attack/memory")
	if err == nil && code == http.StatusOK && strings.Contains(body, "took") {
		t.Fatalf("the memory limit did not hold: %s", body)
	}
	x.assertNeighbourServes(t)
	harness.Eventually(t, "the killed instance is replaced", func() (bool, string) {
		code, body, err := x.Request(x.attacker, "/")
		return err == nil && code == http.StatusOK, fmt.Sprint(code, body, err)
	})
	harness.Eventually(t, "the events tell of it", func() (bool, string) {
		events := x.Events(x.attacker)
		return strings.Contains(strings.ToLower(events), "memory"), events
	})
}
