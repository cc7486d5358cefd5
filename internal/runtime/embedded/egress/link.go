package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// inner is the name of a link's end in the sandbox.
	inner = "eth0"
	// maxSandboxName is what an interface's alias holds, in bytes.
	maxSandboxName = 255
)

// Link is a sandbox's way out.
type Link struct {
	Addr   netip.Prefix // the sandbox's address, a /32
	Resolv []byte       // contents of /etc/resolv.conf
}

// Attach gives the network namespace of a sandbox an address and a route to the
// outside. A namespace that has them keeps them, also those of an earlier process.
// The namespace may belong to another user namespace; it must not have a device eth0
// that somebody else made. Setup must have succeeded before.
//
// A sandbox has one link: attached again with another namespace, it loses the
// earlier one. A namespace that was detached cannot be attached again.
func (n *Network) Attach(ctx context.Context, sandbox string, netns *os.File) (Link, error) {
	link, err := n.attach(ctx, sandbox, netns)
	if err != nil {
		return Link{}, fmt.Errorf("attach %s to network %s: %w", sandbox, n.plan.name, err)
	}
	return link, nil
}

func (n *Network) attach(ctx context.Context, sandbox string, netns *os.File) (Link, error) {
	if err := ctx.Err(); err != nil {
		return Link{}, err
	}
	if sandbox == "" || len(sandbox) > maxSandboxName {
		return Link{}, fmt.Errorf("a sandbox's name has 1 to %d bytes", maxSandboxName)
	}
	w := n.netHandle.Load()
	if w == nil {
		return Link{}, errNotSetUp
	}
	in, err := open(netns)
	if err != nil {
		return Link{}, err
	}
	defer in.Close()

	p, err := n.existing(w, in, netns)
	if err == nil && p == nil {
		p, err = n.create(w, sandbox, in, netns)
	}
	if err != nil {
		return Link{}, err
	}
	if old, had := n.leases.assign(p.lease, sandbox, time.Now()); had {
		if err := w.disown(n.plan.device(old)); err != nil {
			return Link{}, err
		}
	}
	if err = w.configure(n.plan, p, in, sandbox, n.leases.group(p.lease)); err == nil {
		err = n.awaitLink(ctx, w, p)
	}
	if err != nil {
		n.leases.abandon(p.lease, time.Now())
		return Link{}, err
	}
	return Link{
		Addr:   netip.PrefixFrom(n.plan.address(p.lease), 32),
		Resolv: w.resolvers.file(n.plan.gateway()),
	}, nil
}

// Cut sets the sandbox's end of its link down: from then on it reaches nothing and
// nothing reaches it. A sandbox cannot set it up again, since it lacks CAP_NET_ADMIN.
// The link stays the sandbox's until Detach.
func (n *Network) Cut(_ context.Context, sandbox string, netns *os.File) error {
	in, err := open(netns)
	if err != nil {
		return fmt.Errorf("cut %s off: %w", sandbox, err)
	}
	defer in.Close()
	peer, err := in.LinkByName(inner)
	if isNotFound(err) {
		return nil
	}
	if err == nil {
		err = in.LinkSetDown(peer)
	}
	if err != nil {
		return fmt.Errorf("cut %s off: %w", sandbox, err)
	}
	return nil
}

// Detach ends the lease of a sandbox's link. It deletes nothing itself: the kernel
// deletes the link with the sandbox's namespace, or Run does a little later. The
// address is leased again after that. A sandbox without a link is success.
func (n *Network) Detach(_ context.Context, sandbox string) error {
	w := n.netHandle.Load()
	if w == nil {
		return fmt.Errorf("detach %s from network %s: %w", sandbox, n.plan.name, errNotSetUp)
	}
	lease, had := n.leases.end(sandbox, time.Now())
	if !had {
		return nil
	}
	// A daemon that dies now must not take the link for the sandbox's.
	if err := w.disown(n.plan.device(lease)); err != nil {
		return fmt.Errorf("detach %s from network %s: %w", sandbox, n.plan.name, err)
	}
	return nil
}

