package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestReach(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	for _, r := range []struct {
		name  string
		netns *os.File
	}{
		{"own namespace", newNamespace(t)},
		{"namespace of another user namespace", newUserNamespace(t)},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := attach(t, n, r.name, r.netns)
			for _, to := range []string{outsideAddr, farAddr} {
				from, err := s.greet(to + ":80")
				check(t, err)
				if from != hostAddr {
					t.Errorf("the outside at %s was called from %s, want the host's %s", to, from, hostAddr)
				}
			}
			s.echo("hello")
			for _, network := range []string{"udp", "tcp"} {
				reply, err := s.lookup(network, outsideName, dns.TypeA)
				check(t, err)
				if len(reply.Answer) != 1 || !strings.Contains(reply.Answer[0].String(), outsideAddr) {
					t.Errorf("%s has %v over %s, want %s", outsideName, reply.Answer, network, outsideAddr)
				}
			}
			ping(t, s)
		})
	}
}

// ping sends an ICMP echo request outside and waits for the reply.
func ping(t *testing.T, s *sandbox) {
	t.Helper()
	c, err := s.dial("ip4:icmp", outsideAddr)
	check(t, err)
	_, err = c.Write([]byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}) // type, code, checksum, id, sequence
	check(t, err)
	b := make([]byte, 64)
	size, err := c.Read(b)
	check(t, err)
	const header = 20 // of IP
	if want := []byte{0, 0, 0xff, 0xfd, 0, 1, 0, 1}; !bytes.Equal(b[min(header, size):size], want) {
		t.Errorf("ping came back as %x, want %x", b[:size], want)
	}
}

