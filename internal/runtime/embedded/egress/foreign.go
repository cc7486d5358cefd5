package egress

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// A packet that our rules accept still passes everybody else's, and one drop
// suffices. Docker and ufw make iptables' chains drop every packet that no rule
// accepts, so a rule must accept ours. We add one where that is plainly right: in the
// chains of iptables-nft, which everybody adds to. Other rules belong to their
// owner, whom a warning tells.

const (
	iptablesTable = "filter"
	forwardChain  = "FORWARD"
	inputChain    = "INPUT"
)

// passOthers makes the host's other rules accept the links' packets where it can,
// and warns once about rules where it can't. It is a best effort: there may be no
// other rules at all.
func (n *Network) passOthers() {
	c, err := nftables.New(nftables.AsLasting()) // one socket for all requests
	if err != nil {
		n.warn("nftables", "the host's firewall could not be read", "err", err)
		return
	}
	defer c.CloseLasting()
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyUnspecified)
	if err != nil {
		n.warn("nftables", "the host's firewall could not be read", "err", err)
		return
	}
	for _, ch := range chains {
		if err := n.passOther(c, ch); err != nil {
			n.warn(chainName(ch), "links could not be let through the host's firewall",
				"chain", chainName(ch), "err", err, "do", n.advice())
		}
	}
	if legacy, err := legacyDrops(); err != nil {
		n.warn("legacy", "the rules of iptables-legacy could not be read", "err", err)
	} else if legacy {
		n.warn("legacy", "the host's firewall drops the instances' packets", "chain", "iptables-legacy FORWARD",
			"do", fmt.Sprintf("iptables-legacy -I FORWARD -i %[1]s+ -j ACCEPT; iptables-legacy -I FORWARD -o %[1]s+ -j ACCEPT", n.plan.devices()))
	}
}

// passOther does the same for one chain of any kind.
func (n *Network) passOther(c *nftables.Conn, ch *nftables.Chain) error {
	onTheWay := ch.Hooknum != nil && (*ch.Hooknum == *nftables.ChainHookForward || *ch.Hooknum == *nftables.ChainHookInput)
	ipv4 := ch.Table.Family == nftables.TableFamilyIPv4 || ch.Table.Family == nftables.TableFamilyINet
	if !onTheWay || !ipv4 || ch.Type != nftables.ChainTypeFilter || ch.Table.Name == n.table.name {
		return nil
	}
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return fmt.Errorf("list its rules: %w", err)
	}
	if !refuses(ch, rules) {
		return nil
	}
	if ch.Table.Family == nftables.TableFamilyIPv4 && ch.Table.Name == iptablesTable {
		return n.letThrough(c, ch, rules)
	}
	if *ch.Hooknum == *nftables.ChainHookForward {
		n.warn(chainName(ch), "the host's firewall may drop the instances' packets", "chain", chainName(ch), "do", n.advice())
	}
	return nil
}

// letThrough inserts our rules at the head of one of iptables' chains, unless they
// are there. They use only expressions that iptables-nft itself writes; otherwise it
// could no longer list the chain.
func (n *Network) letThrough(c *nftables.Conn, ch *nftables.Chain, rules []*nftables.Rule) error {
	devices := n.plan.devices()
	var want [][]expr.Any
	switch ch.Name {
	case forwardChain:
		want = [][]expr.Any{from(devices), to(devices)}
	case inputChain:
		// Only the gateway's address: a port of the host that is to be allowed
		// must be open to all already.
		want = [][]expr.Any{rule(from(devices), destinationIs(n.plan.gateway()))}
	}
	ours := n.own(rules)
	if len(ours) == len(want) {
		return nil
	}
	for _, r := range ours {
		if err := c.DelRule(r); err != nil {
			return fmt.Errorf("replace our rules: %w", err)
		}
	}
	for _, match := range want {
		c.InsertRule(&nftables.Rule{
			Table: ch.Table, Chain: ch, UserData: n.comment(),
			Exprs: rule(match, []expr.Any{&expr.Counter{}}, accept()),
		})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("add our rules: %w", err)
	}
	n.log.Info("links are let through the host's firewall", "chain", chainName(ch))
	return nil
}

// stopPassing removes our rules from iptables' chains.
func (n *Network) stopPassing() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return fmt.Errorf("list the host's nftables chains: %w", err)
	}
	for _, ch := range chains {
		if ch.Table.Name != iptablesTable || ch.Name != forwardChain && ch.Name != inputChain {
			continue
		}
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			return fmt.Errorf("list the rules of %s: %w", chainName(ch), err)
		}
		for _, r := range n.own(rules) {
			if err := c.DelRule(r); err != nil {
				return fmt.Errorf("remove our rules from %s: %w", chainName(ch), err)
			}
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove our rules from the host's firewall: %w", err)
	}
	return nil
}

// comment marks our rules in others' chains. iptables shows it as a comment.
func (n *Network) comment() []byte {
	return userdata.AppendString(nil, userdata.TypeComment, n.table.name)
}

func (n *Network) own(rules []*nftables.Rule) []*nftables.Rule {
	var ours []*nftables.Rule
	for _, r := range rules {
		if bytes.Equal(r.UserData, n.comment()) {
			ours = append(ours, r)
		}
	}
	return ours
}

// refuses reports whether a chain lets through only what one of its rules
// accepts: by its policy, or by a last rule that refuses all.
func refuses(ch *nftables.Chain, rules []*nftables.Rule) bool {
	if ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
		return true
	}
	if len(rules) == 0 {
		return false
	}
	final := slices.DeleteFunc(slices.Clone(rules[len(rules)-1].Exprs), func(e expr.Any) bool {
		_, counts := e.(*expr.Counter)
		return counts
	})
	if len(final) != 1 {
		return false
	}
	switch e := final[0].(type) {
	case *expr.Verdict:
		return e.Kind == expr.VerdictDrop
	case *expr.Reject:
		return true
	case *expr.Target:
		return e.Name == "REJECT" || e.Name == "DROP"
	}
	return false
}

// advice is what a warning tells the owner of rules that we do not change.
func (n *Network) advice() string {
	return fmt.Sprintf(`accept forwarded packets from and to the interfaces named %q (firewalld: firewall-cmd --permanent --zone=trusted --add-source=%s)`,
		n.plan.devices()+"*", n.plan.prefix)
}

// warn logs a warning unless it was logged before for the same key.
func (n *Network) warn(key, message string, args ...any) {
	if n.warned[key] {
		return
	}
	n.warned[key] = true
	n.log.Warn(message, args...)
}

func chainName(ch *nftables.Chain) string {
	family := "ip"
	if ch.Table.Family == nftables.TableFamilyINet {
		family = "inet"
	}
	return family + " " + ch.Table.Name + " " + ch.Name
}
