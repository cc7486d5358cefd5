package egress

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// noticed is what may have been lost of a network, by the kernel's messages: a cause to
// look, not more.
type noticed struct {
	rules   bool            // a rule of nftables has changed
	host    bool            // the gateway's address, or whether the host forwards
	leases  map[uint32]bool // links, by their host's end
	devices map[int]bool    // devices that do not forward any more, by index
	spaces  map[int]bool    // sandboxes, by the id of their namespace
	all     bool            // messages were lost: anything
}

func (c *noticed) anything() bool {
	return c.rules || c.host || c.all || len(c.leases)+len(c.devices)+len(c.spaces) > 0
}

// add adds what was noticed later.
func (c *noticed) add(d noticed) {
	c.rules, c.host, c.all = c.rules || d.rules, c.host || d.host, c.all || d.all
	for lease := range d.leases {
		note(&c.leases, lease)
	}
	for device := range d.devices {
		note(&c.devices, device)
	}
	for space := range d.spaces {
		note(&c.spaces, space)
	}
}

// notices reads the kernel's messages about changes of the host's network and of the
// namespaces that have links to it.
type notices struct {
	plan   plan
	leases *leases
	nudge  chan struct{} // signalled when something was noticed

	files []*os.File
	ended sync.WaitGroup

	mu      sync.Mutex // guards what follows
	noticed noticed
}

// Groups of messages, by protocol.
var (
	routeGroups  = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF}
	filterGroups = []int{unix.NFNLGRP_NFTABLES}
)

// listenForChanges asks the kernel for its messages, until close.
func listenForChanges(l *leases) (*notices, error) {
	s := &notices{plan: l.plan, leases: l, nudge: make(chan struct{}, 1)}
	for _, of := range []struct {
		protocol int
		groups   []int
		take     func(m syscall.NetlinkMessage, space int)
	}{
		{unix.NETLINK_ROUTE, routeGroups, s.takeRoute},
		{unix.NETLINK_NETFILTER, filterGroups, func(syscall.NetlinkMessage, int) { s.noticed.rules = true }},
	} {
		f, err := subscribe(of.protocol, of.groups)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("ask for changes of the host's network: %w", err)
		}
		s.files = append(s.files, f)
		s.ended.Go(func() { s.read(f, of.take) })
	}
	return s, nil
}

func (s *notices) close() {
	for _, f := range s.files {
		f.Close()
	}
	s.ended.Wait()
}

// subscribe returns a socket that receives a protocol's messages of these groups. Those of
// other namespaces come, too, if they have an id here: the kernel gives one to each that
// has a link to this one.
func subscribe(protocol int, groups []int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	for _, g := range groups {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g))
		}
	}
	if err == nil && protocol == unix.NETLINK_ROUTE {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// ownSpace is the space of messages about the daemon's own namespace.
const ownSpace = -1

// read takes messages until the socket is closed.
func (s *notices) read(f *os.File, take func(m syscall.NetlinkMessage, space int)) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	b, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	for {
		var n, oobn, flags int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), b, oob, 0)
			return rerr != unix.EAGAIN && rerr != unix.EINTR
		})
		if err != nil { // closed
			return
		}
		s.mu.Lock()
		messages, perr := syscall.ParseNetlinkMessage(b[:n])
		if rerr != nil || perr != nil || flags&unix.MSG_TRUNC != 0 {
			s.noticed.all = true // ENOBUFS: messages were lost
		}
		space := spaceOf(oob[:oobn])
		for _, m := range messages {
			take(m, space)
		}
		tell := s.noticed.anything()
		s.mu.Unlock()
		if tell {
			select {
			case s.nudge <- struct{}{}:
			default:
			}
		}
	}
}

// spaceOf returns the id of the namespace that a message is about.
func spaceOf(oob []byte) int {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return ownSpace
	}
	for _, c := range list {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(c.Data) >= 4 {
			return int(*(*int32)(unsafe.Pointer(&c.Data[0])))
		}
	}
	return ownSpace
}

// take returns what was noticed since the last call.
func (s *notices) take() noticed {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.noticed
	s.noticed = noticed{}
	return was
}