func TestRefused(t *testing.T) {
	l := newTestHost(t)
	host := self(t)
	served := serveTCP(t, listenIn(t, host, "0.0.0.0:8080"))
	allowed := serveTCP(t, listenIn(t, host, "0.0.0.0:8443"))

	n := newNetwork(t, Config{AllowHostPorts: []uint16{8443, 80}, Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/25")}})
	other := newNetwork(t, Config{Name: "other", Prefix: netip.MustParsePrefix("198.19.0.0/24")})
	s := attach(t, n, "a", newNamespace(t))
	neighbour := attach(t, n, "b", newNamespace(t))
	reached := serveTCP(t, listenIn(t, neighbour.netns, "0.0.0.0:80"))
	// A proxy of metadata on the host itself, as some clouds' agents have it.
	address(t, l.route, "lo", "169.254.169.253/32")
	t.Cleanup(func() {
		lo, err := l.route.LinkByName("lo")
		check(t, err)
		check(t, l.route.AddrDel(lo, &netlink.Addr{IPNet: hostNet("169.254.169.253")}))
	})
	metadata := serveTCP(t, listenIn(t, host, "169.254.169.253:80"))

	for _, to := range []string{
		neighbour.link.Addr.Addr().String() + ":80", // another instance
		hostAddr + ":8080",                          // the host, by its outer address
		n.plan.gateway().String() + ":8080",         // by the gateway's
		other.plan.gateway().String() + ":8080",     // by another network's gateway
		"169.254.169.254:80",                        // metadata, outside
		"169.254.170.2:80",                          // credentials of containers on AWS
		"169.254.169.253:80",                        // metadata, on the host
		"100.100.100.200:80",                        // metadata of Alibaba Cloud
		"168.63.129.16:80",                          // Azure's WireServer
		farAddr + ":80",                             // denied by configuration
		"240.0.0.1:80",                              // reserved
		n.plan.address(77).String() + ":80",         // an address that nobody has
	} {
		if from, err := s.greet(to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: got %q, %v; want connection refused", to, from, err)
		}
	}
	for name, n := range map[string]int64{
		"the host's port": served.Load(), "the neighbour": reached.Load(),
		"the host's metadata proxy": metadata.Load(),
	} {
		if n != 0 {
			t.Errorf("%s was connected to %d times", name, n)
		}
	}

	for _, to := range []string{hostAddr, n.plan.gateway().String()} {
		from, err := s.greet(to + ":8443")
		check(t, err)
		if want := s.link.Addr.Addr().String(); from != want {
			t.Errorf("the host was called from %s, want %s", from, want)
		}
	}
	if allowed.Load() != 2 {
		t.Errorf("the host's allowed port was connected to %d times, want 2", allowed.Load())
	}
	c, err := s.dial("udp", hostAddr+":8443")
	check(t, err)
	_, err = io.WriteString(c, "x")
	check(t, err)
	if _, err = c.Read(make([]byte, 1)); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("a datagram to an allowed TCP port of the host: %v, want no route to host", err)
	}
}

func hostNet(a string) *net.IPNet { return host(netip.MustParseAddr(a)) }

// TestControl checks that what TestRefused, TestInbound and TestForged show is
// the rules' doing: without them, the same packets arrive.
func TestControl(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	neighbour := attach(t, n, "b", newNamespace(t))
	serveTCP(t, listenIn(t, neighbour.netns, "0.0.0.0:80"))
	serveTCP(t, listenIn(t, self(t), "0.0.0.0:8080"))
	routeBack(t, l, n)
	check(t, n.table.remove())

	for _, to := range []string{
		neighbour.link.Addr.Addr().String() + ":80", hostAddr + ":8080", "169.254.169.254:80", farAddr + ":80",
	} {
		_, err := s.greet(to)
		check(t, err)
	}
	inwards := &sandbox{t: t, netns: l.outside}
	_, err := inwards.greet(neighbour.link.Addr.Addr().String() + ":80")
	check(t, err)

	check(t, withOptions(t, s))
	eventually(t, "the datagram with options arrives", func() bool {
		return slices.Contains(l.saw(), s.link.Addr.Addr().String()+" options")
	})
	c := forge(t, s, neighbour.link.Addr.Addr())
	_, err = io.WriteString(c, "forged")
	check(t, err)
	eventually(t, "the forged datagram arrives", func() bool {
		return slices.Contains(l.saw(), neighbour.link.Addr.Addr().String()+" forged")
	})
}

// routeBack lets the outside know a way to instances' addresses.
func routeBack(t *testing.T, l *testHost, n *Network) {
	t.Helper()
	_, to, err := net.ParseCIDR(n.plan.prefix.String())
	check(t, err)
	check(t, handleIn(t, l.outside).RouteReplace(&netlink.Route{Dst: to, Gw: net.ParseIP(hostAddr)}))
}

// forge returns a socket of a sandbox with another source address.
func forge(t *testing.T, s *sandbox, from netip.Addr) net.Conn {
	t.Helper()
	address(t, handleIn(t, s.netns), inner, from.String()+"/32")
	c, err := s.dialFrom("udp", from.String(), outsideAddr+":7")
	check(t, err)
	return c
}

func TestForged(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	neighbour := attach(t, n, "b", newNamespace(t))

	for _, from := range []netip.Addr{
		neighbour.link.Addr.Addr(),         // another instance's
		n.plan.address(99),                 // nobody's
		netip.MustParseAddr(hostAddr),      // the host's
		netip.MustParseAddr("203.0.113.9"), // the outside's
		n.plan.gateway(),
	} {
		_, err := io.WriteString(forge(t, s, from), "forged")
		if err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("send from %s: %v", from, err)
		}
	}
	check(t, withOptions(t, s))
	// Datagrams of one link arrive in order: what has not come before this one
	// will not come.
	s.echo("honest")
	if diff := cmp.Diff([]string{hostAddr + " honest"}, l.saw()); diff != "" {
		t.Errorf("what the outside saw (-want +got):\n%s", diff)
	}
}

// withOptions sends a datagram whose IP header has an option.
func withOptions(t *testing.T, s *sandbox) error {
	t.Helper()
	c, err := s.dialFrom("udp", s.link.Addr.Addr().String(), outsideAddr+":7")
	check(t, err)
	raw, err := c.(*net.UDPConn).SyscallConn()
	check(t, err)
	var sockErr error
	check(t, raw.Control(func(fd uintptr) {
		sockErr = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, "\x07\x07\x04\x00\x00\x00\x00\x00") // record route
	}))
	check(t, sockErr)
	_, err = io.WriteString(c, "options")
	return err
}

