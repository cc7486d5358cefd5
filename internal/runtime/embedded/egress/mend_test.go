package egress

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// mender mends the links that a network tells of, as the driver does.
type mender struct {
	n *Network

	mu        sync.Mutex // guards what follows
	sandboxes map[string]*sandbox
	segments  map[string][]string
	mended    int
}

func (m *mender) changed(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sandboxes[name]
	if s == nil {
		return
	}
	missing, err := m.n.Mend(context.Background(), name, s.netns, s.link.Addr.Addr(), m.segments[name])
	if err != nil {
		s.t.Log("mend: ", err)
	}
	if missing != nil {
		s.t.Log("mended: ", missing)
		m.mended++
	}
}

// TestMend removes what a sandbox that runs has on the host and in its namespace, piece by
// piece and by administrators' programs. Each comes back whole, by the kernel's messages.
func TestMend(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (iproute2)")
	}
	newTestHost(t)
	n := plainNetwork(t, Config{})
	t.Cleanup(func() { check(t, n.Teardown(context.Background())) })
	start(t, n)
	eventually(t, "the network serves", func() bool { return n.netHandle.Load() != nil })
	s := attach(t, n, "a", newNamespace(t))
	other := attach(t, n, "b", newNamespace(t))
	m := &mender{n: n, sandboxes: map[string]*sandbox{"a": s, "b": other}}
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan error)
	go func() { watched <- n.Watch(ctx, m.changed) }()
	t.Cleanup(func() { stop(); check(t, <-watched) })
	eventually(t, "the network is watched", func() bool { return n.watched.Load() != nil })

	lease, _ := n.leases.of("a")
	device, addr := n.plan.device(lease), s.link.Addr.Addr().String()
	for _, c := range []struct {
		name   string
		inside bool
		args   string
	}{
		{"link", false, "ip link del " + device},
		{"link down", false, "ip link set " + device + " down"},
		{"link renamed", false, "ip link set " + device + " name elsewhere"},
		{"link moved to a group", false, "ip link set " + device + " group 7"},
		{"alias", false, "ip link set " + device + " alias other"},
		{"ARP", false, "ip link set " + device + " arp on"},
		{"route", false, "ip route del " + addr},
		{"routes", false, "ip route flush root " + n.plan.prefix.String()},
		{"forwarding", false, "sysctl -qw net.ipv4.ip_forward=0"},
		{"forwarding of the link", false, "sysctl -qw net.ipv4.conf." + device + ".forwarding=0"},
		{"gateway's address", false, fmt.Sprintf("ip addr del %s/32 dev lo", n.plan.gateway())},
		{"eth0", true, "ip link del eth0"},
		{"eth0 down", true, "ip link set eth0 down"},
		{"address inside", true, "ip addr flush dev eth0"},
		{"route inside", true, "ip route del default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := self(t)
			if c.inside {
				in = s.netns
			}
			check(t, inside(in, func() error {
				args := strings.Fields(c.args)
				out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				if err != nil {
					return fmt.Errorf("%s: %w: %s", c.args, err, out)
				}
				return nil
			}))
			eventually(t, c.name+" is back", func() bool {
				ours, err := n.netHandle.Load().gatewayIsOurs(n.plan)
				check(t, err)
				b, err := os.ReadFile(ipForward)
				check(t, err)
				return ours && string(b) == "1\n" && n.Check(t.Context(), "a", s.netns) == nil && n.Check(t.Context(), "b", other.netns) == nil
			})
			s.echo("after " + c.name)
			other.echo("the other one after " + c.name)
			if got, _ := n.leases.of("a"); got != lease {
				t.Errorf("the lease is %d, want %d", got, lease)
			}
		})
	}
	if got := devices(t, n); len(got) != 2 {
		t.Errorf("devices %v", got)
	}
}

// TestMendConfined removes the link of a confined sandbox and takes another out of its
// group: neither ever reaches more than its segments.
func TestMendConfined(t *testing.T) {
	l := newTestHost(t)
	nearby(t, l)
	n := newNetwork(t, Config{Segments: map[string]Segment{"data": {Prefixes: []netip.Prefix{nearSegment}, NoDNS: true}}})
	s := confine(t, n, "a", "data")
	lease, _ := n.leases.of("a")
	group := n.leases.group(lease)
	if group == 0 {
		t.Fatal("the link is in no group")
	}
	for name, remove := range map[string]func(link netlink.Link) error{
		"link":  l.route.LinkDel,
		"group": func(link netlink.Link) error { return l.route.LinkSetGroup(link, 0) },
	} {
		link, err := l.route.LinkByName(n.plan.device(lease))
		check(t, err)
		check(t, remove(link))
		missing, err := n.Mend(t.Context(), "a", s.netns, s.link.Addr.Addr(), []string{"data"})
		check(t, err)
		if missing == nil {
			t.Errorf("%s: nothing was missing", name)
		}
		link, err = l.route.LinkByName(n.plan.device(lease))
		check(t, err)
		if link.Attrs().Group != group {
			t.Errorf("%s: the link is in group %d, want %d", name, link.Attrs().Group, group)
		}
		s.reaches(nearAddr + ":80")
		s.refused(farAddr + ":80")
	}
}

// TestMendAfterRestart has a link removed while no network runs. Another sandbox that has
// the address by now keeps it.
func TestMendAfterRestart(t *testing.T) {
	l := newTestHost(t)
	n := newNetwork(t, Config{})
	s := attach(t, n, "a", newNamespace(t))
	link, err := l.route.LinkByName(devices(t, n)[0])
	check(t, err)
	check(t, l.route.LinkDel(link))

	next := newNetwork(t, Config{})
	check(t, next.Sweep(t.Context(), map[string][]string{"a": nil}))
	missing, err := next.Mend(t.Context(), "a", s.netns, s.link.Addr.Addr(), nil)
	check(t, err)
	if missing == nil {
		t.Error("nothing was missing")
	}
	s.echo("after a restart")
	if missing, err := next.Mend(t.Context(), "a", s.netns, s.link.Addr.Addr(), nil); missing != nil || err != nil {
		t.Errorf("mended again: %v, %v", missing, err)
	}
	if missing, err := next.Mend(t.Context(), "b", newNamespace(t), s.link.Addr.Addr(), nil); missing == nil || err == nil {
		t.Errorf("another sandbox took the address: %v, %v", missing, err)
	}
}

// TestSetEmptied empties a set: the rules are all there, and refuse nothing any more.
func TestSetEmptied(t *testing.T) {
	newTestHost(t)
	n := newNetwork(t, Config{})
	if !n.table.intact() {
		t.Fatal("as installed it is not intact")
	}
	c, err := nftables.New()
	check(t, err)
	set, err := c.GetSetByName(n.table.handle(), "denied")
	check(t, err)
	c.FlushSet(set)
	check(t, c.Flush())
	if n.table.intact() {
		t.Error("with an empty set it is intact")
	}
	check(t, n.check(t.Context(), false))
	if !n.table.intact() {
		t.Error("the set did not come back")
	}
}
