package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Segment is a part of the outside that sandboxes can be confined to.
type Segment struct {
	Prefixes []netip.Prefix // IPv4, at least one

	// Via is the host's device through which the segment is reached: packets that
	// the host would route elsewhere are refused. "": any device.
	Via string

	// Resolvers are the name servers of sandboxes confined to the segment, which
	// they reach wherever these are. Empty: those of all sandboxes, unless NoDNS.
	Resolvers []netip.Addr
	NoDNS     bool
}

func (z Segment) check(p plan) error {
	if len(z.Prefixes) == 0 {
		return errors.New("a prefix is needed")
	}
	for _, q := range z.Prefixes {
		if !q.IsValid() || !q.Addr().Is4() || q != q.Masked() {
			return fmt.Errorf("prefix %s: an IPv4 prefix without bits beyond its length is needed", q)
		}
	}
	if len(z.Via) >= unix.IFNAMSIZ {
		return fmt.Errorf("device %q: a name has at most %d characters", z.Via, unix.IFNAMSIZ-1)
	}
	if len(z.Resolvers) > maxResolvers || len(z.Resolvers) > 0 && z.NoDNS {
		return fmt.Errorf("name servers %v: at most %d are used, or none at all", z.Resolvers, maxResolvers)
	}
	for _, r := range z.Resolvers {
		if r := split([]netip.AddrPort{netip.AddrPortFrom(r, dnsPort)}); len(r.direct) == 0 || p.prefix.Contains(r.direct[0]) {
			return fmt.Errorf("name server %s: an IPv4 address that sandboxes can reach is needed", r.upstream[0].Addr())
		}
	}
	return nil
}

// private are the prefixes that the internet does not route (RFC 1918, RFC 6598).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// privatePrefixes returns the prefixes of segments that are wholly private, in
// order. Any other prefix, such as the whole internet, stays reachable for sandboxes
// that are not confined.
func privatePrefixes(segments map[string]Segment) []netip.Prefix {
	var list []netip.Prefix
	for _, z := range segments {
		for _, p := range z.Prefixes {
			if slices.ContainsFunc(private, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }) {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// isolationGroup is the set of segments that some sandboxes are confined to. Their
// links are in a device group of their own, by which the rules know them, also after
// the daemon has died.
type isolationGroup struct {
	group     uint32
	prefixes  []netip.Prefix
	exits     []Segment    // those with a device
	shared    bool         // they ask the name servers of all sandboxes
	resolvers []netip.Addr // name servers of their own
}

func (c isolationGroup) equal(d isolationGroup) bool {
	return c.group == d.group && c.shared == d.shared && slices.Equal(c.prefixes, d.prefixes) && slices.Equal(c.resolvers, d.resolvers) &&
		slices.EqualFunc(c.exits, d.exits, func(x, y Segment) bool { return x.Via == y.Via && slices.Equal(x.Prefixes, y.Prefixes) })
}

// isolationGroupOf returns the isolation group of sandboxes confined to the segments
// of these names, and the names that are not configured, which lead nowhere.
func isolationGroupOf(segments map[string]Segment, names []string) (c isolationGroup, missing []string) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	c.group = groupOf(names)
	silent := true
	for _, name := range names {
		z, ok := segments[name]
		if !ok {
			missing = append(missing, name)
			continue
		}
		c.prefixes = append(c.prefixes, z.Prefixes...)
		if z.Via != "" {
			c.exits = append(c.exits, z)
		}
		for _, r := range z.Resolvers {
			if len(c.resolvers) < maxResolvers && !slices.Contains(c.resolvers, r) {
				c.resolvers = append(c.resolvers, r)
			}
		}
		silent = silent && z.NoDNS
	}
	c.shared = len(c.resolvers) == 0 && !silent
	return c, missing
}

// groupOf returns the device group of an isolation group: the same in every process,
// and none of the small numbers that people choose.
func groupOf(names []string) uint32 {
	h := fnv.New32a()
	for _, n := range names {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(n)))
		h.Write(size[:])
		h.Write([]byte(n))
	}
	return h.Sum32() | 1<<31
}

// named returns the name of a chain or set of the isolation group.
func (c isolationGroup) named(what string) string {
	return what + "-" + strconv.FormatUint(uint64(c.group), 16)
}

// file returns the contents of /etc/resolv.conf in the isolation group's sandboxes.
func (c isolationGroup) file(r resolvers, gateway netip.Addr) []byte {
	if c.shared {
		return r.file(gateway)
	}
	if len(c.resolvers) == 0 {
		return []byte("# This instance's networks have no name server.\n")
	}
	return resolvers{direct: c.resolvers}.file(gateway)
}

// Confine lets a sandbox reach only the segments of these names and their name
// servers. It is for sandboxes in which nothing runs yet: open connections stay
// open. A second call replaces the segments of the first.
func (n *Network) Confine(_ context.Context, sandbox string, segments []string) (Link, error) {
	link, err := n.confine(sandbox, segments)
	if err != nil {
		return Link{}, fmt.Errorf("confine %s in network %s: %w", sandbox, n.plan.name, err)
	}
	return link, nil
}

