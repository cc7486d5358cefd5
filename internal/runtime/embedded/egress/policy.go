package egress

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const dnsPort = 53

// forbidden are the destinations that no instance reaches, whatever the host's
// routes say. The prefix's own addresses and the host's are not among them:
// they have rules of their own.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this network
	netip.MustParsePrefix("127.0.0.0/8"),        // loopback
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: metadata of AWS, Google Cloud, Azure, ...
	netip.MustParsePrefix("100.100.100.200/32"), // metadata of Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's WireServer
	netip.MustParsePrefix("192.0.0.192/32"),     // metadata of older Oracle Cloud
	netip.MustParsePrefix("224.0.0.0/3"),        // multicast, reserved, broadcast
}

// policy is all that the rules depend on. Equal policies give equal tables.
type policy struct {
	plan            plan
	resolvers       []netip.Addr     // name servers that instances ask directly
	ports           []uint16         // TCP ports of the host that they may reach
	denied          []netip.Prefix   // destinations refused besides forbidden
	segmented       []netip.Prefix   // what only links confined to it reach
	isolationGroups []isolationGroup // of links that reach only segments
	flows           uint32           // connections that one instance may have
	rate            uint32           // connections that it may begin a second
	dnsUDP          uint16           // the forwarder's ports at the gateway
	dnsTCP          uint16
}

func (p policy) equal(q policy) bool {
	return slices.Equal(p.resolvers, q.resolvers) && slices.Equal(p.ports, q.ports) && slices.Equal(p.denied, q.denied) && slices.Equal(p.segmented, q.segmented) &&
		slices.EqualFunc(p.isolationGroups, q.isolationGroups, isolationGroup.equal) && p.plan == q.plan && p.flows == q.flows && p.rate == q.rate && p.dnsUDP == q.dnsUDP && p.dnsTCP == q.dnsTCP
}

// chain is a chain to be made, with its rules.
type chain struct {
	name     string
	kind     nftables.ChainType // "" for one that other chains jump to
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    [][]expr.Any
}

// sets are what the rules use for look-ups and for counting.
type sets struct {
	protocols, resolvers, denied, segmented, ports, flows, rate *nftables.Set
	isolationGroups                                             map[uint32]isolationSets // by group
}

// filledSet is a set with its elements.
type filledSet struct {
	set  *nftables.Set
	keys []nftables.SetElement
}

const (
	established = expr.CtStateBitESTABLISHED
	related     = expr.CtStateBitRELATED
	fresh       = expr.CtStateBitNEW
)

// chains returns the rules. What leaves an instance is classified before anything
// translates its destination, by two chains: verify needs no connection
// tracking and so keeps forged packets out of it; classify answers refused packets,
// and the answers' own connection state has to be known for them to get back.
func (p policy) chains(s sets) []chain {
	chains := []chain{
		{name: "refuse", rules: p.refuse()},
		{name: "admit", rules: p.admit(s)},
		{name: "confined", rules: p.confined()},
		{name: "classify", rules: p.classify(s)},
		{name: "verify", rules: p.verify(s)},
	}
	for _, c := range p.isolationGroups {
		chains = append(chains, chain{name: c.named("reach"), rules: p.reach(c, s)}, chain{name: c.named("leave"), rules: c.leave(s)})
	}
	return append(chains, p.hooks()...)
}

// hooks are the chains that the kernel enters; the others are jumped to.
func (p policy) hooks() []chain {
	devices := p.plan.devices()
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	return []chain{
		{
			name: "arriving", kind: filter,
			hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityRaw,
			rules: [][]expr.Any{rule(from(devices), gotoChain("verify"))},
		},
		{
			name: "tracked", kind: filter,
			hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityMangle,
			rules: [][]expr.Any{rule(from(devices), gotoChain("classify"))},
		},
		{
			name: "resolve", kind: nat,
			hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityNATDest,
			rules: p.resolve(),
		},
		{
			name: "forward", kind: filter,
			hook: nftables.ChainHookForward, priority: nftables.ChainPriorityFilter,
			rules: append([][]expr.Any{
				rule(to(devices), from(devices), gotoChain("refuse")), // another instance, after translation
				rule(to(devices), state(established|related), accept()),
				rule(to(devices), drop()),
			}, p.exits()...),
		},
		{
			name: "output", kind: filter,
			hook: nftables.ChainHookOutput, priority: nftables.ChainPriorityFilter,
			rules: [][]expr.Any{
				rule(to(devices), notIPv4(), drop()),
				rule(to(devices), state(established|related), accept()),
				rule(to(devices), gotoChain("refuse")),
			},
		},
		{
			name: "postrouting", kind: nat,
			hook: nftables.ChainHookPostrouting, priority: nftables.ChainPriorityNATSource,
			rules: [][]expr.Any{rule(notTo(devices), sourceIn(p.plan.prefix), masquerade())},
		},
	}
}

