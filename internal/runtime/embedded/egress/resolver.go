package egress

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Where a host keeps its name servers. systemd-resolved writes its own stub,
// 127.0.0.53, into the first and the name servers that it queries into the second.
const (
	resolvConf        = "/etc/resolv.conf"
	systemdResolvConf = "/run/systemd/resolve/resolv.conf"
)

const (
	maxResolvers      = 3 // of a resolv.conf that the C library reads
	maxResolvConfSize = 64 << 10
)

// systemdStub is systemd-resolved's address for programs of the host.
var systemdStub = netip.MustParseAddr("127.0.0.53")

// resolvers are the name servers that instances ask.
type resolvers struct {
	direct   []netip.Addr     // asked by instances themselves; may be empty
	upstream []netip.AddrPort // asked by the forwarder
}

// hostResolvers reads the host's name servers. If there are none, it returns one on
// this machine, as the C library does.
func hostResolvers(conf, systemdConf string) ([]netip.AddrPort, error) {
	servers, err := readResolvConf(conf)
	if err != nil {
		return nil, err
	}
	stub := func(a netip.AddrPort) bool { return a.Addr() == systemdStub }
	if len(servers) > 0 && !slices.ContainsFunc(servers, func(a netip.AddrPort) bool { return !stub(a) }) {
		behind, err := readResolvConf(systemdConf)
		if err == nil && len(behind) > 0 {
			return behind, nil
		}
	}
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return servers, nil
}

func readResolvConf(path string) ([]netip.AddrPort, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the host's name servers: %w", err)
	}
	if len(b) > maxResolvConfSize {
		return nil, fmt.Errorf("read the host's name servers: %s has %d bytes, %d at most", path, len(b), maxResolvConfSize)
	}
	return parseResolvConf(b), nil
}

// parseResolvConf returns the name servers of a resolv.conf, in its order and
// each once. It skips what it does not understand, as the C library does.
func parseResolvConf(b []byte) []netip.AddrPort {
	var servers []netip.AddrPort
	for line := range bytes.Lines(b) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err != nil {
			continue
		}
		if server := netip.AddrPortFrom(addr.Unmap(), dnsPort); !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers
}

// split sorts name servers into those that instances can ask themselves and
// those that only the host can.
func split(servers []netip.AddrPort) resolvers {
	r := resolvers{upstream: servers}
	for _, s := range servers {
		a := s.Addr()
		if a.Is4() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && s.Port() == dnsPort &&
			len(r.direct) < maxResolvers && !slices.Contains(r.direct, a) {
			r.direct = append(r.direct, a)
		}
	}
	return r
}

// file returns the contents of an instance's /etc/resolv.conf.
func (r resolvers) file(gateway netip.Addr) []byte {
	servers := r.direct
	if len(servers) == 0 {
		servers = []netip.Addr{gateway}
	}
	var b bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return b.Bytes()
}
