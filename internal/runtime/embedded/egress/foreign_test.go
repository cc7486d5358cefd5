package egress

import (
	"bytes"
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/nftables"
)

// TestAlongsideIPTables has chains as Docker and ufw leave them.
func TestAlongsideIPTables(t *testing.T) {
	newTestHost(t)
	c, err := nftables.New()
	check(t, err)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: iptablesTable})
	t.Cleanup(func() {
		c.DelTable(table)
		check(t, c.Flush())
	})
	policy := nftables.ChainPolicyDrop
	for name, hook := range map[string]*nftables.ChainHook{
		forwardChain: nftables.ChainHookForward, inputChain: nftables.ChainHookInput,
	} {
		c.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook,
			Priority: nftables.ChainPriorityFilter, Policy: &policy,
		})
	}
	check(t, c.Flush())

	n := newNetwork(t, Config{})
	for range 2 {
		check(t, n.Setup(t.Context()))
	}
	s := attach(t, n, "a", newNamespace(t))
	s.echo("through")
	for name, want := range map[string]int{forwardChain: 2, inputChain: 1} {
		rules, err := c.GetRules(table, &nftables.Chain{Name: name})
		check(t, err)
		if len(rules) != want {
			t.Errorf("%s has %d rules, want %d", name, len(rules), want)
		}
	}
	listable(t, n)

	check(t, n.Teardown(t.Context()))
	for _, name := range []string{forwardChain, inputChain} {
		rules, err := c.GetRules(table, &nftables.Chain{Name: name})
		check(t, err)
		if len(rules) != 0 {
			t.Errorf("%s still has %d rules after the teardown", name, len(rules))
		}
	}
}

// TestAlongsideOthers has a chain that is not iptables': it is not changed, and
// its owner told.
func TestAlongsideOthers(t *testing.T) {
	newTestHost(t)
	c, err := nftables.New()
	check(t, err)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "site"})
	t.Cleanup(func() {
		c.DelTable(table)
		check(t, c.Flush())
	})
	policy := nftables.ChainPolicyDrop
	chain := c.AddChain(&nftables.Chain{
		Name: "routed", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
	check(t, c.Flush())

	var log bytes.Buffer
	n := newNetwork(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	check(t, n.Setup(t.Context()))
	if got := strings.Count(log.String(), "inet site routed"); got != 1 {
		t.Errorf("%d warnings about the chain, want 1:\n%s", got, log.String())
	}
	rules, err := c.GetRules(table, chain)
	check(t, err)
	if len(rules) != 0 {
		t.Errorf("the chain was given %d rules", len(rules))
	}
}

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
	newTestHost(t)
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
