package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	ipForward    = "/proc/sys/net/ipv4/ip_forward"
	conntrackMax = "/proc/sys/net/netfilter/nf_conntrack_max"
	ipv6Devices  = "/proc/sys/net/ipv6/conf"

	defaultMTU = 1500

	listTries = 100
)

// netHandle is access to the host's network, and what links need to know of it. Its
// members do not change: when the host's network changes, a new value is made.
type netHandle struct {
	route     *netlink.Handle // the host's network configuration, and conntrack
	ipv6      bool
	mtu       int    // of links, in bytes
	flows     uint32 // connections that one instance may have
	resolvers resolvers
}

func openHandle() (*netHandle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open the network configuration: %w", err)
	}
	_, err = os.Stat(ipv6Devices)
	return &netHandle{route: h, ipv6: err == nil}, nil
}

func (w *netHandle) close() { w.route.Close() }

// probe reports whether there are veth devices, without making any: the kernel looks
// up the kind of device before it finds that there is no namespace -1.
func (w *netHandle) probe(p plan) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = p.devices() + "probe"
	err := w.route.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: attrs.Name + "2", PeerNamespace: netlink.NsFd(-1)})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("make a veth device: %w", err)
	}
	return nil
}

// noOverlap refuses a prefix with addresses that the host routes elsewhere. Routes
// wider than the prefix do not matter: the links' are more specific.
func (w *netHandle) noOverlap(p plan) error {
	routes, err := list(func() ([]netlink.Route, error) {
		return w.route.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return fmt.Errorf("list the host's routes: %w", err)
	}
	links, err := list(w.route.LinkList)
	if err != nil {
		return fmt.Errorf("list the host's devices: %w", err)
	}
	devices := make(map[int]string, len(links))
	for _, l := range links {
		devices[l.Attrs().Index] = l.Attrs().Name
	}
	loopback, err := w.gatewayIsOurs(p)
	if err != nil {
		return err
	}
	if err := p.conflict(routes, devices, loopback); err != nil {
		return fmt.Errorf("%w%s", err, w.owner(p))
	}
	return nil
}

// owner tells of another server whose network has the prefix, and what to do if it is
// gone.
func (w *netHandle) owner(p plan) string {
	_, addrs, err := w.loopback()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		name, labelled := strings.CutPrefix(a.Label, "lo:")
		addr, _ := prefixOf(a.IPNet)
		if labelled && p.prefix.Contains(addr.Addr()) {
			return fmt.Sprintf("; it is the network %s of another slipway server: if that is gone for good, `ip addr del %s dev lo` and `nft delete table inet %s` remove what it left",
				name, a.IPNet, plan{name: name}.table())
		}
	}
	return ""
}

// conflict returns the route that leads addresses of the prefix elsewhere. devices
// are the host's by index, listed after the routes. One that is missing was deleted
// in between with its routes, as links of ended instances are. loopback says that
// the gateway's address on the loopback device is ours.
func (p plan) conflict(routes []netlink.Route, devices map[int]string, loopback bool) error {
	for _, r := range routes {
		to, ok := prefixOf(r.Dst)
		device, there := devices[r.LinkIndex]
		_, ours := p.leaseOf(device)
		ours = ours || loopback && to == netip.PrefixFrom(p.gateway(), 32)
		gone := !there && r.LinkIndex != 0 // blackhole routes have no device at all
		if ok && !ours && !gone && p.prefix.Overlaps(to) && to.Bits() >= p.prefix.Bits() {
			return fmt.Errorf("prefix %s: the host has a route to %s on device %q; another prefix is needed", p.prefix, to, device)
		}
	}
	return nil
}

