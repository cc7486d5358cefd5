package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DialLimit is the longest that a connection may take to be made, in all.
const DialLimit = 10 * time.Second

// ForbiddenError is the refusal to connect to an address. Its text names what the user
// asked for and never what that was resolved to: names of an inner network would tell
// of it otherwise.
type ForbiddenError struct {
	Host string // or host:port
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("%s is at a loopback, private, link-local or otherwise special address, or at one of this server's own; the server connects to these only if its operator lists them with --allow-address", e.Host)
}

// errForbidden is the refusal of an address, between a dialer's control and dial.
var errForbidden = errors.New("the address is forbidden")

// Policy says which addresses are connected to. Nil is the policy that allows no
// forbidden address. A Policy does not change and is safe for concurrent use.
type Policy struct {
	entries []entry
}

// entry is one thing that the operator allows: a prefix or a name, at one port or all.
type entry struct {
	prefix netip.Prefix // invalid: name
	name   string       // in lower case, without a dot at its end
	port   uint16       // 0: all
}

// New returns a policy that allows, besides the internet, what the list has: an address
// (10.1.2.3), a network (10.0.0.0/8) or a host name (registry.internal), addresses and
// names also with a port (10.1.2.3:5000). A name is connected to whatever its address. A
// network with more than link-local or metadata addresses does not allow these.
func New(allow ...string) (*Policy, error) { return (*Policy)(nil).And(allow...) }

// And returns a policy that allows also what the list has.
func (p *Policy) And(allow ...string) (*Policy, error) {
	q := &Policy{}
	if p != nil {
		q.entries = slices.Clone(p.entries)
	}
	for _, text := range allow {
		e, ok := parse(text)
		if !ok {
			return nil, fmt.Errorf("%q is no address; it must be like 10.1.2.3, 10.1.2.3:5000, 10.0.0.0/8, registry.internal or registry.internal:5000", text)
		}
		q.entries = append(q.entries, e)
	}
	return q, nil
}

// hostForm matches the names that New takes.
var hostForm = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

func parse(text string) (entry, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return entry{prefix: p.Masked()}, true
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return single(a, 0), true
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return single(ap.Addr(), ap.Port()), ap.Port() != 0
	}
	host, given, found := strings.Cut(text, ":")
	e := entry{name: normal(host)}
	if found {
		port, err := strconv.ParseUint(given, 10, 16)
		if err != nil || port == 0 {
			return e, false
		}
		e.port = uint16(port)
	}
	return e, hostForm.MatchString(e.name) && !looksNumeric(e.name)
}

// single is an entry of one address.
func single(a netip.Addr, port uint16) entry {
	a = plain(a)
	return entry{prefix: netip.PrefixFrom(a, a.BitLen()), port: port}
}

// normal returns the one form of a name.
func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// looksNumeric reports whether a host is written like an address that netip does not
// read, in decimal, octal or hexadecimal or with parts missing, as inet_aton and many
// proxies do. No name of a host has a last part of this kind: https://url.spec.whatwg.org/#ends-in-a-number-checker
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// allowsName reports whether the operator has listed a name.
func (p *Policy) allowsName(host string, port uint16) bool {
	return p != nil && slices.ContainsFunc(p.entries, func(e entry) bool {
		return e.name != "" && e.name == normal(host) && (e.port == 0 || e.port == port)
	})
}

// allows reports whether an address may be connected to. own are the addresses of this
// host.
func (p *Policy) allows(at netip.AddrPort, own []netip.Addr) bool {
	a := plain(at.Addr())
	if p != nil && slices.ContainsFunc(p.entries, func(e entry) bool {
		return e.name == "" && (e.port == 0 || e.port == at.Port()) && e.prefix.Contains(a) && meant(e.prefix, a)
	}) {
		return true
	}
	return public(a) && !slices.Contains(own, a)
}

// meant reports whether a prefix that has the address is narrow enough to mean it.
func meant(p netip.Prefix, a netip.Addr) bool {
	for _, g := range guarded {
		if g.Contains(a) && (p.Bits() < g.Bits() || !g.Contains(p.Addr())) {
			return false
		}
	}
	return true
}

// Dial connects to host:port by TCP. It fails with a *ForbiddenError if the host has
// only addresses that the policy does not allow; nothing is sent to these, so that it is
// the same whether somebody listens there.
func (p *Policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	if err := p.CheckHost(address); err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: DialLimit}
	if !p.allowsName(host, port) {
		d.Control = p.control
	}
	c, err := d.DialContext(ctx, network, address)
	if errors.Is(err, errForbidden) {
		return nil, &ForbiddenError{address}
	}
	return c, err
}

func split(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return host, uint16(n), nil
}

// control is a net.Dialer's. It sees each address before it is connected to.
func (p *Policy) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	own, err := ownAddresses()
	if err != nil {
		return err
	}
	if !p.allows(at, own) {
		return errForbidden
	}
	return nil
}

// CheckHost refuses a host or host:port of which the name alone shows that Dial would: an
// address that is forbidden, also in a form that only some programs read, and names for
// this host. It resolves nothing.
func (p *Policy) CheckHost(address string) error {
	host, port, err := split(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), 0
	}
	if p.allowsName(host, port) {
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		own, err := ownAddresses()
		if err != nil {
			return err
		}
		if !p.allows(netip.AddrPortFrom(a, port), own) {
			return &ForbiddenError{address}
		}
		return nil
	}
	name := normal(host)
	if name == "" || looksNumeric(name) {
		return &ForbiddenError{address}
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return p.checkLocal(address, port)
	}
	return nil
}

// checkLocal refuses a name of this host unless the policy allows the loopback address.
func (p *Policy) checkLocal(address string, port uint16) error {
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if p.allows(netip.AddrPortFrom(a, port), nil) {
			return nil
		}
	}
	return &ForbiddenError{address}
}

// ownAddresses returns the addresses of this host's devices. They are read for each
// connection, since they change with the network.
func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read this host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, plain(addr))
			}
		}
	}
	return own, nil
}
