package egress

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A private network beside the test host.
const (
	nearDevice  = "near"
	nearGateway = "10.20.0.1" // the host's address there
	nearAddr    = "10.20.0.2" // another's, with a web and a DNS server
	nearOther   = "10.20.9.9" // of the network, and of no segment
)

var nearSegment = netip.MustParsePrefix("10.20.0.0/24")

// nearby joins the private network to the host.
func nearby(t testing.TB, l *testHost) *os.File {
	t.Helper()
	near := newNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nearDevice
	check(t, l.route.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nearDevice, PeerNamespace: netlink.NsFd(near.Fd())}))
	t.Cleanup(func() {
		link, err := l.route.LinkByName(nearDevice)
		check(t, err)
		check(t, l.route.LinkDel(link))
	})
	address(t, l.route, nearDevice, nearGateway+"/16")
	up(t, l.route, nearDevice)
	h := handleIn(t, near)
	up(t, h, "lo")
	address(t, h, nearDevice, nearAddr+"/16")
	address(t, h, nearDevice, nearOther+"/16")
	up(t, h, nearDevice)
	serveTCP(t, listenIn(t, near, "0.0.0.0:80"))
	serveDNS(t, listenPacketIn(t, near, "0.0.0.0:53"), listenIn(t, near, "0.0.0.0:53"), func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.Answer = append(r.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(nearAddr),
		})
		_ = w.WriteMsg(r)
	})
	return near
}

// confine attaches a sandbox that reaches only segments.
func confine(t testing.TB, n *Network, name string, segments ...string) *sandbox {
	t.Helper()
	s := attach(t, n, name, newNamespace(t))
	link, err := n.Confine(t.Context(), name, segments)
	check(t, err)
	if link.Addr != s.link.Addr {
		t.Errorf("confined, %s has the address %s instead of %s", name, link.Addr, s.link.Addr)
	}
	s.link = link
	return s
}

func (s *sandbox) reaches(addrs ...string) {
	s.t.Helper()
	for _, to := range addrs {
		if _, err := s.greet(to); err != nil {
			s.t.Errorf("%s does not reach %s: %v", s.name, to, err)
		}
	}
}

func (s *sandbox) refused(addrs ...string) {
	s.t.Helper()
	for _, to := range addrs {
		if from, err := s.greet(to); !errors.Is(err, unix.ECONNREFUSED) {
			s.t.Errorf("%s to %s: got %q, %v; want connection refused", s.name, to, from, err)
		}
	}
}

// resolves asks the sandbox's own name server.
func (s *sandbox) resolves(name, want string) {
	s.t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		reply, err := s.lookup(network, name, dns.TypeA)
		if err != nil || len(reply.Answer) != 1 || !strings.HasSuffix(reply.Answer[0].String(), want) {
			s.t.Errorf("%s: %s over %s: %v, %v, want %s", s.name, name, network, reply, err, want)
		}
	}
}