// Sweep deletes the links of an earlier process, except those of the sandboxes to
// keep, which are given with the segments that they were confined to. It does not
// touch links that this process attached. It waits until the kernel has deleted the
// others.
func (n *Network) Sweep(ctx context.Context, keep map[string][]string) error {
	w := n.netHandle.Load()
	if w == nil {
		return fmt.Errorf("sweep network %s: %w", n.plan.name, errNotSetUp)
	}
	if err := n.restoreGroups(w, keep); err != nil {
		return fmt.Errorf("sweep network %s: %w", n.plan.name, err)
	}
	if err := n.deleteEnded(ctx, w, n.leases.strays(keep, time.Now())); err != nil {
		return fmt.Errorf("sweep network %s: %w", n.plan.name, err)
	}
	return nil
}

// pair is a link between the host and a sandbox.
type pair struct {
	lease       uint32
	outer, peer netlink.Link // the host's end, the sandbox's end
}

// existing returns the link that the namespace has already, or nil.
func (n *Network) existing(w *netHandle, in *netlink.Handle, netns *os.File) (*pair, error) {
	peer, err := in.LinkByName(inner)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s in the sandbox: %w", inner, err)
	}
	outer, err := w.route.LinkByIndex(peer.Attrs().ParentIndex)
	if err != nil {
		return nil, fmt.Errorf("find the other end of the sandbox's %s: %w", inner, err)
	}
	// The sandbox may be hostile: that its device points to ours proves nothing
	// until ours points back to this namespace.
	id, err := w.route.GetNetNsIdByFd(int(netns.Fd()))
	if err != nil {
		return nil, fmt.Errorf("identify the sandbox's namespace: %w", err)
	}
	lease, ours := n.plan.leaseOf(outer.Attrs().Name)
	if !ours || outer.Type() != "veth" || outer.Attrs().NetNsID != id || outer.Attrs().ParentIndex != peer.Attrs().Index {
		return nil, fmt.Errorf("the sandbox has a device %s that is not of network %s", inner, n.plan.name)
	}
	if n.leases.over(lease) {
		return nil, errors.New("the sandbox was detached")
	}
	return &pair{lease: lease, outer: outer, peer: peer}, nil
}

// create makes a link with the next free lease, both ends down.
func (n *Network) create(w *netHandle, sandbox string, in *netlink.Handle, netns *os.File) (*pair, error) {
	for {
		lease, err := n.leases.take(sandbox)
		if err != nil {
			return nil, err
		}
		p, err := n.makeLink(w, lease, in, netns)
		switch {
		case errors.Is(err, unix.EEXIST):
			// The sandbox has no such device, so it is on the host and was made
			// after Setup listed the links.
			n.leases.foreign(lease)
			continue
		case errors.Is(err, errLost):
			n.leases.abandon(lease, time.Now())
		case err != nil:
			n.leases.free([]uint32{lease})
		}
		return p, err
	}
}

// errLost means that a link was made whose inner end cannot be found.
var errLost = errors.New("the sandbox's end is not there")

// makeLink makes the link of a lease, both ends down.
func (n *Network) makeLink(w *netHandle, lease uint32, in *netlink.Handle, netns *os.File) (*pair, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.plan.device(lease)
	attrs.MTU = w.mtu
	attrs.HardwareAddr = n.plan.hardware(lease)
	// The kernel would make one queue per processor, each with files of its
	// own; a veth device gains nothing from more than one.
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	outer := &netlink.Veth{
		LinkAttrs: attrs, PeerName: inner, PeerMTU: uint32(w.mtu),
		PeerHardwareAddr: attrs.HardwareAddr, PeerNamespace: netlink.NsFd(netns.Fd()),
	}
	if err := w.route.LinkAdd(outer); err != nil {
		return nil, fmt.Errorf("make link %s: %w", attrs.Name, err)
	}
	peer, err := in.LinkByName(inner)
	if err != nil {
		return nil, fmt.Errorf("find %s in the sandbox: %w: %w", inner, errLost, err)
	}
	return &pair{lease: lease, outer: outer, peer: peer}, nil
}

