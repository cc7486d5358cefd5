package outbound

import (
	"net/netip"
	"slices"
)

// special are the IPv4 addresses that are not on the internet: IANA's registry of
// special-purpose addresses, multicast, and metadata services that have addresses
// elsewhere. https://www.iana.org/assignments/iana-ipv4-special-registry
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // this host
	netip.MustParsePrefix("10.0.0.0/8"),       // private
	netip.MustParsePrefix("100.64.0.0/10"),    // carrier-grade NAT, Tailscale, Alibaba's metadata
	netip.MustParsePrefix("127.0.0.0/8"),      // loopback
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's WireServer
	netip.MustParsePrefix("169.254.0.0/16"),   // link-local, metadata of most clouds
	netip.MustParsePrefix("172.16.0.0/12"),    // private
	netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments, Oracle's metadata
	netip.MustParsePrefix("192.0.2.0/24"),     // documentation
	netip.MustParsePrefix("192.88.99.0/24"),   // relays of 6to4
	netip.MustParsePrefix("192.168.0.0/16"),   // private
	netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks: the instances have addresses of it
	netip.MustParsePrefix("198.51.100.0/24"),  // documentation
	netip.MustParsePrefix("203.0.113.0/24"),   // documentation
	netip.MustParsePrefix("224.0.0.0/3"),      // multicast, reserved, broadcast
}

// Of IPv6 only global unicast addresses are on the internet, without these.
// https://www.iana.org/assignments/iana-ipv6-special-registry
var (
	global    = netip.MustParsePrefix("2000::/3")
	notGlobal = []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4: any IPv4 address
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
	translated = netip.MustParsePrefix("64:ff9b::/96") // NAT64 of the IPv4 address at its end
)

// guarded are the addresses that no prefix of the operator's allows unless it lies
// within one of these: who allows a wide network does not mean the cloud's credentials.
var guarded = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.100.100.200/32"), // metadata of Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"), // metadata of older Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),  // metadata of AWS
	netip.MustParsePrefix("fd20:ce::/32"),   // metadata of Google Cloud
	netip.MustParsePrefix("fe80::/10"),
}

// plain returns the address that a packet to a would reach: without a zone, and the
// IPv4 address where an IPv6 address stands for one.
func plain(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if !a.Is6() {
		return a
	}
	b := a.As16()
	v4 := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case translated.Contains(a):
		return v4
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe && !public4(v4): // ISATAP, RFC 5214
		return v4
	}
	return a
}

// public reports whether an address that plain returned is on the internet.
func public(a netip.Addr) bool {
	if a.Is4() {
		return public4(a)
	}
	return global.Contains(a) && !within(notGlobal, a)
}

func public4(a netip.Addr) bool { return !within(special, a) }

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