func TestConfined(t *testing.T) {
	l := newTestHost(t)
	nearby(t, l)
	serveTCP(t, listenIn(t, self(t), "0.0.0.0:8080"))
	serveTCP(t, listenIn(t, self(t), "0.0.0.0:8443"))
	n := newNetwork(t, Config{
		AllowHostPorts: []uint16{8443},
		Segments: map[string]Segment{
			"near":   {Prefixes: []netip.Prefix{nearSegment}, Resolvers: []netip.Addr{netip.MustParseAddr(nearAddr)}},
			"far":    {Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28"), netip.MustParsePrefix("203.0.113.64/28")}},
			"silent": {Prefixes: []netip.Prefix{nearSegment}, NoDNS: true},
			"all":    {Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		},
	})
	free := attach(t, n, "free", newNamespace(t))
	near, far, both := confine(t, n, "near", "near"), confine(t, n, "far", "far"), confine(t, n, "both", "far", "near")
	silent, all := confine(t, n, "silent", "silent"), confine(t, n, "all", "all")
	serveTCP(t, listenIn(t, free.netns, "0.0.0.0:80"))

	free.reaches(outsideAddr+":80", farAddr+":80", nearOther+":80", hostAddr+":8443")
	free.refused(nearAddr + ":80") // private, and of a segment
	near.reaches(nearAddr+":80", nearGateway+":8443")
	near.refused(outsideAddr+":80", farAddr+":80", nearOther+":80", hostAddr+":8443", "203.0.113.64:80")
	far.reaches(farAddr + ":80")
	far.refused(outsideAddr+":80", nearAddr+":80", hostAddr+":8443", "203.0.113.32:80")
	both.reaches(nearAddr+":80", farAddr+":80")
	both.refused(outsideAddr+":80", nearOther+":80")
	silent.reaches(nearAddr + ":80")
	all.reaches(outsideAddr+":80", farAddr+":80", nearAddr+":80", hostAddr+":8443")
	for _, s := range []*sandbox{near, far, both, silent, all} {
		s.refused(hostAddr+":8080", nearGateway+":8080", n.plan.gateway().String()+":8080",
			free.link.Addr.Addr().String()+":80", "169.254.169.254:80", "100.100.100.200:80")
	}

	near.resolves("db.internal.", nearAddr)
	both.resolves("db.internal.", nearAddr)
	far.resolves(outsideName, outsideAddr)
	all.resolves(outsideName, outsideAddr)
	if s := parseResolvConf(silent.link.Resolv); len(s) != 0 {
		t.Errorf("a sandbox without DNS has the name servers %v", s)
	}
	near.refused(outsideAddr + ":53")
	silent.refused(outsideAddr+":53", n.plan.gateway().String()+":53")
	// A name server outside of the segments is one, and nothing else.
	far.refused(outsideAddr + ":80")
}

// What a confined sandbox has open goes on over a restart of the daemon. What it
// opens before the new daemon knows it is neither let out nor refused: it waits.
func TestConfinedRecovery(t *testing.T) {
	l := newTestHost(t)
	nearby(t, l)
	segments := map[string]Segment{"near": {Prefixes: []netip.Prefix{nearSegment, netip.PrefixFrom(netip.MustParseAddr(outsideAddr), 32)}}}
	before := newNetwork(t, Config{Segments: segments})
	s, free := confine(t, before, "s", "near"), attach(t, before, "free", newNamespace(t))
	c, err := s.dial("udp", outsideAddr+":7")
	check(t, err)
	talk := func() {
		t.Helper()
		_, err := io.WriteString(c, "still")
		check(t, err)
		_, err = c.Read(make([]byte, 8))
		check(t, err)
	}
	talk()

	// The first daemon's rules only, as when it is killed, and the next one's.
	after := newNetwork(t, Config{Segments: segments})
	talk()
	free.reaches(farAddr + ":80")
	early, err := s.dial("udp", outsideAddr+":7")
	check(t, err)
	_, err = io.WriteString(early, "early")
	check(t, err)
	stray, err := s.dial("udp", farAddr+":7")
	check(t, err)
	_, err = io.WriteString(stray, "stray")
	check(t, err)
	waiting := make(chan error, 1)
	go func() {
		_, err := s.greet(nearAddr + ":80")
		waiting <- err
	}()
	talk()
	if saw := l.saw(); slices.ContainsFunc(saw, func(s string) bool { return strings.HasSuffix(s, "early") || strings.HasSuffix(s, "stray") }) {
		t.Errorf("a sandbox that is not known got out: %v", saw)
	}

	check(t, after.Sweep(t.Context(), map[string][]string{"s": {"near"}, "free": nil}))
	talk()
	if err := <-waiting; err != nil {
		t.Errorf("a connection begun between the daemons: %v", err)
	}
	s.reaches(nearAddr + ":80")
	s.refused(farAddr+":80", nearOther+":80")
	free.reaches(farAddr + ":80")

	// Networks that are configured no more are reached no more; others are.
	third := newNetwork(t, Config{})
	check(t, third.Sweep(t.Context(), map[string][]string{"s": {"near"}, "free": nil}))
	s.refused(nearAddr+":80", farAddr+":80")
	free.reaches(nearAddr + ":80") // of no segment any more
}

func TestConfinedVia(t *testing.T) {
	l := newTestHost(t)
	nearby(t, l)
	address(t, handleIn(t, l.outside), "lo", nearAddr+"/32") // an impostor
	n := newNetwork(t, Config{Segments: map[string]Segment{
		"near": {Prefixes: []netip.Prefix{nearSegment}, Via: nearDevice},
		"any":  {Prefixes: []netip.Prefix{nearSegment}},
	}})
	via, free := confine(t, n, "via", "near"), confine(t, n, "any", "any")
	via.reaches(nearAddr + ":80")
	open, err := via.dial("tcp", nearAddr+":80")
	check(t, err)
	check(t, open.SetDeadline(time.Now().Add(patience)))
	_, err = open.Read(make([]byte, 64))
	check(t, err)

	// The device's routes go, and the default route leads elsewhere.
	detour := &netlink.Route{Dst: hostNet(nearAddr), Gw: net.ParseIP(outsideAddr)}
	check(t, l.route.RouteAdd(detour))
	via.refused(nearAddr + ":80")
	free.reaches(nearAddr + ":80")
	_, err = io.WriteString(open, "x")
	check(t, err)
	if _, err = open.Read(make([]byte, 64)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("an open connection that is led elsewhere: %v, want a reset", err)
	}
	check(t, l.route.RouteDel(detour))
	via.reaches(nearAddr + ":80")
}

func TestIsolationGroups(t *testing.T) {
	newTestHost(t)
	segments := map[string]Segment{}
	for _, name := range []string{"a", "b", "c"} {
		segments[name] = Segment{Prefixes: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(outsideAddr), 32)}}
	}
	n := newNetwork(t, Config{Segments: segments})
	first := confine(t, n, "first", "a", "b")
	confine(t, n, "second", "b", "a", "b")
	if len(n.isolationGroups) != 1 {
		t.Errorf("the same segments are %d isolation groups", len(n.isolationGroups))
	}
	_, err := n.Confine(t.Context(), "first", []string{"c"})
	check(t, err)
	first.reaches(outsideAddr + ":80")
	check(t, n.Detach(t.Context(), "second"))
	confine(t, n, "third", "b")
	var groups []uint32
	for _, c := range n.isolationGroups {
		groups = append(groups, c.group)
	}
	if d := cmp.Diff([]uint32{groupOf([]string{"c"}), groupOf([]string{"b"})}, groups); d != "" {
		t.Errorf("classes (-want +got):\n%s", d)
	}

	for name, segments := range map[string][]string{"first": {"a", "none"}, "third": nil, "fourth": {"a"}} {
		if _, err := n.Confine(t.Context(), name, segments); err == nil {
			t.Errorf("%s was confined to %q", name, segments)
		}
	}
	first.reaches(outsideAddr + ":80") // as before
}