// exits checks the packets of segments that have a device of their own.
func (p policy) exits() [][]expr.Any {
	var rules [][]expr.Any
	for _, c := range p.isolationGroups {
		if len(c.exits) > 0 {
			rules = append(rules, rule(from(p.plan.devices()), inGroup(c.group), gotoChain(c.named("leave"))))
		}
	}
	return rules
}

// refuse answers and drops.
func (p policy) refuse() [][]expr.Any {
	return [][]expr.Any{
		rule(protocol(unix.IPPROTO_TCP), resetTCP()),
		prohibit(),
	}
}

// admit accepts a new connection unless its instance has too many.
func (p policy) admit(s sets) [][]expr.Any {
	rate := &expr.Limit{
		Type: expr.LimitTypePkts, Rate: uint64(p.rate), Unit: expr.LimitTimeSecond,
		Burst: 4 * p.rate, Over: true,
	}
	flows := &expr.Connlimit{Count: p.flows, Flags: expr.NFT_CONNLIMIT_F_INV}
	return [][]expr.Any{
		rule(each(s.rate, unix.NFT_DYNSET_OP_UPDATE, rate), gotoChain("refuse")),
		rule(each(s.flows, unix.NFT_DYNSET_OP_ADD, flows), gotoChain("refuse")),
		accept(),
	}
}

// verify drops forged packets.
func (p policy) verify(s sets) [][]expr.Any {
	return [][]expr.Any{
		rule(notIPv4(), drop()),
		rule(hasOptions(), drop()),
		rule(sourceNotIn(p.plan.prefix), drop()),
		rule(noWayBack(), drop()),
		rule(protocolNotIn(s.protocols), drop()),
	}
}

// classify decides by destination. Packets of an accepted connection are not checked
// again, nor are ICMP errors about one.
func (p policy) classify(s sets) [][]expr.Any {
	rules := [][]expr.Any{
		rule(state(established), accept()),
		rule(state(related), protocol(unix.IPPROTO_ICMP), accept()),
		rule(notState(fresh), drop()), // would leave untranslated
		rule(inSomeGroup(), gotoChain("confined")),
	}
	for _, transport := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		rules = append(rules, p.queries(s, transport)...)
	}
	return append(rules,
		rule(destinationInSet(s.denied), gotoChain("refuse")),
		rule(destinationInSet(s.segmented), gotoChain("refuse")),
		rule(destinationType(unix.RTN_LOCAL), protocol(unix.IPPROTO_TCP), portInSet(s.ports), gotoChain("admit")),
		rule(destinationIn(p.plan.prefix), gotoChain("refuse")),
		rule(destinationNotType(unix.RTN_UNICAST), gotoChain("refuse")),
		gotoChain("admit"),
	)
}

// queries admits DNS to the name servers that all instances have.
func (p policy) queries(s sets, transport byte) [][]expr.Any {
	return [][]expr.Any{
		rule(destinationIs(p.plan.gateway()), protocol(transport), port(dnsPort), gotoChain("admit")),
		rule(destinationInSet(s.resolvers), protocol(transport), port(dnsPort), gotoChain("admit")),
	}
}

