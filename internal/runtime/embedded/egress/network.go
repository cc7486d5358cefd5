package egress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultName is the name of the network of a machine's only daemon.
	DefaultName = "slipway"

	// DefaultMaxConnections is how many connections one instance may have open at
	// once, if the conntrack table is large enough.
	DefaultMaxConnections = 8192
	// DefaultMaxNewConnections is how many connections one instance may begin a
	// second, on average.
	DefaultMaxNewConnections = 1000
)

// DefaultPrefix is the prefix of instances' addresses. It is reserved for benchmarks
// (RFC 2544), so no network that instances want to reach has it. The space for
// carrier-grade NAT is not used, because Tailscale drops it on all interfaces except
// its own and clouds have services in it.
var DefaultPrefix = netip.MustParsePrefix("198.18.0.0/16")

// ErrUnavailable is returned by Setup where the host cannot have this network:
// it lacks veth devices or nftables, or the daemon may not use them. Instances
// can still run, isolated.
var ErrUnavailable = errors.New("instances cannot reach the outside on this host")

var errNotSetUp = errors.New("the network is not set up")

// Config configures a network. The zero value of each member except Log has a
// meaning.
type Config struct {
	// Name distinguishes the networks of several daemons on one machine, whose
	// prefixes must differ. It is 1 to 8 of a-z and 0-9; "": DefaultName.
	Name string
	// Prefix has the gateway's and the instances' addresses: /8 to /28, IPv4.
	// Changing it cuts off the instances that run. Zero: DefaultPrefix.
	Prefix netip.Prefix

	// Resolvers are the name servers that instances use. Empty: the host's.
	Resolvers []netip.AddrPort
	// AllowHostPorts are TCP ports of the host that instances may reach, at any of
	// its addresses except loopback and link-local ones.
	AllowHostPorts []uint16
	// Deny are IPv4 destinations that instances may not reach in addition to
	// those that they never may.
	Deny []netip.Prefix
	// Segments are what sandboxes can be confined to, by name. Only these sandboxes
	// reach the private prefixes among them (RFC 1918, RFC 6598).
	Segments map[string]Segment

	// MaxConnections is how many connections one instance may have at once, as
	// the host's conntrack table counts them. 0: DefaultMaxConnections, or an
	// eighth of the table if that is less.
	MaxConnections int
	// MaxNewConnections is how many it may begin a second, four times as many
	// in a burst. 0: DefaultMaxNewConnections.
	MaxNewConnections int
	// MTU of the links, in bytes. 0: that of the host's default route.
	MTU int

	Log *slog.Logger
}

// Network connects one daemon's instances with the outside. Its methods are safe for
// concurrent use.
type Network struct {
	cfg       Config
	log       *slog.Logger
	plan      plan
	segmented []netip.Prefix // private prefixes of the segments
	leases    *leases

	netHandle atomic.Pointer[netHandle] // nil until Setup succeeded
	watched   atomic.Pointer[func(sandbox string)]

	mu              sync.Mutex       // guards what follows: one Setup, check or Teardown at a time
	isolationGroups []isolationGroup // that have rules
	table           table
	installed       policy
	checked         uint32 // generation of the host's rules when last found right
	forwarder       *forwarder
	warned          map[string]bool
}

// New checks the configuration. It touches nothing.
func New(cfg Config) (*Network, error) {
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Prefix == (netip.Prefix{}) {
		cfg.Prefix = DefaultPrefix
	}
	if cfg.MaxNewConnections == 0 {
		cfg.MaxNewConnections = DefaultMaxNewConnections
	}
	if cfg.Log == nil {
		return nil, errors.New("network: a logger is needed")
	}
	p, err := newPlan(cfg.Name, cfg.Prefix)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	for name, z := range cfg.Segments {
		if err := z.check(p); err != nil {
			return nil, fmt.Errorf("network %s: %w", name, err)
		}
	}
	return &Network{
		cfg:       cfg,
		log:       cfg.Log.With("network", p.name),
		plan:      p,
		segmented: privatePrefixes(cfg.Segments),
		leases:    newLeases(p),
		table:     table{name: p.table()},
		warned:    map[string]bool{},
	}, nil
}