func TestPrivatePrefixes(t *testing.T) {
	t.Parallel()
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	got := privatePrefixes(map[string]Segment{
		"a": {Prefixes: prefixes("10.20.0.0/16", "0.0.0.0/0", "192.168.4.0/24", "8.0.0.0/5")},
		"b": {Prefixes: prefixes("203.0.113.0/24", "100.64.0.0/10", "10.20.0.0/16", "172.0.0.0/8")},
	})
	if want := prefixes("10.20.0.0/16", "100.64.0.0/10", "192.168.4.0/24"); !slices.Equal(got, want) {
		t.Errorf("private are %v, want %v", got, want)
	}
}

func TestSegmentChecked(t *testing.T) {
	t.Parallel()
	one := []netip.Prefix{nearSegment}
	addr := netip.MustParseAddr
	for name, z := range map[string]Segment{
		"no prefix":      {},
		"IPv6":           {Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00::/8")}},
		"bits beyond":    {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.20.0.1/16")}},
		"long device":    {Prefixes: one, Via: "a-device-with-sixteen"},
		"loopback DNS":   {Prefixes: one, Resolvers: []netip.Addr{addr("127.0.0.1")}},
		"IPv6 DNS":       {Prefixes: one, Resolvers: []netip.Addr{addr("fd00::1")}},
		"DNS and none":   {Prefixes: one, Resolvers: []netip.Addr{addr(nearAddr)}, NoDNS: true},
		"DNS in prefix":  {Prefixes: one, Resolvers: []netip.Addr{addr("198.18.0.9")}},
		"too many":       {Prefixes: one, Resolvers: []netip.Addr{addr("10.0.0.1"), addr("10.0.0.2"), addr("10.0.0.3"), addr("10.0.0.4")}},
		"unspecified":    {Prefixes: one, Resolvers: []netip.Addr{addr("0.0.0.0")}},
		"invalid prefix": {Prefixes: []netip.Prefix{{}}},
	} {
		cfg := Config{Segments: map[string]Segment{"z": z}, Log: slog.New(slog.DiscardHandler)}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "network z: ") {
			t.Errorf("%s: %v, want an error that names the network", name, err)
		}
	}
	if _, err := New(Config{Segments: map[string]Segment{"z": {Prefixes: one, Via: "wg0"}}, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(err)
	}
}
