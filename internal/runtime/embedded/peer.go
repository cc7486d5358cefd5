package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The addresses that connections to an application come from: neither loopback nor
// the instance's own, so that an application that serves some pages to its own machine
// only keeps them from everybody else. App Runner's requests and health checks come
// from 169.254.172.1 too, which an instance cannot reach in any other way: link-local
// addresses are refused to it.
var (
	peer4 = netip.AddrFrom4([4]byte{169, 254, 172, 1})
	peer6 = netip.MustParseAddr("fd9b:7a1d:53c8::1") // to applications at ::1 only; of no network
)

// The routes back to these addresses lead to the instance's loopback device, where the
// dialling socket is. They are in a table of their own, which only packets to them
// look into: the kernel therefore does not count the addresses as the instance's, no
// list of its addresses shows them, and a program without CAP_NET_RAW cannot connect
// from the IPv4 one.
const (
	peerTable    = 172
	peerPriority = 172
)

// admitPeers makes the routes in a sandbox's network namespace. It may be repeated.
func admitPeers(netns, home *os.File) error {
	var h *netlink.Handle
	err := inNamespace(int(netns.Fd()), int(home.Fd()), func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return fmt.Errorf("open the sandbox's network: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo) // without which it has no routes
	}
	if err == nil {
		err = admitPeer(h, lo, peer4)
	}
	if err != nil {
		return fmt.Errorf("route to the router in the sandbox: %w", err)
	}
	err = admitPeer(h, lo, peer6)
	if err != nil && !slices.ContainsFunc(noIPv6, func(e error) bool { return errors.Is(err, e) }) {
		return fmt.Errorf("route to the router by IPv6 in the sandbox: %w", err)
	}
	return nil
}

// admitPeersAgain is admitPeers where somebody may have removed a route. It says what was
// missing, nil for nothing.
func admitPeersAgain(netns, home *os.File) (missing, err error) {
	err = inNamespace(int(netns.Fd()), int(home.Fd()), func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		if routes, err := h.RouteGet(peer4.AsSlice()); err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			missing = errors.New("its route to the router is gone")
		}
		return nil
	})
	if err != nil || missing == nil {
		return nil, err
	}
	return missing, admitPeers(netns, home)
}

// noIPv6 are the errors of a kernel without IPv6, or which has it turned off. Then
// nothing listens at ::1 either.
var noIPv6 = []error{unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EACCES, unix.ENODEV}

// admitPeer makes the route to one of the addresses.
func admitPeer(h *netlink.Handle, lo netlink.Link, peer netip.Addr) error {
	to := &net.IPNet{IP: peer.AsSlice(), Mask: net.CIDRMask(peer.BitLen(), peer.BitLen())}
	rule := netlink.NewRule()
	rule.Family, rule.Dst, rule.Table, rule.Priority = unix.AF_INET, to, peerTable, peerPriority
	if peer.Is6() {
		rule.Family = unix.AF_INET6
	}
	route := netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: to, Table: peerTable, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
	}
	switch err := h.RuleAdd(rule); {
	case errors.Is(err, unix.EEXIST):
	case errors.Is(err, unix.EOPNOTSUPP) && peer.Is4():
		// A kernel with one table only: the address counts as the instance's, but no
		// list of its addresses shows it.
		route.Table = unix.RT_TABLE_LOCAL
	case err != nil:
		return err
	}
	return h.RouteReplace(&route)
}

// fromPeer makes a socket's connection come from the router's address.
func fromPeer(fd, family int) error {
	// The port is chosen when it connects: one is then good for many destinations.
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	var from unix.Sockaddr = &unix.SockaddrInet4{Addr: peer4.As4()}
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if family == unix.AF_INET6 {
		from = &unix.SockaddrInet6{Addr: peer6.As16()}
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, from))
}