const (
	minMTU = 576 // what any IPv4 host takes
	maxMTU = 65535
)

func (c *Config) check() error {
	for _, d := range c.Deny {
		if !d.IsValid() || !d.Addr().Is4() {
			return fmt.Errorf("denied network %s: an IPv4 prefix is needed", d)
		}
	}
	for _, r := range c.Resolvers {
		if !r.IsValid() || r.Port() == 0 || r.Addr().IsUnspecified() || r.Addr().IsMulticast() || c.Prefix.Contains(r.Addr().Unmap()) {
			return fmt.Errorf("name server %s: an address and port outside of %s are needed", r, c.Prefix)
		}
	}
	if slices.Contains(c.AllowHostPorts, 0) {
		return errors.New("host port 0: 1 to 65535 are allowed")
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fmt.Errorf("link MTU %d: %d to %d bytes are allowed", c.MTU, minMTU, maxMTU)
	}
	if c.MaxConnections < 0 || c.MaxConnections > 1<<30 {
		return fmt.Errorf("maximum of connections %d: 1 to %d are allowed", c.MaxConnections, 1<<30)
	}
	if c.MaxNewConnections < 0 || c.MaxNewConnections > 1<<20 {
		return fmt.Errorf("maximum of new connections %d: 1 to %d a second are allowed", c.MaxNewConnections, 1<<20)
	}
	return nil
}

// Setup installs what all links share: the rules, the gateway's address,
// forwarding. It may be repeated, and finds the links of earlier processes. It
// returns ErrUnavailable if the host lacks what it needs; other errors name the
// conflict.
func (n *Network) Setup(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.setup(ctx); err != nil {
		if lacking(err) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return fmt.Errorf("set up network %s: %w", n.plan.name, err)
	}
	return nil
}

func (n *Network) setup(ctx context.Context) error {
	w := n.netHandle.Load()
	if w == nil {
		var err error
		if w, err = openHandle(); err != nil {
			return err
		}
		defer func() {
			if n.netHandle.Load() == nil {
				n.closeForwarder()
				n.undo(w)
				w.close()
			}
		}()
	}
	if err := w.probe(n.plan); err != nil {
		return err
	}
	if err := w.noOverlap(n.plan); err != nil {
		return err
	}
	if err := w.addGateway(n.plan); err != nil {
		return err
	}
	if n.forwarder == nil {
		f, err := listen(ctx, n.plan.gateway(), n.plan.leased)
		if err != nil {
			return err
		}
		n.forwarder = f
	}
	next, err := n.look(w)
	if err != nil {
		return err
	}
	// The rules come before forwarding, and both before any link is known.
	n.table.counts = nil
	if err := n.enforce(next); err != nil {
		return err
	}
	if _, err := forward(); err != nil {
		return err
	}
	links, err := w.links(n.plan)
	if err != nil {
		return err
	}
	for lease, l := range links {
		n.leases.found(lease, l.holder, l.group, l.space)
	}
	n.netHandle.Store(next)
	return nil
}

// undo removes what a first Setup that failed has made, unless links of an earlier
// process need it.
func (n *Network) undo(w *netHandle) {
	links, err := w.links(n.plan)
	if err != nil || len(links) > 0 {
		return
	}
	if err := errors.Join(n.stopPassing(), w.removeGateway(n.plan), n.table.remove()); err != nil && !lacking(err) {
		n.log.Warn("what a failed start made on the host could not be removed", "err", err)
	}
}