// configure gives a link its alias, group, addresses and routes, and sets it up. It may be
// repeated.
func (w *netHandle) configure(p plan, link *pair, in *netlink.Handle, sandbox string, group uint32) error {
	address := host(p.address(link.lease))
	gateway := p.gateway().AsSlice()
	steps := []struct {
		what string
		do   func() error
	}{
		{"name its holder", func() error { return w.route.LinkSetAlias(link.outer, sandbox) }},
		{"put it into its group", func() error { return w.route.LinkSetGroup(link.outer, int(group)) }},
		{"turn off its IPv6", func() error { return w.noIPv6(p.device(link.lease)) }},
		{"let it forward", func() error { return letForward(p.device(link.lease)) }},
		{"turn off its ARP", func() error { return w.route.LinkSetARPOff(link.outer) }},
		{"turn it on", func() error { return w.route.LinkSetUp(link.outer) }},
		{"route to it", func() error {
			return w.route.RouteReplace(&netlink.Route{
				LinkIndex: link.outer.Attrs().Index, Dst: address, Src: gateway, Scope: netlink.SCOPE_LINK,
			})
		}},
		{"give the sandbox its address", func() error {
			return in.AddrReplace(link.peer, &netlink.Addr{IPNet: address})
		}},
		{"turn off the sandbox's ARP", func() error { return in.LinkSetARPOff(link.peer) }},
		{"turn on the sandbox's end", func() error { return in.LinkSetUp(link.peer) }},
		{"give the sandbox a route", func() error {
			return in.RouteReplace(&netlink.Route{
				LinkIndex: link.peer.Attrs().Index, Gw: gateway, Flags: int(netlink.FLAG_ONLINK),
			})
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("link %s: %s: %w", p.device(link.lease), s.what, err)
		}
	}
	return nil
}

// awaitLink waits until a link works, and notes by which id of the sandbox's namespace the
// kernel will tell of its changes.
func (n *Network) awaitLink(ctx context.Context, w *netHandle, p *pair) error {
	space, err := w.awaitCarrier(ctx, p.outer)
	if err == nil {
		n.leases.locate(p.lease, space)
	}
	return err
}

// carrierInterval is how often to ask whether a link has a carrier.
const carrierInterval = 200 * time.Microsecond

// awaitCarrier waits until a link's host end has noticed that the other end is up. A
// worker of the kernel tells it. Until then the end drops what is sent: the first
// answers to the sandbox would be lost and requested again after a second. Newer
// kernels update the state when it is read, so that the first reading says yes.
func (w *netHandle) awaitCarrier(ctx context.Context, outer netlink.Link) (space int, err error) {
	for {
		link, err := w.route.LinkByIndex(outer.Attrs().Index)
		if err != nil {
			return 0, fmt.Errorf("link %s: await its carrier: %w", outer.Attrs().Name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return link.Attrs().NetNsID, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("link %s: await its carrier: %w", outer.Attrs().Name, context.Cause(ctx))
		case <-time.After(carrierInterval):
		}
	}
}

// disown removes the sandbox's name from a link. No such link is success.
func (w *netHandle) disown(device string) error {
	link, err := w.route.LinkByName(device)
	if err == nil {
		err = w.route.LinkSetAlias(link, "")
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("link %s: take its holder's name: %w", device, err)
	}
	return nil
}

// host is the network of one address.
func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

// isNotFound reports whether an error says that there is no such device.
func isNotFound(err error) bool {
	_, ok := errors.AsType[netlink.LinkNotFoundError](err)
	return ok || errors.Is(err, unix.ENODEV)
}
