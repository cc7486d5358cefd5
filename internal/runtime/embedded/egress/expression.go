package egress

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The rules in policy.go are made of the functions below. Each returns the
// expressions of one match or verdict; all use register 1.

// rule joins matches and a verdict.
func rule(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }

// equals and differs compare the register with bytes.
func equals(b []byte) expr.Any  { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }
func differs(b []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: b} }

// native is a number as the kernel holds it in a register.
func native(n uint32) []byte { return binaryutil.NativeEndian.PutUint32(n) }

// from and to match packets by the beginning of an interface's name. Comparing
// less than the whole register is how nftables says "slipway-*".
func from(devices string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equals([]byte(devices))}
}

func to(devices string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, equals([]byte(devices))}
}

func notTo(devices string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, differs([]byte(devices))}
}

// notToDevice matches packets that leave by another device than the one named.
func notToDevice(name string) []expr.Any {
	whole := make([]byte, unix.IFNAMSIZ)
	copy(whole, name)
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, differs(whole)}
}

// inGroup matches packets by the group of the device they came from, and
// inSomeGroup those from a device in any but the one that devices begin in.
func inGroup(g uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: 1}, equals(native(g))}
}

func inSomeGroup() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: 1}, differs(native(0))}
}

// notIPv4 matches all other packets.
func notIPv4() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, differs([]byte{unix.NFPROTO_IPV4})}
}

// protocol matches a transport protocol.
func protocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{p})}
}

// network loads bytes of the network header, at their offset in IPv4.
func network(offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

func source() expr.Any      { return network(12, 4) }
func destination() expr.Any { return network(16, 4) }

// hasOptions matches IPv4 headers longer than five words.
func hasOptions() []expr.Any {
	return []expr.Any{network(0, 1), masked([]byte{0x0f}), differs([]byte{5})}
}

func masked(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func addressMask(p netip.Prefix) expr.Any {
	mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - p.Bits()))
	return masked(mask)
}

func sourceIn(p netip.Prefix) []expr.Any {
	return []expr.Any{source(), addressMask(p), equals(p.Addr().AsSlice())}
}

func sourceNotIn(p netip.Prefix) []expr.Any {
	return []expr.Any{source(), addressMask(p), differs(p.Addr().AsSlice())}
}

func destinationIn(p netip.Prefix) []expr.Any {
	return []expr.Any{destination(), addressMask(p), equals(p.Addr().AsSlice())}
}

func destinationIs(a netip.Addr) []expr.Any {
	return []expr.Any{destination(), equals(a.AsSlice())}
}

// protocolNotIn and the two that follow look a packet's part up in a set.
func protocolNotIn(s *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, Invert: true},
	}
}

func destinationInSet(s *nftables.Set) []expr.Any {
	return []expr.Any{destination(), &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

func portInSet(s *nftables.Set) []expr.Any {
	return []expr.Any{destinationPort(), &expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

func port(p uint16) []expr.Any {
	return []expr.Any{destinationPort(), equals(binaryutil.BigEndian.PutUint16(p))}
}

// destinationPort is at the same place in TCP and UDP.
func destinationPort() expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// noWayBack matches packets to whose source address the host has no route by
// the interface they came from.
func noWayBack() []expr.Any {
	return []expr.Any{&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, equals(native(0))}
}

// destinationType matches by what the host's routing makes of the destination;
// kinds are those of rtnetlink.
func destinationType(kind uint32) []expr.Any {
	return []expr.Any{destinationKind(), equals(native(kind))}
}

func destinationNotType(kind uint32) []expr.Any {
	return []expr.Any{destinationKind(), differs(native(kind))}
}

func destinationKind() expr.Any {
	return &expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true}
}

// state matches connections in one of the states, given as expr.CtStateBit
// values.
func state(bits uint32) []expr.Any {
	return append(stateBits(bits), differs(native(0)))
}

func notState(bits uint32) []expr.Any {
	return append(stateBits(bits), equals(native(0)))
}

func stateBits(bits uint32) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, masked(native(bits))}
}

// each applies a limit to each source address on its own, and matches what is
// beyond it.
func each(s *nftables.Set, operation uint32, limit expr.Any) []expr.Any {
	return []expr.Any{source(), &expr.Dynset{
		SrcRegKey: 1, SetName: s.Name, SetID: s.ID, Operation: operation, Exprs: []expr.Any{limit},
	}}
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func accept() []expr.Any               { return verdict(expr.VerdictAccept, "") }
func drop() []expr.Any                 { return verdict(expr.VerdictDrop, "") }
func gotoChain(name string) []expr.Any { return verdict(expr.VerdictGoto, name) }

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// translate sends packets to another address and port of IPv4.
func translate(addr netip.Addr, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: addr.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	}
}

func resetTCP() []expr.Any { return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

func prohibit() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}
