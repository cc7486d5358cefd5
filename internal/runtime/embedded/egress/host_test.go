package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inHost is set in the environment of the process that has a network namespace
// of its own: that namespace is the host of these tests. They change its routes,
// rules and settings, so tests that use it do not run in parallel.
const inHost = "EGRESS_TEST_HOST"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	if os.Getenv(inHost) != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "turn on the loopback device:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the child dies with this thread
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inHost+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	if errors.Is(err, unix.EPERM) {
		os.Exit(m.Run()) // root without the right to namespaces: the tests skip
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace of their own:", err)
		os.Exit(1)
	}
}

// loopbackUp turns on the device that a new network namespace has turned off.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

const (
	hostAddr    = "192.0.2.1" // of the host towards the outside
	outsideAddr = "192.0.2.2"
	farAddr     = "203.0.113.7" // an address of the outside that only the default route leads to
	outsideName = "service.example."
)

// testHost is a host, this process's namespace, with an outside behind it.
type testHost struct {
	t       testing.TB
	route   *netlink.Handle
	outside *os.File // its namespace

	mu   sync.Mutex // guards what follows
	seen []string   // from whom the outside's UDP server had a datagram, and its text
}

// newTestHost makes the outside: a TCP server on port 80, a UDP server that
// sends datagrams back on port 7 and a DNS server, at every address that anybody
// may send there.
func newTestHost(t testing.TB) *testHost {
	t.Helper()
	if os.Getenv(inHost) == "" {
		t.Skip("needs root, for network namespaces")
	}
	l := &testHost{t: t, outside: newNamespace(t)}
	var err error
	l.route, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	check(t, err)
	t.Cleanup(l.route.Close)

	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink"
	check(t, l.route.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "uplink", PeerNamespace: netlink.NsFd(l.outside.Fd())}))
	t.Cleanup(func() {
		link, err := l.route.LinkByName("uplink")
		check(t, err)
		check(t, l.route.LinkDel(link))
	})
	address(t, l.route, "uplink", hostAddr+"/24")
	up(t, l.route, "uplink")
	check(t, l.route.RouteAdd(&netlink.Route{Gw: net.ParseIP(outsideAddr)}))

	out := handleIn(t, l.outside)
	up(t, out, "lo")
	address(t, out, "uplink", outsideAddr+"/24")
	for _, a := range []string{farAddr, "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16"} {
		address(t, out, "lo", a+"/32")
	}
	up(t, out, "uplink")
	l.serve()
	return l
}

func (l *testHost) serve() {
	serveTCP(l.t, listenIn(l.t, l.outside, "0.0.0.0:80"))
	udp := listenPacketIn(l.t, l.outside, "0.0.0.0:7")
	ended := make(chan struct{})
	l.t.Cleanup(func() { udp.Close(); <-ended })
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			size, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.seen = append(l.seen, addrPort(from).Addr().String()+" "+string(b[:size]))
			l.mu.Unlock()
			_, _ = udp.WriteTo(b[:size], from)
		}
	}()
	serveDNS(l.t, listenPacketIn(l.t, l.outside, "0.0.0.0:53"), listenIn(l.t, l.outside, "0.0.0.0:53"), answers)
}

// saw returns what the outside's UDP server has had.
func (l *testHost) saw() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.seen...)
}

// answers resolves outsideName, any name below big.example to more than fits
// into a datagram, and nothing else.
func answers(w dns.ResponseWriter, q *dns.Msg) {
	r := new(dns.Msg).SetReply(q)
	name := q.Question[0].Name
	switch {
	case strings.EqualFold(name, outsideName):
		r.Answer = append(r.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(outsideAddr),
		})
	case strings.HasSuffix(name, "big.example."):
		for i := range 100 {
			r.Answer = append(r.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1},
				Txt: []string{fmt.Sprintf("%02d %s", i, strings.Repeat("x", 60))},
			})
		}
		if w.RemoteAddr().Network() == "udp" {
			r.Truncate(clientSize(q))
		}
	default:
		r.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(r)
}

// serveDNS serves until the test ends.
func serveDNS(t testing.TB, udp net.PacketConn, tcp net.Listener, h dns.HandlerFunc) {
	t.Helper()
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			check(t, s.Shutdown())
			check(t, <-ended)
		})
	}
}

// serveTCP greets each client with the peer's address, and counts them.
func serveTCP(t testing.TB, l net.Listener) *atomic.Int64 {
	var n atomic.Int64
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				c.Close()
			}
		}()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			fmt.Fprintln(c, addrPort(c.RemoteAddr()).Addr())
			open = append(open, c) // stays open for those who count connections
		}
	}()
	return &n
}

// sandbox is a namespace with a link.
type sandbox struct {
	t     testing.TB
	name  string
	netns *os.File
	link  Link
}

// attach makes a sandbox with a namespace of the kind given and attaches it.
func attach(t testing.TB, n *Network, name string, netns *os.File) *sandbox {
	t.Helper()
	link, err := n.Attach(t.Context(), name, netns)
	check(t, err)
	up(t, handleIn(t, netns), "lo")
	return &sandbox{t: t, name: name, netns: netns, link: link}
}

// dial connects from inside the sandbox.
func (s *sandbox) dial(network, to string) (net.Conn, error) { return s.dialFrom(network, "", to) }

