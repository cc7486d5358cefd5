package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Watch calls changed with the name of each sandbox whose link may have lost something,
// until ctx ends. Only while Run serves does anybody see that.
func (n *Network) Watch(ctx context.Context, changed func(sandbox string)) error {
	n.watched.Store(&changed)
	<-ctx.Done()
	n.watched.CompareAndSwap(&changed, nil)
	return nil
}

// tell tells the watcher of the sandboxes whose links were noticed.
func (n *Network) tell(c noticed) {
	w, changed := n.netHandle.Load(), n.watched.Load()
	if w == nil || changed == nil || !c.all && len(c.leases)+len(c.devices)+len(c.spaces) == 0 {
		return
	}
	for index := range c.devices {
		if link, err := w.route.LinkByIndex(index); err == nil {
			if lease, ok := n.plan.leaseOf(link.Attrs().Name); ok {
				note(&c.leases, lease)
			}
		}
	}
	for _, sandbox := range n.leases.holders(func(lease uint32, space int) bool { return c.all || c.leases[lease] || c.spaces[space] }) {
		(*changed)(sandbox)
	}
}

// Check returns an error that says what is missing of a sandbox's link.
func (n *Network) Check(_ context.Context, sandbox string, netns *os.File) error {
	w := n.netHandle.Load()
	lease, held := n.leases.of(sandbox)
	if w == nil || !held {
		return errors.New("it has no address")
	}
	in, err := open(netns)
	if err != nil {
		return err
	}
	defer in.Close()
	return w.intact(n.plan, lease, n.leases.group(lease), in, sandbox)
}

// Mend brings back what is missing of the link of a sandbox in which something runs, with
// the address that it had and confined to the same segments, and returns what was missing,
// nil for nothing. Its connections go on.
func (n *Network) Mend(ctx context.Context, sandbox string, netns *os.File, addr netip.Addr, segments []string) (missing, err error) {
	w := n.netHandle.Load()
	if w == nil {
		return nil, errNotSetUp
	}
	lease, ok := n.plan.lease(addr)
	if !ok {
		return nil, nil // Config.Prefix was changed: it is cut off
	}
	var group uint32
	if len(segments) > 0 {
		c, _ := isolationGroupOf(n.cfg.Segments, segments)
		group = c.group
	}
	in, err := open(netns)
	if err != nil {
		return nil, fmt.Errorf("mend the link of %s: %w", sandbox, err)
	}
	defer in.Close()
	if missing = w.intact(n.plan, lease, group, in, sandbox); missing == nil {
		return nil, nil
	}
	if err := n.remake(ctx, w, lease, group, sandbox, in, netns); err != nil {
		return missing, fmt.Errorf("mend the link of %s: %w", sandbox, err)
	}
	return missing, nil
}

// remake makes a sandbox's link whole.
func (n *Network) remake(ctx context.Context, w *netHandle, lease, group uint32, sandbox string, in *netlink.Handle, netns *os.File) error {
	if !n.leases.reclaim(lease, sandbox, group) {
		return fmt.Errorf("its address %s is another's by now", n.plan.address(lease))
	}
	p, err := n.existing(w, in, netns)
	if err != nil || p == nil || p.lease != lease {
		// One end is gone, renamed or elsewhere: the other one goes with it.
		if err := removeInner(in); err != nil {
			return err
		}
		if err := w.deleteLink(n.plan.device(lease)); err != nil {
			return err
		}
		if p, err = n.makeLink(w, lease, in, netns); err != nil {
			return err
		}
	}
	n.leases.assign(lease, sandbox, time.Now())
	if err := w.configure(n.plan, p, in, sandbox, group); err != nil {
		return err
	}
	return n.awaitLink(ctx, w, p)
}

// removeInner deletes the sandbox's end of a link, and with it the other end.
func removeInner(in *netlink.Handle) error {
	peer, err := in.LinkByName(inner)
	if err == nil {
		err = in.LinkDel(peer)
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("delete %s in the sandbox: %w", inner, err)
	}
	return nil
}

// intact returns what is missing of a link, nil for nothing. It is what configure makes.
func (w *netHandle) intact(p plan, lease, group uint32, in *netlink.Handle, sandbox string) error {
	outer, err := w.route.LinkByName(p.device(lease))
	if err != nil {
		return fmt.Errorf("its device %s is gone", p.device(lease))
	}
	a := outer.Attrs()
	switch {
	case a.Alias != sandbox:
		return errors.New("its device has another alias")
	case a.Group != group:
		return errors.New("its device is in another group")
	case a.RawFlags&unix.IFF_UP == 0:
		return errors.New("its device is down")
	case a.RawFlags&unix.IFF_NOARP == 0:
		return errors.New("its device uses ARP")
	case !forwards(a.Name):
		return errors.New("its device does not forward")
	}
	if routes, err := w.route.RouteGet(p.address(lease).AsSlice()); err != nil || len(routes) == 0 || routes[0].LinkIndex != a.Index {
		return fmt.Errorf("the route to %s is gone", p.address(lease))
	}
	peer, err := in.LinkByName(inner)
	if err != nil || peer.Attrs().ParentIndex != a.Index {
		return fmt.Errorf("its %s is gone", inner)
	}
	if f := peer.Attrs().RawFlags; f&unix.IFF_UP == 0 || f&unix.IFF_NOARP == 0 {
		return fmt.Errorf("its %s is down", inner)
	}
	return intactInside(p, lease, in, peer)
}

// intactInside is intact for what is in the sandbox.
func intactInside(p plan, lease uint32, in *netlink.Handle, peer netlink.Link) error {
	addrs, err := list(func() ([]netlink.Addr, error) { return in.AddrList(peer, netlink.FAMILY_V4) })
	if err != nil {
		return err
	}
	found := false
	for _, a := range addrs {
		at, _ := prefixOf(a.IPNet)
		found = found || at == netip.PrefixFrom(p.address(lease), 32)
	}
	if !found {
		return fmt.Errorf("its address %s is gone", p.address(lease))
	}
	routes, err := list(func() ([]netlink.Route, error) { return in.RouteList(peer, netlink.FAMILY_V4) })
	if err != nil {
		return err
	}
	for _, r := range routes {
		to, some := prefixOf(r.Dst)
		if (!some || to.Bits() == 0) && r.Gw.Equal(p.gateway().AsSlice()) {
			return nil
		}
	}
	return errors.New("its route to the outside is gone")
}

// ipv4Devices has the settings of devices.
const ipv4Devices = "/proc/sys/net/ipv4/conf"

// forwards reports whether the host forwards what comes from a device.
func forwards(device string) bool {
	b, err := os.ReadFile(filepath.Join(ipv4Devices, device, "forwarding"))
	return err != nil || len(b) == 0 || b[0] != '0'
}

// letForward has the host forward what comes from a device, which it does for each unless
// somebody turned it off.
func letForward(device string) error {
	if forwards(device) {
		return nil
	}
	return os.WriteFile(filepath.Join(ipv4Devices, device, "forwarding"), []byte("1"), 0)
}
