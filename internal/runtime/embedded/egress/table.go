package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rateMemory is how long the kernel remembers an instance's rate of new
// connections after the last of them.
const rateMemory = time.Minute

// table keeps a policy's rules in the kernel.
type table struct {
	name   string
	counts map[string]int // rules by chain, as installed; nil before
	sizes  map[string]int // elements by set, as installed, of sets that rules do not change
}

func (t *table) handle() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
}

// install replaces the table with the policy's in one transaction, so that there are
// rules at every moment. Existing connections are not interrupted.
func (t *table) install(p policy) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	own := t.handle()
	c.AddTable(own) // so that there is one to delete
	c.DelTable(own)
	c.AddTable(own)

	s, sizes, err := p.makeSets(c, own)
	if err != nil {
		return fmt.Errorf("write the sets of nftables table %s: %w", t.name, err)
	}
	chains := p.chains(s)
	made := make([]*nftables.Chain, len(chains))
	for i, ch := range chains {
		made[i] = c.AddChain(&nftables.Chain{
			Table: own, Name: ch.name, Type: ch.kind, Hooknum: ch.hook, Priority: ch.priority,
		})
	}
	counts := make(map[string]int, len(chains))
	for i, ch := range chains {
		counts[ch.name] = len(ch.rules)
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: own, Chain: made[i], Exprs: r})
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("install nftables table %s: %w", t.name, err)
	}
	t.counts, t.sizes = counts, sizes
	return nil
}

// intact reports whether all rules that were installed are there, and what their sets hold.
// It only counts them: a program that may change one may change everything.
func (t *table) intact() bool {
	counts, err := t.rules()
	if err != nil {
		return false
	}
	for name, want := range t.counts {
		if counts[name] != want {
			return false
		}
	}
	for name, want := range t.sizes {
		if size, err := t.size(name); err != nil || size != want {
			return false
		}
	}
	return true
}

// size returns how many elements a set has.
func (t *table) size(set string) (n int, err error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(nftables.TableFamilyINet), Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(t.name)))
	req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)))
	var bad error
	err = req.ExecuteIter(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM, func(reply []byte) bool {
		var attrs, list []syscall.NetlinkRouteAttr
		if attrs, bad = nl.ParseRouteAttr(reply[nl.SizeofNfgenmsg:]); bad != nil {
			return false
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			if list, bad = nl.ParseRouteAttr(a.Value); bad != nil {
				return false
			}
			n += len(list)
		}
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return 0, fmt.Errorf("list set %s of nftables table %s: %w", set, t.name, err)
	}
	return n, nil
}

// rules returns how many rules each chain of the table has; those without any are missing. It
// is one request, and reads nothing of a rule but its chain: it is made for each change to
// any rule of the host, and on some hosts there is one every second.
func (t *table) rules() (map[string]int, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(nftables.TableFamilyINet), Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(t.name)))
	counts := map[string]int{}
	var bad error
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE, func(reply []byte) bool {
		var attrs []syscall.NetlinkRouteAttr
		if attrs, bad = nl.ParseRouteAttr(reply[nl.SizeofNfgenmsg:]); bad != nil {
			return false
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.NFTA_RULE_CHAIN {
				counts[nl.BytesToString(a.Value)]++
			}
		}
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("list the rules of nftables table %s: %w", t.name, err)
	}
	return counts, nil
}

// remove deletes the table. None is success.
func (t *table) remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	c.AddTable(t.handle())
	c.DelTable(t.handle())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove nftables table %s: %w", t.name, err)
	}
	t.counts = nil
	return nil
}

// generation returns a number that changes with every change to any nftables
// rule of the host.
func generation() (uint32, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	replies, err := req.Execute(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN)
	if err != nil {
		return 0, fmt.Errorf("ask for nftables' generation: %w", err)
	}
	for _, reply := range replies {
		attrs, err := nl.ParseRouteAttr(reply[nl.SizeofNfgenmsg:])
		if err != nil {
			return 0, fmt.Errorf("read nftables' generation: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.NFTA_GEN_ID && len(a.Value) == 4 {
				return binary.BigEndian.Uint32(a.Value), nil
			}
		}
	}
	return 0, errors.New("ask for nftables' generation: no answer")
}
