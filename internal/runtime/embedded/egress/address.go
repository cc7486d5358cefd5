package egress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// maxName keeps interface names, "name-ffffff", within the kernel's 15
	// characters.
	maxName = 8

	minPrefixBits = 8  // six hexadecimal digits of lease number
	maxPrefixBits = 28 // thirteen instances

	firstLease = 2 // 0 is the network, 1 the gateway
)

// plan holds the names and addresses that a network uses. A lease is a number: the
// index of the address in the prefix and a part of the interface's name.
type plan struct {
	name   string
	prefix netip.Prefix
}

// newPlan checks the name and the prefix.
func newPlan(name string, prefix netip.Prefix) (plan, error) {
	if name == "" || len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return plan{}, fmt.Errorf("network name %q: 1 to %d of a-z and 0-9 are allowed", name, maxName)
	}
	if !prefix.IsValid() || !prefix.Addr().Is4() {
		return plan{}, fmt.Errorf("network prefix %s: an IPv4 prefix is needed", prefix)
	}
	if bits := prefix.Bits(); bits < minPrefixBits || bits > maxPrefixBits {
		return plan{}, fmt.Errorf("network prefix %s: a length from /%d to /%d is needed", prefix, minPrefixBits, maxPrefixBits)
	}
	if prefix != prefix.Masked() {
		return plan{}, fmt.Errorf("network prefix %s: it has bits set beyond its length, as in %s", prefix, prefix.Masked())
	}
	return plan{name: name, prefix: prefix}, nil
}

// lastLease is the highest lease there is: the address below the broadcast one.
func (p plan) lastLease() uint32 { return 1<<(32-p.prefix.Bits()) - 2 }

// address returns the address of a lease.
func (p plan) address(lease uint32) netip.Addr {
	var b [4]byte
	base := p.prefix.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])+lease)
	return netip.AddrFrom4(b)
}

// lease returns the lease of an address.
func (p plan) lease(addr netip.Addr) (uint32, bool) {
	if !p.prefix.Contains(addr) {
		return 0, false
	}
	a, base := addr.As4(), p.prefix.Addr().As4()
	return p.leasable(binary.BigEndian.Uint32(a[:]) - binary.BigEndian.Uint32(base[:]))
}

// leased reports whether an address is one that instances have.
func (p plan) leased(addr netip.Addr) bool {
	_, ok := p.lease(addr)
	return ok
}

func (p plan) leasable(lease uint32) (uint32, bool) {
	return lease, lease >= firstLease && lease <= p.lastLease()
}

// gateway is the host's address on all links.
func (p plan) gateway() netip.Addr { return p.address(1) }

// devices is the prefix of the names of all links' host ends.
func (p plan) devices() string { return p.name + "-" }

// device returns the name of the host's end of a lease's link.
func (p plan) device(lease uint32) string {
	return p.devices() + strconv.FormatUint(uint64(lease), 16)
}

// leaseOf is device's inverse.
func (p plan) leaseOf(device string) (uint32, bool) {
	digits, ok := strings.CutPrefix(device, p.devices())
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || p.device(uint32(n)) != device {
		return 0, false
	}
	return p.leasable(uint32(n))
}

// hardware returns the hardware address of both ends of a lease's link. Each
// instance has its own, because some applications derive an id from it.
func (p plan) hardware(lease uint32) net.HardwareAddr {
	a := p.address(lease).As4()
	return net.HardwareAddr{0x02, 0x53, a[0], a[1], a[2], a[3]}
}

// table is the name of the nftables table.
func (p plan) table() string { return p.name + "-egress" }

// label marks the gateway's address on the loopback interface.
func (p plan) label() string { return "lo:" + p.name }
