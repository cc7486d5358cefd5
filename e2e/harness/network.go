package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Network is a network namespace that stands for a machine. Tests of what
// instances can reach run the server in one: everything there belongs to the test,
// and no packet leaves this machine.
type Network struct {
	file *os.File
}

// NewNetwork makes a network namespace with its loopback up.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			made <- result{err: err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		made <- result{f, err}
	}()
	r := <-made
	if r.err != nil {
		t.Fatal("make a network namespace: ", r.err)
	}
	t.Cleanup(func() { r.file.Close() })
	n := &Network{r.file}
	n.configure(t, func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		return errors.Join(err, h.LinkSetUp(lo))
	})
	return n
}

// NetworkOf returns the network namespace of a process.
func NetworkOf(t testing.TB, p Process) *Network {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Network{f}
}

// Do runs f on a thread inside the namespace. A nil Network is the machine's own.
// Goroutines that f starts are not inside.
func (n *Network) Do(f func() error) error {
	if n == nil {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: see NewNetwork
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

func (n *Network) configure(t testing.TB, f func(*netlink.Handle) error) {
	t.Helper()
	err := n.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return f(h)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Dial opens a TCP connection from inside to a numeric address.
func (n *Network) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Serve answers HTTP requests at the address inside with the text.
func (n *Network) Serve(t testing.TB, address, text string) {
	t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// Connect joins two namespaces by a veth pair. Both ends have the same name, and
// each has an address in CIDR form.
func Connect(t testing.TB, cable string, a *Network, addrA string, b *Network, addrB string) {
	t.Helper()
	a.configure(t, func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = cable
		return h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: cable, PeerNamespace: netlink.NsFd(int(b.file.Fd()))})
	})
	a.Address(t, cable, addrA)
	b.Address(t, cable, addrB)
}

// Address adds an address, optionally with a label after a space, to a link and brings
// the link up. On the loopback device the address is of no use to other hosts.
func (n *Network) Address(t testing.TB, link, cidr string) {
	t.Helper()
	n.configure(t, func(h *netlink.Handle) error {
		l, err := h.LinkByName(link)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if link == "lo" {
			a.Scope = unix.RT_SCOPE_HOST
		}
		return errors.Join(h.AddrAdd(l, a), h.LinkSetUp(l))
	})
}

// Addresses returns a link's IPv4 addresses, each with its label after a space.
func (n *Network) Addresses(t testing.TB, link string) (list []string) {
	t.Helper()
	n.configure(t, func(h *netlink.Handle) error {
		l, err := h.LinkByName(link)
		if err != nil {
			return err
		}
		addrs, err := h.AddrList(l, netlink.FAMILY_V4)
		for _, a := range addrs {
			list = append(list, a.IPNet.String()+" "+a.Label)
		}
		return err
	})
	return list
}

// Route sets the default route.
func (n *Network) Route(t testing.TB, gateway string) {
	t.Helper()
	n.configure(t, func(h *netlink.Handle) error {
		return h.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)})
	})
}
