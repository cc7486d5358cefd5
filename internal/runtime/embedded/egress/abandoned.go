package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// abandonedAfter is how long nothing may have used a network that is removed. A server
// that starts opens its sockets milliseconds after it added the gateway's address.
const abandonedAfter = time.Second

// udpSockets lists the UDP sockets of the calling thread's network namespace.
const udpSockets = "/proc/thread-self/net/udp"

// RemoveAbandoned removes the networks whose servers are gone, and returns their names.
// A server that was killed leaves its gateway's address and its rules on the host, and
// nobody else may have the prefix. Only networks with a gateway in space and a name that
// ours accepts are looked at. Those with a link, or with a socket at the gateway's
// address, are in use: instances outlive their server, and a server that runs listens
// there for DNS queries. It takes a second, so that a server that starts is seen.
func RemoveAbandoned(ctx context.Context, space netip.Prefix, ours func(name string) bool, log *slog.Logger) ([]string, error) {
	w, err := openHandle()
	if err != nil {
		return nil, err
	}
	defer w.close()
	before, err := w.unused(space, ours)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(abandonedAfter):
	}
	after, err := w.unused(space, ours)
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for name, gateway := range after {
		if before[name] != gateway {
			continue
		}
		// The length of its prefix is not known, and not needed.
		n, err := New(Config{Name: name, Prefix: netip.PrefixFrom(gateway, maxPrefixBits).Masked(), Log: log})
		if err == nil {
			err = n.Teardown(ctx)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, name)
	}
	return removed, errors.Join(errs...)
}

// unused returns the gateways of networks that have neither a link nor a socket, by
// name.
func (w *netHandle) unused(space netip.Prefix, ours func(string) bool) (map[string]netip.Addr, error) {
	_, addrs, err := w.loopback()
	if err != nil {
		return nil, err
	}
	links, err := list(w.route.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the host's devices: %w", err)
	}
	sockets, err := os.ReadFile(udpSockets)
	if err != nil {
		return nil, fmt.Errorf("list the host's UDP sockets: %w", err)
	}
	listening := localAddresses(string(sockets))
	found := map[string]netip.Addr{}
	for _, a := range addrs {
		name, labelled := strings.CutPrefix(a.Label, "lo:")
		at, _ := prefixOf(a.IPNet)
		gateway := at.Addr()
		if labelled && ours(name) && a.Scope == unix.RT_SCOPE_HOST && at.IsSingleIP() && space.Contains(gateway) && !listening[gateway] {
			found[name] = gateway
		}
	}
	for _, l := range links {
		name, _, _ := strings.Cut(l.Attrs().Name, "-")
		delete(found, name)
	}
	return found, nil
}

// localAddresses returns the addresses that sockets are bound to, from the kernel's
// list. There, an address is the hexadecimal number that four bytes make in the
// machine's order.
func localAddresses(list string) map[netip.Addr]bool {
	bound := map[netip.Addr]bool{}
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		text, _, _ := strings.Cut(fields[1], ":")
		var n uint32
		if _, err := fmt.Sscanf(text, "%08X", &n); err != nil {
			continue // the heading
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], n)
		bound[netip.AddrFrom4(b)] = true
	}
	return bound
}
