package egress

import (
	"os/exec"
	"strings"
	"testing"
)

// listable checks that iptables, where it is installed, can read the chains
// that we have put rules into.
func listable(t *testing.T, n *Network) {
	t.Helper()
	iptables, err := exec.LookPath("iptables-nft")
	if err != nil {
		t.Log("iptables-nft is not installed: its view of our rules is not checked")
		return
	}
	out, err := exec.CommandContext(t.Context(), iptables, "-S").CombinedOutput()
	if err != nil {
		t.Fatalf("iptables-nft -S: %v: %s", err, out)
	}
	for _, want := range []string{
		"-A FORWARD -i " + n.plan.devices() + "+",
		"-A FORWARD -o " + n.plan.devices() + "+",
		"-A INPUT -d " + n.plan.gateway().String() + "/32 -i " + n.plan.devices() + "+",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("iptables-nft -S has no %q:\n%s", want, out)
		}
	}
}

func TestLegacyDrops(t *testing.T) {
	newLandscape(t)
	iptables, err := exec.LookPath("iptables-legacy")
	if err != nil {
		t.Skip("iptables-legacy is not installed")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), iptables, args...).CombinedOutput(); err != nil {
			t.Skipf("iptables-legacy does not work here: %v: %s", err, out)
		}
	}
	for _, r := range []struct {
		policy string
		want   bool
	}{{"DROP", true}, {"ACCEPT", false}} {
		run("-P", "FORWARD", r.policy)
		if got, err := legacyDrops(); err != nil || got != r.want {
			t.Errorf("FORWARD %s: drops %v, %v; want %v", r.policy, got, err, r.want)
		}
	}
	run("-A", "FORWARD", "-p", "tcp", "-j", "DROP")
	if got, err := legacyDrops(); err != nil || got {
		t.Errorf("a rule before the policy: drops %v, %v", got, err)
	}
	run("-F", "FORWARD")
}