func (s *sandbox) dialFrom(network, from, to string) (net.Conn, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var d net.Dialer
	if from != "" {
		at := net.JoinHostPort(from, "0")
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at))
		}
	}
	var c net.Conn
	err := inside(s.netns, func() (err error) {
		c, err = d.DialContext(ctx, network, to)
		return err
	})
	if err == nil {
		s.t.Cleanup(func() { c.Close() })
		check(s.t, c.SetDeadline(time.Now().Add(patience)))
	}
	return c, err
}

// patience is how long tests wait for what must happen, so that a broken one
// ends. Nothing is measured by it.
const patience = 20 * time.Second

// greet connects by TCP and returns what the server says.
func (s *sandbox) greet(to string) (string, error) {
	s.t.Helper()
	c, err := s.dial("tcp", to)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b := make([]byte, 64)
	size, err := c.Read(b)
	return strings.TrimSpace(string(b[:size])), err
}

// echo sends a datagram to the outside and waits for it to come back.
func (s *sandbox) echo(text string) {
	s.t.Helper()
	c, err := s.dialFrom("udp", s.link.Addr.Addr().String(), outsideAddr+":7")
	check(s.t, err)
	defer c.Close()
	_, err = io.WriteString(c, text)
	check(s.t, err)
	b := make([]byte, 64)
	size, err := c.Read(b)
	check(s.t, err)
	if got := string(b[:size]); got != text {
		s.t.Fatalf("the outside sent %q back, want %q", got, text)
	}
}

// lookup asks the sandbox's first name server as its C library would.
func (s *sandbox) lookup(network, name string, kind uint16) (*dns.Msg, error) {
	s.t.Helper()
	servers := parseResolvConf(s.link.Resolv)
	if len(servers) == 0 {
		s.t.Fatalf("no name server in %q", s.link.Resolv)
	}
	c, err := s.dial(network, servers[0].String())
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: c}
	defer conn.Close()
	check(s.t, conn.WriteMsg(new(dns.Msg).SetQuestion(name, kind)))
	return conn.ReadMsg()
}

// newNetwork returns a network that is set up, and taken down after the test.
func newNetwork(t testing.TB, cfg Config) *Network {
	t.Helper()
	n := plainNetwork(t, cfg)
	check(t, n.Setup(t.Context()))
	t.Cleanup(func() { check(t, n.Teardown(context.Background())) })
	return n
}

// plainNetwork returns a network that is not set up. It uses the outside's name
// server unless cfg says otherwise.
func plainNetwork(t testing.TB, cfg Config) *Network {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if cfg.Resolvers == nil {
		cfg.Resolvers = []netip.AddrPort{netip.MustParseAddrPort(outsideAddr + ":53")}
	}
	n, err := New(cfg)
	check(t, err)
	return n
}

// start runs the network until the test ends, or the returned function is
// called.
func start(t testing.TB, n *Network) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// newNamespace returns a network namespace that ends with the test, or when it
// is closed.
func newNamespace(t testing.TB) *os.File {
	t.Helper()
	home, err := os.Open("/proc/self/ns/net")
	check(t, err)
	defer home.Close()
	var ns *os.File
	check(t, inside(home, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	}))
	t.Cleanup(func() { ns.Close() })
	return ns
}

// newUserNamespace is newNamespace with the namespace owned by a user namespace
// that is not the host's. It has no powers over the host's devices.
func newUserNamespace(t testing.TB) *os.File {
	t.Helper()
	c := exec.Command("cat") // waits for its input to end
	in, err := c.StdinPipe()
	check(t, err)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1 << 30, Size: 65536}}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: ids, GidMappings: ids,
	}
	check(t, c.Start())
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.Process.Pid))
	check(t, err)
	t.Cleanup(func() {
		ns.Close()
		in.Close()
		check(t, c.Wait())
	})
	return ns
}

func handleIn(t testing.TB, netns *os.File) *netlink.Handle {
	t.Helper()
	var h *netlink.Handle
	check(t, inside(netns, func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}))
	t.Cleanup(h.Close)
	return h
}

func listenIn(t testing.TB, netns *os.File, at string) net.Listener {
	t.Helper()
	var l net.Listener
	check(t, inside(netns, func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return l
}

func listenPacketIn(t testing.TB, netns *os.File, at string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	check(t, inside(netns, func() (err error) {
		c, err = net.ListenPacket("udp", at)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

// self is the host's namespace.
func self(t testing.TB) *os.File {
	t.Helper()
	ns, err := os.Open("/proc/self/ns/net")
	check(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}

func up(t testing.TB, h *netlink.Handle, device string) {
	t.Helper()
	link, err := h.LinkByName(device)
	check(t, err)
	check(t, h.LinkSetUp(link))
}

func address(t testing.TB, h *netlink.Handle, device, addr string) {
	t.Helper()
	link, err := h.LinkByName(device)
	check(t, err)
	a, err := netlink.ParseAddr(addr)
	check(t, err)
	a.Flags = unix.IFA_F_NODAD // IPv6 addresses can be used at once
	check(t, h.AddrReplace(link, a))
}

// devices returns the network's devices on the host.
func devices(t testing.TB, n *Network) []string {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	check(t, err)
	defer h.Close()
	links, err := list(h.LinkList)
	check(t, err)
	var names []string
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, n.plan.devices()) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