func TestIPv6(t *testing.T) {
	newTestHost(t)
	if _, err := os.Stat(ipv6Devices); err != nil {
		t.Skip("the kernel has no IPv6")
	}
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	device := devices(t, n)[0]
	for _, side := range []struct {
		h      *netlink.Handle
		device string
	}{{handleIn(t, self(t)), device}, {handleIn(t, s.netns), inner}} {
		link, err := side.h.LinkByName(side.device)
		check(t, err)
		addrs, err := side.h.AddrList(link, netlink.FAMILY_V6)
		check(t, err)
		if len(addrs) != 0 {
			t.Errorf("%s has IPv6 addresses %v", side.device, addrs)
		}
	}

	// An instance, and somebody on the host, who turn it on all the same.
	enable := func(device string) error {
		return os.WriteFile(filepath.Join(ipv6Devices, device, "disable_ipv6"), []byte("0"), 0)
	}
	check(t, enable(device))
	check(t, inside(s.netns, func() error { return enable(inner) }))
	address(t, handleIn(t, self(t)), device, "fd00::1/64")
	address(t, handleIn(t, s.netns), inner, "fd00::2/64")
	server := listenPacketIn(t, self(t), "[fd00::1]:7")
	send := func() {
		c, err := s.dial("udp", "[fd00::1]:7")
		check(t, err)
		_, err = io.WriteString(c, "six")
		check(t, err)
	}
	received := func() bool { return received(t, server) }
	send()
	s.echo("four")
	if received() {
		t.Error("an IPv6 datagram reached the host")
	}
	check(t, n.table.remove())
	eventually(t, "without rules, an IPv6 datagram reaches the host", func() bool { send(); return received() })
}

func TestInbound(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	at := s.link.Addr.Addr().String()
	served := serveTCP(t, listenIn(t, s.netns, "0.0.0.0:80"))
	server := listenPacketIn(t, s.netns, "0.0.0.0:7")
	routeBack(t, l, n)

	onHost := &sandbox{t: t, netns: self(t)}
	if _, err := onHost.greet(at + ":80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the host connects to an instance: %v, want connection refused", err)
	}
	fromOutside := &sandbox{t: t, netns: l.outside}
	c, err := fromOutside.dial("udp", at+":7")
	check(t, err)
	_, err = io.WriteString(c, "unasked")
	check(t, err)
	s.echo("asked") // comes back by the same path, after the other
	if received(t, server) {
		t.Error("a datagram from outside reached the instance")
	}

	// An instance of another daemon is as much outside.
	other := newNetwork(t, Config{Name: "other", Prefix: netip.MustParsePrefix("198.19.0.0/24")})
	c, err = attach(t, other, "b", newNamespace(t)).dial("udp", at+":7")
	check(t, err)
	_, err = io.WriteString(c, "unasked")
	check(t, err)
	s.echo("asked")
	if received(t, server) {
		t.Error("a datagram of another daemon's instance reached the instance")
	}

	check(t, n.table.remove())
	_, err = io.WriteString(c, "let in")
	check(t, err)
	eventually(t, "without rules, a datagram reaches the instance", func() bool { return received(t, server) })
	if served.Load() != 0 {
		t.Errorf("the instance was connected to %d times", served.Load())
	}
}

// received takes a datagram from a socket if there is one by now.
func received(t *testing.T, c net.PacketConn) bool {
	t.Helper()
	raw, err := c.(*net.UDPConn).SyscallConn()
	check(t, err)
	var got error
	check(t, raw.Control(func(fd uintptr) { _, _, got = unix.Recvfrom(int(fd), make([]byte, 64), unix.MSG_DONTWAIT) }))
	if got != nil && !errors.Is(got, unix.EAGAIN) {
		t.Fatal(got)
	}
	return got == nil
}