// look returns a handle with the host's current name servers, MTU and bound of connections.
func (n *Network) look(w *netHandle) (*netHandle, error) {
	servers := n.cfg.Resolvers
	if len(servers) == 0 {
		var err error
		if servers, err = hostResolvers(resolvConf, systemdResolvConf); err != nil {
			return nil, err
		}
	}
	next := *w
	next.resolvers = split(servers)
	if next.mtu = n.cfg.MTU; next.mtu == 0 {
		next.mtu = w.uplinkMTU()
	}
	if next.flows = uint32(n.cfg.MaxConnections); next.flows == 0 {
		next.flows = defaultFlows()
	}
	n.forwarder.ask(next.resolvers.upstream)
	return &next, nil
}

// enforce installs the rules for the state in the handle, unless they are there.
func (n *Network) enforce(w *netHandle) error {
	now, err := generation()
	if err != nil {
		return err
	}
	want := n.policy(w)
	if n.table.counts != nil && now == n.checked && want.equal(n.installed) {
		return nil
	}
	damaged := n.table.counts != nil && !n.table.intact() && !n.table.intact() // a list may be read amid a change
	if damaged {
		n.log.Warn("network rules were changed or removed: installing them again", "table", n.table.name)
	}
	if damaged || n.table.counts == nil || !want.equal(n.installed) {
		if err := n.table.install(want); err != nil {
			return err
		}
		n.installed = want
	}
	n.passOthers()
	// Not the current generation: somebody may have changed the rules since they
	// were read. After changes of our own the next check reads them once more.
	n.checked = now
	return nil
}

func (n *Network) policy(w *netHandle) policy {
	p := policy{
		plan: n.plan, resolvers: w.resolvers.direct, ports: n.cfg.AllowHostPorts, denied: n.cfg.Deny, segmented: n.segmented, isolationGroups: n.isolationGroups,
		flows: w.flows, rate: uint32(n.cfg.MaxNewConnections),
	}
	p.dnsUDP, p.dnsTCP = n.forwarder.ports()
	return p
}

// Teardown removes all that Setup made, and deletes all links. Run must have ended.
// IPv4 forwarding stays on: others may need it by now.
func (n *Network) Teardown(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.teardown(ctx); err != nil {
		return fmt.Errorf("take down network %s: %w", n.plan.name, err)
	}
	return nil
}

func (n *Network) teardown(ctx context.Context) error {
	w := n.netHandle.Load()
	if w == nil {
		var err error
		if w, err = openHandle(); err != nil {
			return err
		}
	}
	defer w.close()
	n.netHandle.Store(nil)
	n.closeForwarder()
	links, err := w.links(n.plan)
	if err != nil {
		return err
	}
	var errs []error
	for lease := range links {
		if err := ctx.Err(); err != nil {
			return err // the rules stay as long as there is a link
		}
		errs = append(errs, w.deleteLink(n.plan.device(lease)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	n.leases = newLeases(n.plan)
	errs = append(errs, n.stopPassing(), w.removeGateway(n.plan), n.table.remove())
	return errors.Join(errs...)
}

func (n *Network) closeForwarder() {
	if n.forwarder != nil {
		n.forwarder.close()
		n.forwarder = nil
	}
}

// lacking reports whether an error means that the host can't have the network or
// that the daemon lacks the privileges for it.
func lacking(err error) bool {
	return slices.ContainsFunc([]error{
		unix.EPERM, unix.EACCES, unix.EROFS, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT,
	}, func(target error) bool { return errors.Is(err, target) })
}

// deleteEnded deletes what is left of ended leases, and frees them.
func (n *Network) deleteEnded(ctx context.Context, w *netHandle, leases []uint32) error {
	if len(leases) == 0 {
		return nil
	}
	begun := time.Now()
	for _, lease := range leases {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.deleteLink(n.plan.device(lease)); err != nil {
			return err
		}
	}
	flows, err := w.forget(n.plan, n.leases.live)
	if err != nil {
		return err
	}
	n.leases.free(leases)
	n.log.Debug("links taken back", "links", len(leases), "connections", flows, "took", time.Since(begun))
	return nil
}