// list repeats a listing until it is consistent: the kernel says when something
// changed while it was read.
func list[T any](ask func() ([]T, error)) ([]T, error) {
	for range listTries - 1 {
		all, err := ask()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return ask()
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false // a default route
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

// gatewayAddress is the gateway's address as it is on the loopback device. Its scope
// keeps the host from using it as a source address towards others.
func gatewayAddress(p plan) *netlink.Addr {
	return &netlink.Addr{IPNet: host(p.gateway()), Label: p.label(), Scope: unix.RT_SCOPE_HOST}
}

// gateways returns the loopback device and its addresses with our label.
func (w *netHandle) gateways(p plan) (netlink.Link, []netlink.Addr, error) {
	lo, addrs, err := w.loopback()
	return lo, slices.DeleteFunc(addrs, func(a netlink.Addr) bool { return a.Label != p.label() }), err
}

// loopback returns the loopback device and its IPv4 addresses.
func (w *netHandle) loopback() (netlink.Link, []netlink.Addr, error) {
	lo, err := w.route.LinkByIndex(1)
	if err != nil {
		return nil, nil, fmt.Errorf("find the loopback device: %w", err)
	}
	addrs, err := list(func() ([]netlink.Addr, error) { return w.route.AddrList(lo, netlink.FAMILY_V4) })
	if err != nil {
		return nil, nil, fmt.Errorf("list the loopback device's addresses: %w", err)
	}
	return lo, addrs, nil
}

// gatewayIsOurs reports whether the loopback device has the gateway's address with
// our label.
func (w *netHandle) gatewayIsOurs(p plan) (bool, error) {
	_, addrs, err := w.gateways(p)
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		if a.IPNet.String() == host(p.gateway()).String() {
			return true, nil
		}
	}
	return false, nil
}

// addGateway adds the gateway's address to the host, and removes that of an earlier
// prefix.
func (w *netHandle) addGateway(p plan) error {
	ours, err := w.gatewayIsOurs(p)
	if err != nil || ours {
		return err
	}
	if err := w.removeGateway(p); err != nil {
		return err
	}
	lo, _, err := w.gateways(p)
	if err != nil {
		return err
	}
	if err := w.route.AddrAdd(lo, gatewayAddress(p)); err != nil {
		return fmt.Errorf("add the gateway's address %s: %w", p.gateway(), err)
	}
	return nil
}

// removeGateway removes all addresses with our label. None is success.
func (w *netHandle) removeGateway(p plan) error {
	lo, addrs, err := w.gateways(p)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := w.route.AddrDel(lo, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove the gateway's address %s: %w", a.IPNet, err)
		}
	}
	return nil
}

// foundLink is a link as read from its device.
type foundLink struct {
	holder string // "" for none
	group  uint32 // 0 for one that is not confined
	space  int    // id of the namespace of its other end
}

// links returns the network's links by lease.
func (w *netHandle) links(p plan) (map[uint32]foundLink, error) {
	all, err := list(w.route.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the host's devices: %w", err)
	}
	links := map[uint32]foundLink{}
	for _, l := range all {
		if lease, ok := p.leaseOf(l.Attrs().Name); ok {
			links[lease] = foundLink{l.Attrs().Alias, l.Attrs().Group, l.Attrs().NetNsID}
		}
	}
	return links, nil
}

// deleteLink deletes a link by the name of the host's end. None is success.
func (w *netHandle) deleteLink(device string) error {
	link, err := w.route.LinkByName(device)
	if err == nil {
		err = w.route.LinkDel(link)
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("delete link %s: %w", device, err)
	}
	return nil
}

// noIPv6 keeps the host from speaking IPv6 on a link.
func (w *netHandle) noIPv6(device string) error {
	if !w.ipv6 {
		return nil
	}
	err := os.WriteFile(filepath.Join(ipv6Devices, device, "disable_ipv6"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the device has no IPv6, for instance since its MTU is too small
	}
	return err
}

// uplinkMTU returns the MTU of the device through which the host reaches the
// outside.
func (w *netHandle) uplinkMTU() int {
	outside := net.IPv4(192, 88, 99, 1) // a public address; nothing is sent
	routes, err := w.route.RouteGet(outside)
	if err != nil || len(routes) == 0 {
		return defaultMTU
	}
	link, err := w.route.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return defaultMTU
	}
	return min(max(link.Attrs().MTU, minMTU), maxMTU)
}

// forget removes the connections of addresses that are not live from the host's
// conntrack table, and returns how many.
func (w *netHandle) forget(p plan, live func(netip.Addr) bool) (uint, error) {
	flows, err := w.route.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, deadFlows{plan: p, live: live})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return flows, fmt.Errorf("forget old connections: %w", err)
	}
	return flows, nil
}

// deadFlows matches connections from instances' addresses that no lease covers.
type deadFlows struct {
	plan plan
	live func(netip.Addr) bool
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (d deadFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	from, ok := netip.AddrFromSlice(flow.Forward.SrcIP)
	if !ok {
		return false
	}
	_, instance := d.plan.lease(from.Unmap())
	return instance && !d.live(from.Unmap())
}

// forward turns IPv4 forwarding on, for the whole host, and reports whether it was off.
func forward() (changed bool, err error) {
	now, err := os.ReadFile(ipForward)
	if err != nil {
		return false, fmt.Errorf("read whether the host forwards: %w", err)
	}
	if bytes.Equal(bytes.TrimSpace(now), []byte("1")) {
		return false, nil
	}
	if err := os.WriteFile(ipForward, []byte("1"), 0); err != nil {
		return false, fmt.Errorf("let the host forward: %w", err)
	}
	return true, nil
}

// defaultFlows is how many connections an instance may have, unless configured.
func defaultFlows() uint32 {
	b, err := os.ReadFile(conntrackMax)
	if err != nil {
		return DefaultMaxConnections
	}
	most, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || most == 0 { // 0: no bound
		return DefaultMaxConnections
	}
	return uint32(max(1, min(DefaultMaxConnections, most/8)))
}