func TestRecovery(t *testing.T) {
	newTestHost(t)
	before := newNetwork(t, Config{})
	kept := attach(t, before, "kept", newNamespace(t))
	lost := attach(t, before, "lost", newNamespace(t))
	c, err := kept.dial("udp", outsideAddr+":7")
	check(t, err)
	talk := func() {
		t.Helper()
		_, err := io.WriteString(c, "still")
		check(t, err)
		_, err = c.Read(make([]byte, 8))
		check(t, err)
	}
	talk()

	// A link of a daemon that died between making and naming it.
	half := newNamespace(t)
	attach(t, before, "half", half)
	check(t, before.netHandle.Load().disown(devices(t, before)[2]))
	names := devices(t, before)

	after := newNetwork(t, Config{})
	talk()
	for range 2 {
		link, err := after.Attach(t.Context(), "kept", kept.netns)
		check(t, err)
		if diff := cmp.Diff(kept.link.Addr.String(), link.Addr.String()); diff != "" {
			t.Errorf("attached again (-before +after):\n%s", diff)
		}
	}
	again := attach(t, after, "half", half)
	again.echo("whole")
	if diff := cmp.Diff(names, devices(t, after)); diff != "" {
		t.Errorf("devices after attaching again (-before +after):\n%s", diff)
	}
	fresh := attach(t, after, "fresh", newNamespace(t))
	if a := fresh.link.Addr; a == kept.link.Addr || a == lost.link.Addr || a == again.link.Addr {
		t.Errorf("address %s was leased twice", a)
	}

	check(t, after.Sweep(t.Context(), map[string][]string{"kept": nil}))
	if got := devices(t, after); slices.Contains(got, names[1]) || len(got) != 3 {
		t.Errorf("devices after the sweep %v, want those of kept, half and fresh", got)
	}
	talk()
	again.echo("whole")
	fresh.echo("fresh")
	check(t, after.Sweep(t.Context(), nil))
	if got := devices(t, after); len(got) != 3 {
		t.Errorf("devices %v after a sweep that keeps nothing, want those attached by this process", got)
	}
}

func TestAttachElsewhere(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	first := attach(t, n, "a", newNamespace(t))
	second := attach(t, n, "a", newNamespace(t))
	second.echo("moved")
	if first.link.Addr == second.link.Addr {
		t.Errorf("both namespaces have address %s", first.link.Addr)
	}
	check(t, n.Detach(t.Context(), "a"))
	check(t, n.Detach(t.Context(), "a"))
	if _, err := n.Attach(t.Context(), "a", second.netns); err == nil {
		t.Error("a namespace that was detached was attached again")
	}

	foreign := newNamespace(t)
	h := handleIn(t, foreign)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = inner
	check(t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: n.plan.device(5)}))
	if _, err := n.Attach(t.Context(), "b", foreign); err == nil {
		t.Error("a namespace with a device eth0 of its own was attached")
	}
	check(t, n.deleteEnded(t.Context(), n.netHandle.Load(), n.leases.ended(time.Now().Add(time.Hour))))
	if got := devices(t, n); len(got) != 0 {
		t.Errorf("devices %v are left", got)
	}
}

