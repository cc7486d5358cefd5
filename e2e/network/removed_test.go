package network

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestRemoved takes from a server that runs, and from one that does not, what it made on the
// host: by the programs that administrators use. Live instances work again, without being
// replaced, and the next start works.
func TestRemoved(t *testing.T) {
	t.Parallel()
	host, outside := harness.NewNetwork(t), harness.NewNetwork(t)
	harness.Connect(t, "up0", host, "198.51.100.1/24", outside, "198.51.100.2/24")
	host.Route(t, "198.51.100.2")
	outside.Serve(t, "198.51.100.2:80", "the internet")
	s := harness.ServeIn(t, host, "--api-addr", "0.0.0.0:8070", "--http-addr", "0.0.0.0:8080")
	image := s.Push(harness.HostileImage(t), "hostile:1")
	live := s.RunningService("live", harness.Spec{Image: image})

	sh := func(script string) {
		t.Helper()
		err := host.Do(func() error {
			out, err := exec.Command("/bin/sh", "-ec", script).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w: %s", script, err, out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	works := func(after string) {
		t.Helper()
		harness.Eventually(t, "the instance reaches the outside after the removal of "+after, func() (bool, string) {
			held, detail := s.Attack(t, live, "dial", url.Values{"to": {"198.51.100.2:80"}})
			return !held, detail
		})
		if code, body, err := s.Request(live, "/"); err != nil || code != http.StatusOK {
			t.Errorf("after the removal of %s a request is answered %d %q, %v", after, code, body, err)
		}
	}
	links := `for d in $(ip -o link show type veth | awk -F'[ @:]+' '$2 ~ /^sw/ {print $2}'); do `
	empty := "find " + s.DataDir + " -mindepth 1 -type d -empty -delete"
	removals := []struct{ name, script string }{
		{"links", links + "ip link del $d; done"},
		{"links that are up", links + "ip link set $d down; done"},
		{"routes", "ip route flush root 198.18.0.0/15"},
		{"the gateway's address", "ip -o addr show dev lo | awk '/lo:sw/ {print $4}' | xargs -n1 -I{} ip addr del {} dev lo"},
		{"forwarding", "sysctl -qw net.ipv4.ip_forward=0"},
		{"empty directories", empty},
		{"the socket for the next server", "rm " + filepath.Join(s.DataDir, "takeover.sock")},
	}
	works("nothing")
	for i, r := range removals {
		sh(r.script)
		works(r.name)
		next := s.RunningService(fmt.Sprintf("next-%d", i), harness.Spec{Image: image})
		if held, detail := s.Attack(t, next, "dial", url.Values{"to": {"198.51.100.2:80"}}); held {
			t.Errorf("after the removal of %s the next instance does not reach the outside: %s", r.name, detail)
		}
	}
	harness.Eventually(t, "the socket is back", func() (bool, string) {
		_, err := os.Stat(filepath.Join(s.DataDir, "takeover.sock"))
		return err == nil, fmt.Sprint(err)
	})
	if out, err := s.Upgrade(); err != nil {
		t.Errorf("upgrade: %v\n%s", err, out)
	}
	works("the socket, by the next server")
	s.Kill()
	for _, r := range removals[:len(removals)-1] {
		sh(r.script + " || true")
	}
	s.Start()
	works("all of it while no server ran")
	s.RunningService("last", harness.Spec{Image: image})
}
