package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

// siege is a machine of its own with an attacker and neighbours on it.
type siege struct {
	*server
	attacker, neighbour *types.Service
}

// hostileImage runs the attacker as the image's root: the most it can be.
func hostileImage(t testing.TB) v1.Image {
	t.Helper()
	return imagetest.Run(t, hostile(t), imagetest.Options{Ports: []string{"8080/tcp"}, User: "0"})
}

// TestIsolation lets a hostile image loose. The server runs on a machine of
// its own (a network namespace) with an uplink to another that plays the
// internet and the cloud's metadata service: all of it answers the host, so
// what the attacker can't reach is out of its reach and not merely absent.
func TestIsolation(t *testing.T) {
	t.Parallel()
	host, outside := newNetwork(t), newNetwork(t)
	connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	host.route(t, "198.51.100.2")
	outside.address(t, "lo", "169.254.169.254/32")
	outside.serve(t, "198.51.100.2:80", "the internet")
	outside.serve(t, "169.254.169.254:80", "metadata")
	host.serve(t, "127.0.0.1:9001", "the host's loopback")
	host.serve(t, "0.0.0.0:9002", "the host")

	s := serveIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080")
	x := &siege{server: s}
	x.attacker = s.runningService("attacker", spec{image: s.push(hostileImage(t), "hostile:1")})
	x.neighbour = s.runningService("neighbour", spec{image: s.push(web(t, "1"), "web:1"), env: map[string]string{"GREETING": "neighbour"}})
	second := s.runningService("accomplice", spec{image: ecr("hostile:1")})

	t.Run("network", func(t *testing.T) { x.network(t, second) })
	t.Run("files", func(t *testing.T) {
		canary := filepath.Join(t.TempDir(), "canary")
		if err := os.WriteFile(canary, []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		x.holds(t, "host-files", url.Values{"path": {canary}})
		x.holds(t, "host-files", url.Values{"path": {s.Credentials}})
	})
	for _, name := range []string{
		"handles", "init", "processes", "ptrace", "mount", "namespaces", "modules", "kernel", "syscalls",
		"sysctl", "cgroup", "devices", "privileges", "raw-sockets",
	} {
		t.Run(name, func(t *testing.T) { x.holds(t, name, nil) })
	}
	for _, name := range []string{"fork-bomb", "threads"} {
		t.Run(name, func(t *testing.T) { x.holds(t, name, nil) })
	}
	t.Run("disk", x.disk)
	t.Run("flood", x.flood)
	t.Run("memory", x.memory)
}

// attack lets the attacker try something and returns what came of it.
func (x *siege) attack(t *testing.T, by *types.Service, name string, q url.Values) (held bool, detail string) {
	t.Helper()
	code, body, err := x.request(by, "/attack/"+name+"?"+q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Held   bool
		Detail string
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || code != http.StatusOK {
		t.Fatalf("%s: no outcome: %d %.200q", name, code, body)
	}
	return out.Held, out.Detail
}

// holds fails unless the sandbox withstands an attack and the neighbour serves
// on.
func (x *siege) holds(t *testing.T, name string, q url.Values) {
	t.Helper()
	held, detail := x.attack(t, x.attacker, name, q)
	if !held {
		t.Errorf("%s: %s", name, detail)
	} else {
		t.Log(detail)
	}
	x.neighbourServes(t)
}

func (x *siege) neighbourServes(t *testing.T) {
	t.Helper()
	if r, err := x.ask(x.neighbour, "/"); err != nil || r.Greeting != "neighbour" {
		t.Errorf("the neighbour answers %+v (%v)", r, err)
	}
}

// network tries what an instance must not reach, after what it must: a sandbox
// without any network would pass otherwise.
func (x *siege) network(t *testing.T, other *types.Service) {
	if held, detail := x.attack(t, x.attacker, "dial", url.Values{"to": {"198.51.100.2:80"}}); held {
		t.Errorf("the internet is out of reach: %s", detail)
	}
	targets := []string{
		"127.0.0.1:9001", "127.0.0.1:8070", "127.0.0.1:9002", // the host's loopback
		"198.51.100.1:9002", "198.51.100.1:8070", "198.51.100.1:8080", // the host by its outer address
		"169.254.169.254:80", // the cloud's metadata
	}
	for _, svc := range []*types.Service{x.attacker, other} {
		code, body, err := x.request(svc, "/addrs")
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
	x.holds(t, "dial", url.Values{"to": targets})
	x.holds(t, "bind", url.Values{"to": {"198.51.100.1:9999"}})
}

// disk fills the writable layer and the shared memory file system.
func (x *siege) disk(t *testing.T) {
	const gib = 1 << 30
	x.holds(t, "disk", url.Values{"bound": {strconv.Itoa(16 * gib)}})
	x.holds(t, "shm", url.Values{"bound": {strconv.Itoa(gib)}})
}

// flood prints more than is kept: the rest must not stay on the host's disk.
func (x *siege) flood(t *testing.T) {
	const printed = 512 << 20
	before := x.diskUsed()
	x.holds(t, "flood", url.Values{"bound": {strconv.Itoa(printed)}})
	eventually(t, "the flood has drained", func() (bool, string) {
		grown := x.diskUsed() - before
		return grown < printed/4, fmt.Sprintf("%d MiB more on disk", grown>>20)
	})
	x.neighbourServes(t)
}

// memory takes more than the service's limit. The instance must be killed for
// it, say so, and be replaced.
func (x *siege) memory(t *testing.T) {
	code, body, err := x.request(x.attacker, "/attack/memory")
	if err == nil && code == http.StatusOK && strings.Contains(body, "took") {
		t.Fatalf("the memory limit did not hold: %s", body)
	}
	x.neighbourServes(t)
	eventually(t, "the killed instance is replaced", func() (bool, string) {
		code, body, err := x.request(x.attacker, "/")
		return err == nil && code == http.StatusOK, fmt.Sprint(code, body, err)
	})
	eventually(t, "the events tell of it", func() (bool, string) {
		events := x.history(x.attacker)
		return strings.Contains(strings.ToLower(events), "memory"), events
	})
}