func TestLeaksNothing(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{Prefix: netip.MustParsePrefix("198.18.0.0/26")}) // 61 leases: they are used again
	start(t, n)
	files := openFiles(t)
	const rounds, each = 10, 10
	for round := range rounds {
		var spaces []*os.File
		for i := range each {
			ns := newNamespace(t)
			spaces = append(spaces, ns)
			name := fmt.Sprintf("%d-%d", round, i)
			var link Link
			eventually(t, "a lease is free", func() bool {
				var err error
				link, err = n.Attach(t.Context(), name, ns)
				if err != nil && !errors.Is(err, errExhausted) {
					t.Fatal(err)
				}
				return err == nil
			})
			s := &sandbox{t: t, netns: ns, link: link}
			s.echo(name)
		}
		for i, ns := range spaces {
			if i%2 == 0 { // the others' links have to be deleted
				ns.Close()
			}
			check(t, n.Detach(t.Context(), fmt.Sprintf("%d-%d", round, i)))
		}
		for _, ns := range spaces {
			defer ns.Close()
		}
	}
	eventually(t, "all links are gone", func() bool { return len(devices(t, n)) == 0 })
	eventually(t, "all leases are free", func() bool {
		n.leases.mu.Lock()
		defer n.leases.mu.Unlock()
		return len(n.leases.states) == 0 && len(n.leases.held) == 0
	})
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	check(t, err)
	for _, f := range flows {
		if a, _ := netip.AddrFromSlice(f.Forward.SrcIP); n.plan.prefix.Contains(a.Unmap()) {
			t.Errorf("connection %s is left", f)
		}
	}
	if got := len(l.saw()); got != rounds*each {
		t.Errorf("the outside had %d datagrams, want %d", got, rounds*each)
	}
	const watch = 2                                           // of the rules, and of links
	if got := openFiles(t); got > files+watch+rounds*each/2 { // the namespaces still open
		t.Errorf("%d open files, %d before", got, files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(entries)
}

func TestSetupTwice(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	rules := ruleset(t)
	check(t, n.Setup(t.Context()))
	check(t, newNetwork(t, Config{}).Setup(t.Context()))
	s.echo("on")
	if got := ruleset(t); got["chains"] != rules["chains"] || got["rules"] != rules["rules"] || got["tables"] != 1 {
		t.Errorf("rules after three set-ups %v, after one %v", got, rules)
	}

	for _, r := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"another daemon's prefix", Config{Name: "other"}, "another prefix is needed"},
		{"the uplink's network", Config{
			Name: "other", Prefix: netip.MustParsePrefix("192.0.0.0/16"), Resolvers: []netip.AddrPort{netip.MustParseAddrPort(farAddr + ":53")},
		}, "route to 192.0.2."},
	} {
		err := plainNetwork(t, r.cfg).Setup(t.Context())
		if err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s: %v, want an error with %q", r.name, err, r.want)
		}
	}

	check(t, n.Teardown(t.Context()))
	if got := ruleset(t); got["tables"] != 0 || len(devices(t, n)) != 0 {
		t.Errorf("after the teardown: %v, devices %v", got, devices(t, n))
	}
	lo, err := l.route.LinkByName("lo")
	check(t, err)
	addrs, err := l.route.AddrList(lo, netlink.FAMILY_V4)
	check(t, err)
	if len(addrs) != 1 {
		t.Errorf("addresses of lo after the teardown: %v", addrs)
	}
	if _, err := n.Attach(t.Context(), "a", s.netns); !errors.Is(err, errNotSetUp) {
		t.Errorf("attach after the teardown: %v", err)
	}
}

// TestFailedSetup checks that what a failed set-up has made is undone, and that one in
// the way of another server's network names it.
func TestFailedSetup(t *testing.T) {
	l := newTestHost(t)
	failed := plainNetwork(t, Config{})
	w, err := openHandle()
	check(t, err)
	defer w.close()
	check(t, w.addGateway(failed.plan))
	failed.undo(w)
	lo, err := l.route.LinkByName("lo")
	check(t, err)
	addrs, err := l.route.AddrList(lo, netlink.FAMILY_V4)
	check(t, err)
	if got := ruleset(t); got["tables"] != 0 || len(addrs) != 1 {
		t.Errorf("it leaves %v and the addresses %v", got, addrs)
	}
	n := newNetwork(t, Config{Name: "first"})
	err = plainNetwork(t, Config{Name: "second"}).Setup(t.Context())
	if err == nil || !strings.Contains(err.Error(), "network first of another slipway server") || !strings.Contains(err.Error(), "nft delete table inet first-egress") {
		t.Errorf("in the way of another: %v", err)
	}
	check(t, n.Teardown(t.Context()))
}