// takeRoute notes what a message about addresses, routes, rules and devices says is gone.
// The caller holds mu.
func (s *notices) takeRoute(m syscall.NetlinkMessage, space int) {
	var size, name int
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		size, name = unix.SizeofIfInfomsg, unix.IFLA_IFNAME
	case unix.RTM_DELADDR:
		size, name = unix.SizeofIfAddrmsg, unix.IFA_LOCAL
	case unix.RTM_DELROUTE:
		size, name = unix.SizeofRtMsg, unix.RTA_DST
	case unix.RTM_DELRULE:
		size = unix.SizeofRtMsg
	case unix.RTM_NEWNETCONF:
		size = sizeofNetconf
	default:
		return
	}
	if len(m.Data) < size {
		return
	}
	if space != ownSpace {
		if m.Header.Type != unix.RTM_NEWNETCONF && (m.Header.Type != unix.RTM_NEWLINK || !works(m.Data)) {
			note(&s.noticed.spaces, space)
		}
		return
	}
	attrs, err := nl.ParseRouteAttr(m.Data[size:])
	if err != nil {
		s.noticed.all = true
		return
	}
	value := attribute(attrs, name)
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		s.takeLink(text(value), text(attribute(attrs, unix.IFLA_IFALIAS)), number(attribute(attrs, unix.IFLA_GROUP)),
			m.Header.Type == unix.RTM_NEWLINK && works(m.Data))
	case unix.RTM_DELADDR, unix.RTM_DELROUTE:
		addr, _ := netip.AddrFromSlice(value)
		if lease, ok := s.plan.lease(addr); ok {
			note(&s.noticed.leases, lease)
		}
		s.noticed.host = s.noticed.host || addr == s.plan.gateway()
	case unix.RTM_NEWNETCONF:
		s.takeNetconf(attrs)
	}
}

// takeLink notes a device of the host that is not as a link has to be. The caller holds mu.
func (s *notices) takeLink(name, alias string, group uint32, works bool) {
	lease, ok := s.plan.leaseOf(name)
	if ok && (!works || alias == "" || group != s.leases.group(lease)) {
		note(&s.noticed.leases, lease)
	}
	// One that was renamed still says whose it is.
	if held, ok := s.leases.of(alias); ok && s.plan.device(held) != name {
		note(&s.noticed.leases, held)
	}
}

// The kernel's struct netconfmsg has a family in its only byte, and attributes follow at a
// multiple of four.
const (
	sizeofNetconf     = 4
	netconfIndex      = 1  // NETCONFA_IFINDEX
	netconfForwarding = 2  // NETCONFA_FORWARDING
	netconfAll        = -1 // NETCONFA_IFINDEX_ALL
	netconfDefault    = -2 // NETCONFA_IFINDEX_DEFAULT
)

// takeNetconf notes that forwarding was turned off. The caller holds mu.
func (s *notices) takeNetconf(attrs []syscall.NetlinkRouteAttr) {
	on := attribute(attrs, netconfForwarding)
	if on == nil || number(on) != 0 {
		return
	}
	switch index := int(int32(number(attribute(attrs, netconfIndex)))); index {
	case netconfAll, netconfDefault:
		s.noticed.host = true
	default:
		note(&s.noticed.devices, index)
	}
}

func note[K comparable](set *map[K]bool, key K) {
	if *set == nil {
		*set = map[K]bool{}
	}
	(*set)[key] = true
}

// works reports whether a message about a device says that it is up, and without ARP as links
// are.
func works(info []byte) bool {
	flags := nl.DeserializeIfInfomsg(info).Flags
	return flags&unix.IFF_UP != 0 && flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0
}

func attribute(attrs []syscall.NetlinkRouteAttr, kind int) []byte {
	for _, a := range attrs {
		if int(a.Attr.Type) == kind {
			return a.Value
		}
	}
	return nil
}

// text returns a string that may end with a zero byte.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// number returns a number in the machine's byte order, 0 if there is none.
func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return nl.NativeEndian().Uint32(b)
}