func (n *Network) confine(sandbox string, segments []string) (Link, error) {
	c, missing := isolationGroupOf(n.cfg.Segments, segments)
	if len(segments) == 0 || len(missing) > 0 {
		return Link{}, fmt.Errorf("the networks %q are not configured", missing)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.netHandle.Load()
	if w == nil {
		return Link{}, errNotSetUp
	}
	lease, ok := n.leases.of(sandbox)
	if !ok {
		return Link{}, errors.New("it is not attached")
	}
	if err := n.enforceGroups(w, []isolationGroup{c}); err != nil {
		return Link{}, err
	}
	device := n.plan.device(lease)
	outer, err := w.route.LinkByName(device)
	if err == nil {
		err = w.route.LinkSetGroup(outer, int(c.group))
	}
	if err != nil {
		return Link{}, fmt.Errorf("link %s: put it into its group: %w", device, err)
	}
	n.leases.confine(lease, c.group)
	return Link{
		Addr:   netip.PrefixFrom(n.plan.address(lease), 32),
		Resolv: c.file(w.resolvers, n.plan.gateway()),
	}, nil
}

// restoreGroups restores the isolation groups of sandboxes that an earlier process
// confined: their links are still in the device groups.
func (n *Network) restoreGroups(w *netHandle, sandboxes map[string][]string) error {
	var isolationGroups []isolationGroup
	for sandbox, segments := range sandboxes {
		if len(segments) == 0 {
			continue
		}
		c, missing := isolationGroupOf(n.cfg.Segments, segments)
		if len(missing) > 0 {
			n.log.Warn("an instance is confined to networks that are not configured any more", "sandbox", sandbox, "missing", missing)
		}
		isolationGroups = append(isolationGroups, c)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.enforceGroups(w, isolationGroups)
}

// enforceGroups installs the rules of isolation groups, and removes groups that no
// link is in. The caller holds mu.
func (n *Network) enforceGroups(w *netHandle, isolationGroups []isolationGroup) error {
	next := slices.Clone(n.isolationGroups)
	for _, c := range isolationGroups {
		i := slices.IndexFunc(next, func(k isolationGroup) bool { return k.group == c.group })
		if i < 0 {
			next = append(next, c)
		} else if !next[i].equal(c) {
			return fmt.Errorf("two sets of networks have the group %#x", c.group) // once in two thousand million
		}
	}
	if len(next) == len(n.isolationGroups) {
		return nil
	}
	used := n.leases.groups()
	next = slices.DeleteFunc(next, func(k isolationGroup) bool {
		return !used[k.group] && !slices.ContainsFunc(isolationGroups, k.equal)
	})
	before := n.isolationGroups
	n.isolationGroups = next
	if err := n.enforce(w); err != nil {
		n.isolationGroups = before
		return err
	}
	return nil
}

// isolationSets are the sets of an isolation group.
type isolationSets struct {
	prefixes, resolvers *nftables.Set
	exits               []*nftables.Set
}

// makeSets returns the isolation group's sets with their elements.
func (c isolationGroup) makeSets(t *nftables.Table) (isolationSets, []filledSet) {
	addresses := func(name string, interval bool) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, KeyType: nftables.TypeIPAddr, Interval: interval}
	}
	s := isolationSets{prefixes: addresses(c.named("dest"), true), resolvers: addresses(c.named("dns"), false)}
	filled := []filledSet{
		{s.prefixes, intervals(c.prefixes)},
		{s.resolvers, keys(c.resolvers, netip.Addr.AsSlice)},
	}
	for i, z := range c.exits {
		e := addresses(c.named("exit"+strconv.Itoa(i)), true)
		s.exits = append(s.exits, e)
		filled = append(filled, filledSet{e, intervals(z.Prefixes)})
	}
	return s, filled
}

// confined sends the links in a group to the rules of their isolation group. Packets
// of an unknown group are dropped without an answer, so that they are sent again: the
// daemon has just been started and will know the group soon.
func (p policy) confined() [][]expr.Any {
	var rules [][]expr.Any
	for _, c := range p.isolationGroups {
		rules = append(rules, rule(inGroup(c.group), gotoChain(c.named("reach"))))
	}
	return append(rules, drop())
}

// reach decides by destination, for an isolation group.
func (p policy) reach(c isolationGroup, s sets) [][]expr.Any {
	own := s.isolationGroups[c.group]
	var rules [][]expr.Any
	for _, transport := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		if c.shared {
			rules = append(rules, p.queries(s, transport)...)
		}
		rules = append(rules, rule(destinationInSet(own.resolvers), protocol(transport), port(dnsPort), gotoChain("admit")))
	}
	return append(rules,
		rule(destinationInSet(s.denied), gotoChain("refuse")),
		rule(destinationType(unix.RTN_LOCAL), destinationInSet(own.prefixes), protocol(unix.IPPROTO_TCP), portInSet(s.ports), gotoChain("admit")),
		rule(destinationIn(p.plan.prefix), gotoChain("refuse")),
		rule(destinationNotType(unix.RTN_UNICAST), gotoChain("refuse")),
		rule(destinationInSet(own.prefixes), gotoChain("admit")),
		gotoChain("refuse"),
	)
}

// leave refuses packets that would leave the host by another device than that of
// their segment. Unlike reach it checks every packet, since routes may change.
func (c isolationGroup) leave(s sets) [][]expr.Any {
	var rules [][]expr.Any
	for i, z := range c.exits {
		rules = append(rules, rule(destinationInSet(s.isolationGroups[c.group].exits[i]), notToDevice(z.Via), gotoChain("refuse")))
	}
	return rules
}