// resolve redirects queries for the gateway to the forwarder's ports: another server
// may have port 53 on all of the host's addresses.
func (p policy) resolve() [][]expr.Any {
	query := func(transport byte, at uint16) []expr.Any {
		return rule(from(p.plan.devices()), destinationIs(p.plan.gateway()),
			protocol(transport), port(dnsPort), translate(p.plan.gateway(), at))
	}
	return [][]expr.Any{query(unix.IPPROTO_UDP, p.dnsUDP), query(unix.IPPROTO_TCP, p.dnsTCP)}
}

// makeSets adds the policy's sets to a transaction. It returns them with how many elements
// those have that no packet changes.
func (p policy) makeSets(c *nftables.Conn, t *nftables.Table) (sets, map[string]int, error) {
	places := p.plan.lastLease()
	s := sets{
		protocols: &nftables.Set{Table: t, Name: "protocols", KeyType: nftables.TypeInetProto, Constant: true},
		resolvers: &nftables.Set{Table: t, Name: "resolvers", KeyType: nftables.TypeIPAddr},
		denied:    &nftables.Set{Table: t, Name: "denied", KeyType: nftables.TypeIPAddr, Interval: true},
		segmented: &nftables.Set{Table: t, Name: "zoned", KeyType: nftables.TypeIPAddr, Interval: true},
		ports:     &nftables.Set{Table: t, Name: "ports", KeyType: nftables.TypeInetService},
		flows:     &nftables.Set{Table: t, Name: "flows", KeyType: nftables.TypeIPAddr, Dynamic: true, Size: places},
		rate: &nftables.Set{
			Table: t, Name: "rate", KeyType: nftables.TypeIPAddr, Dynamic: true, Size: places,
			HasTimeout: true, Timeout: rateMemory,
		},
	}
	elements := []filledSet{
		{s.protocols, []nftables.SetElement{{Key: []byte{unix.IPPROTO_TCP}}, {Key: []byte{unix.IPPROTO_UDP}}, {Key: []byte{unix.IPPROTO_ICMP}}}},
		{s.resolvers, keys(p.resolvers, netip.Addr.AsSlice)},
		{s.denied, intervals(slices.Concat(forbidden, p.denied))},
		{s.segmented, intervals(p.segmented)},
		{s.ports, keys(p.ports, binaryutil.BigEndian.PutUint16)},
		{s.flows, nil},
		{s.rate, nil},
	}
	s.isolationGroups = map[uint32]isolationSets{}
	for _, k := range p.isolationGroups {
		own, filled := k.makeSets(t)
		s.isolationGroups[k.group] = own
		elements = append(elements, filled...)
	}
	sizes := map[string]int{}
	for _, e := range elements {
		if err := c.AddSet(e.set, e.keys); err != nil {
			return sets{}, nil, err
		}
		if !e.set.Dynamic {
			sizes[e.set.Name] = len(e.keys)
		}
	}
	return s, sizes, nil
}

func keys[T any](values []T, key func(T) []byte) []nftables.SetElement {
	var elements []nftables.SetElement
	for _, v := range values {
		elements = append(elements, nftables.SetElement{Key: key(v)})
	}
	return elements
}

// intervals returns a set's elements for prefixes that may repeat, contain or
// touch one another; the kernel's sets of intervals may not.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	prefixes = slices.Clone(prefixes)
	slices.SortFunc(prefixes, netip.Prefix.Compare)

	var elements []nftables.SetElement
	var end netip.Addr // first address after the last interval; invalid after 255.255.255.255
	for i, p := range prefixes {
		p = p.Masked()
		start, after := p.Addr(), afterLast(p)
		if i > 0 && (!end.IsValid() || after.IsValid() && after.Compare(end) <= 0) {
			continue // within the one before
		}
		if i > 0 && start.Compare(end) <= 0 {
			elements = elements[:len(elements)-1] // continues the one before
		} else {
			elements = append(elements, nftables.SetElement{Key: start.AsSlice()})
		}
		if end = after; end.IsValid() {
			elements = append(elements, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return elements
}

// afterLast returns the address after a prefix's last one, or the zero Addr.
func afterLast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	n := uint64(binaryutil.BigEndian.Uint32(a[:])) + 1<<(32-p.Bits())
	if n > 1<<32-1 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(binaryutil.BigEndian.PutUint32(uint32(n))))
}