// ruleset counts what is in the host's nftables.
func ruleset(t *testing.T) map[string]int {
	t.Helper()
	c, err := nftables.New()
	check(t, err)
	tables, err := c.ListTables()
	check(t, err)
	chains, err := c.ListChains()
	check(t, err)
	counts := map[string]int{"tables": len(tables), "chains": len(chains)}
	for _, ch := range chains {
		rules, err := c.GetRules(ch.Table, ch)
		check(t, err)
		counts["rules"] += len(rules)
	}
	return counts
}

// A chain with a rule less, or one more, is found.
func TestIntact(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	counts, err := n.table.rules()
	check(t, err)
	if diff := cmp.Diff(n.table.counts, counts); diff != "" || !n.table.intact() {
		t.Fatalf("as installed it is intact: %t; rules %s", n.table.intact(), diff)
	}
	c, err := nftables.New()
	check(t, err)
	chain := &nftables.Chain{Table: n.table.handle(), Name: "classify"}
	rules, err := c.GetRules(n.table.handle(), chain)
	check(t, err)
	c.AddRule(&nftables.Rule{Table: n.table.handle(), Chain: chain, Exprs: accept()})
	check(t, c.Flush())
	if n.table.intact() {
		t.Error("with a rule that lets all through it is intact")
	}
	c.FlushChain(chain)
	for _, r := range rules[1:] {
		c.AddRule(&nftables.Rule{Table: n.table.handle(), Chain: chain, Exprs: r.Exprs})
	}
	check(t, c.Flush())
	if n.table.intact() {
		t.Error("without its first rule it is intact")
	}
	check(t, n.table.remove())
	if n.table.counts = counts; n.table.intact() {
		t.Error("a table that is gone is intact")
	}
}

// BenchmarkIntact is what a change to any rule of the host costs.
func BenchmarkIntact(b *testing.B) {
	newTestHost(b)
	n := newNetwork(b, Config{})
	for b.Loop() {
		if !n.table.intact() {
			b.Fatal("it is not intact")
		}
	}
}

// TestRulesRemoved flushes all rules under a running network.
func TestRulesRemoved(t *testing.T) {
	newTestHost(t)
	n := plainNetwork(t, Config{})
	t.Cleanup(func() { check(t, n.Teardown(context.Background())) })
	start(t, n)
	eventually(t, "the network serves", func() bool { return n.netHandle.Load() != nil })
	s := attach(t, n, "a", newNamespace(t))
	s.echo("before")
	rules := ruleset(t)
	c, err := nftables.New()
	check(t, err)
	c.FlushRuleset()
	check(t, c.Flush())
	eventually(t, "the rules are back", func() bool { return cmp.Equal(ruleset(t), rules) })
	s.echo("after")
	if _, err := s.greet("169.254.169.254:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("metadata after the rules came back: %v, want connection refused", err)
	}
}

// A sandbox that was cut off reaches neither the outside nor the host, and is detached
// as others are.
func TestCut(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	s, other := attach(t, n, "a", newNamespace(t)), attach(t, n, "b", newNamespace(t))
	_, err := s.greet(outsideAddr + ":80")
	check(t, err)
	check(t, n.Cut(t.Context(), "a", s.netns))
	if from, err := s.greet(outsideAddr + ":80"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("cut off, it reaches the outside as %s: %v", from, err)
	}
	_, err = other.greet(outsideAddr + ":80")
	check(t, err)
	check(t, n.Detach(t.Context(), "a"))
}

func TestConnectionBound(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{MaxConnections: 5})
	greedy := attach(t, n, "a", newNamespace(t))
	modest := attach(t, n, "b", newNamespace(t))
	for range 5 {
		c, err := greedy.dial("tcp", outsideAddr+":80")
		check(t, err)
		defer c.Close()
	}
	if _, err := greedy.dial("tcp", outsideAddr+":80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connection 6 of 5: %v, want connection refused", err)
	}
	_, err := modest.greet(outsideAddr + ":80")
	check(t, err)
}

