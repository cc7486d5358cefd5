package daemon

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
)

// addressSpace is reserved for benchmarks (RFC 2544), so nobody's services are there.
var addressSpace = netip.PrefixFrom(egress.DefaultPrefix.Addr(), 15)

// prefixes is the number of networks for instances in the address space. Servers on one
// machine use different ones.
const prefixes = 32

// candidate returns the n-th of them, with 4,094 addresses.
func candidate(n uint32) netip.Prefix {
	a := egress.DefaultPrefix.Addr().As4()
	at := uint32(a[0])<<24 | uint32(a[1])<<16 | (n%prefixes)<<12
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), 20)
}

// openEgress sets up the instances' network. If the host does not offer what the
// network needs, it logs that and returns nil: instances are isolated. The prefix
// that is in use is written to a file, since another one would disconnect running
// instances. Without instances it is only tried first. If no prefix is free, networks
// that killed servers left are removed.
func openEgress(ctx context.Context, c *core) (*egress.Network, error) {
	cfg, err := egressConfig(c.cfg, c.dirs, c.part("egress"))
	if err != nil {
		return nil, err
	}
	live := c.dirs.hasInstances()
	n, err := setUpEgress(ctx, c, cfg, live)
	if err == nil || live || errors.Is(err, egress.ErrUnavailable) {
		return egressOrNone(c, n, err)
	}
	removed, rerr := egress.RemoveAbandoned(ctx, addressSpace, isNetworkName, cfg.Log)
	if rerr != nil {
		c.log.Warn("networks of servers that are gone could not be removed", "err", rerr)
	}
	if len(removed) == 0 {
		return nil, err
	}
	c.log.Info("removed networks of servers that are gone, since no prefix was free", "networks", removed)
	n, err = setUpEgress(ctx, c, cfg, live)
	return egressOrNone(c, n, err)
}

// egressOrNone turns a host without what the network needs into no network.
func egressOrNone(c *core, n *egress.Network, err error) (*egress.Network, error) {
	if errors.Is(err, egress.ErrUnavailable) {
		c.log.Warn("instances have no network; --isolated silences this", "err", err)
		return nil, nil
	}
	return n, err
}

// setUpEgress sets up the network with the first prefix that nothing is in the way of.
func setUpEgress(ctx context.Context, c *core, cfg egress.Config, live bool) (*egress.Network, error) {
	var refused error
	for _, p := range egressPrefixes(c.dirs, live) {
		cfg.Prefix = p
		n, err := egress.New(cfg)
		if err != nil {
			return nil, err
		}
		if err = n.Setup(ctx); err == nil {
			if err = atomicfile.Write(c.dirs.network(), []byte(p.String()+"\n"), 0o600); err != nil && !live {
				err = errors.Join(err, n.Teardown(ctx))
			}
			return n, err
		}
		if errors.Is(err, egress.ErrUnavailable) {
			return nil, err
		}
		refused = err
	}
	if live {
		return nil, fmt.Errorf("%w; running instances have addresses of that prefix, so no other is taken: remove what is in the way, or end them by deleting %s", refused, c.dirs.instances())
	}
	return nil, fmt.Errorf("none of the %d networks for instances in %s is free, the last was refused: %w; --isolated runs instances without a network", prefixes, addressSpace, refused)
}

func egressConfig(c Config, d dirs, log *slog.Logger) (egress.Config, error) {
	cfg := egress.Config{Name: networkName(d), Segments: c.Networks, Log: log}
	var err error
	if cfg.Resolvers, err = nameServers("resolvers", c.Resolvers); err != nil {
		return cfg, err
	}
	for _, p := range c.PublicPorts {
		if p < 1 || p > 65535 {
			return cfg, fmt.Errorf("--public-ports has %d; it must be from 1 to 65535", p)
		}
		cfg.AllowHostPorts = append(cfg.AllowHostPorts, uint16(p))
	}
	return cfg, nil
}

// nameServers parses the addresses of DNS servers in a flag.
func nameServers(flag string, list []string) (servers []netip.AddrPort, err error) {
	for _, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, 53))
			continue
		}
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("--%s has %q; it must be an address, optionally with a port, 53 by default", flag, text)
		}
		servers = append(servers, ap)
	}
	return servers, nil
}

func dirHash(d dirs) uint32 {
	h := fnv.New32a()
	h.Write([]byte(d))
	return h.Sum32()
}

// networkName differs between the servers of one machine.
func networkName(d dirs) string { return fmt.Sprintf("sw%06x", dirHash(d)&0xffffff) }

// isNetworkName reports whether a name may be one that networkName returns.
func isNetworkName(name string) bool {
	digits, ok := strings.CutPrefix(name, "sw")
	return ok && len(digits) == 6 && strings.Trim(digits, "0123456789abcdef") == ""
}

// egressPrefixes are the networks to try: the one that this data directory has used,
// and unless instances live in it all others. Different directories begin at different
// ones.
func egressPrefixes(d dirs, live bool) []netip.Prefix {
	var list []netip.Prefix
	if b, err := os.ReadFile(d.network()); err == nil {
		if p, err := netip.ParsePrefix(strings.TrimSpace(string(b))); err == nil {
			list = append(list, p)
		}
	}
	if live && len(list) > 0 {
		return list
	}
	for i := range uint32(prefixes) {
		if p := candidate(dirHash(d) + i); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}