func TestRateBound(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{MaxNewConnections: 1})
	greedy := attach(t, n, "a", newNamespace(t))
	modest := attach(t, n, "b", newNamespace(t))
	refused := false
	for range 1000 { // faster than one a second, on any machine
		if _, err := greedy.greet(outsideAddr + ":80"); errors.Is(err, unix.ECONNREFUSED) {
			refused = true
			break
		}
	}
	if !refused {
		t.Error("1000 connections in a row were let through, at a bound of one a second")
	}
	_, err := modest.greet(outsideAddr + ":80")
	check(t, err)
}

func TestForwarded(t *testing.T) {
	newTestHost(t)
	// A server for the host only, and one that has port 53 of every address.
	udp := listenPacketIn(t, self(t), "127.0.0.1:0")
	at := addrPort(udp.LocalAddr())
	serveDNS(t, udp, listenIn(t, self(t), at.String()), answers)
	listenPacketIn(t, self(t), "0.0.0.0:53")
	listenIn(t, self(t), "0.0.0.0:53")

	n := newNetwork(t, Config{Resolvers: []netip.AddrPort{at}})
	stop := start(t, n)
	s := attach(t, n, "a", newNamespace(t))
	if want := "nameserver " + n.plan.gateway().String() + "\n"; string(s.link.Resolv) != want {
		t.Fatalf("resolv.conf is %q, want %q", s.link.Resolv, want)
	}
	for _, network := range []string{"udp", "tcp"} {
		reply, err := s.lookup(network, outsideName, dns.TypeA)
		check(t, err)
		if len(reply.Answer) != 1 {
			t.Errorf("%s over %s: %v", outsideName, network, reply)
		}
		if reply, err = s.lookup(network, "intranet.", dns.TypeA); err != nil || reply.Rcode != dns.RcodeNameError {
			t.Errorf("a name of one label over %s: %v, %v", network, reply, err)
		}
	}
	udpPort, _ := n.forwarder.ports()
	c, err := s.dial("udp", netip.AddrPortFrom(n.plan.gateway(), udpPort).String())
	check(t, err)
	_, err = io.WriteString(c, "x")
	check(t, err)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("the forwarder's own port: %v, want no route to host", err)
	}

	// A daemon that starts again has other ports.
	stop()
	start(t, plainNetwork(t, Config{Resolvers: []netip.AddrPort{at}}))
	eventually(t, "DNS works again", func() bool {
		reply, err := s.lookup("tcp", outsideName, dns.TypeA)
		return err == nil && len(reply.Answer) == 1
	})
}

func TestEndedContext(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Attach(ctx, "a", newNamespace(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("attach: %v", err)
	}
	if got := devices(t, n); len(got) != 0 {
		t.Errorf("devices %v", got)
	}
}

// TestUnprivileged sets a network up as a user who may not.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() == 0 {
		newTestHost(t)
		c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestUnprivileged$", "-test.count=1", "-test.v")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestUnprivileged")) {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
		return
	}
	if err := plainNetwork(t, Config{}).Setup(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("set up without rights: %v, want %v", err, ErrUnavailable)
	}
}

// BenchmarkAttach measures Attach by itself, and with the kernel busy deleting the
// links of sandboxes that ended: both need the one lock of all network
// configuration.
func BenchmarkAttach(b *testing.B) {
	for _, ending := range []bool{false, true} {
		name := "quiet"
		if ending {
			name = "others ending"
		}
		b.Run(name, func(b *testing.B) {
			newTestHost(b)
			n := newNetwork(b, Config{Log: slog.New(slog.DiscardHandler)})
			start(b, n)
			var took []time.Duration
			for i := range b.N {
				ns := newNamespace(b)
				sandbox := strconv.Itoa(i)
				begun := time.Now()
				_, err := n.Attach(b.Context(), sandbox, ns)
				took = append(took, time.Since(begun))
				check(b, err)
				if ending {
					check(b, n.Detach(b.Context(), sandbox))
					ns.Close()
				}
			}
			// Making namespaces is not what is measured.
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-median/attach")
			b.ReportMetric(float64(took[len(took)*9/10].Microseconds()), "us-p90/attach")
		})
	}
}
