package embedded

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/runtime"
)

// States of sockets in /proc/net/tcp and udp.
const (
	listenState = "0A" // TCP: waits for connections
	boundState  = "07" // UDP: not connected to one peer
)

// Listening implements runtime.Netstat.
func (d *Driver) Listening(ctx context.Context, id string) ([]runtime.Socket, error) {
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the sockets of instance %s: %w", id, err)
	}
	defer done()
	_, n, err := d.network(id)
	if err != nil {
		return nil, fmt.Errorf("read the sockets of instance %s: %w", id, err)
	}
	defer n.netns.Close()
	var all []runtime.Socket
	err = inNamespace(int(n.netns.Fd()), int(d.home.Fd()), func() error {
		for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
			state, udp := listenState, strings.HasPrefix(name, "udp")
			if udp {
				state = boundState
			}
			list, err := readSockets("/proc/thread-self/net/"+name, state)
			if err != nil {
				return err
			}
			for _, a := range list {
				all = append(all, runtime.Socket{Addr: a, UDP: udp})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the sockets of instance %s: %w", id, err)
	}
	return slices.DeleteFunc(all, func(s runtime.Socket) bool { // the driver's own
		return !s.UDP && s.Addr.Addr().IsLoopback() && slices.ContainsFunc(d.cfg.Collectors, func(c Collector) bool { return c.Port == int(s.Addr.Port()) })
	}), nil
}

// listening returns the addresses at which TCP sockets listen in the network namespace
// of a process.
func listening(pid int) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, name := range []string{"tcp", "tcp6"} {
		list, err := readSockets(fmt.Sprintf("/proc/%d/net/%s", pid, name), listenState)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// readSockets returns the addresses of the sockets in a state.
func readSockets(file, state string) ([]netip.AddrPort, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // without IPv6, or the process has ended
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseSockets(f, state)
}

// parseSockets reads /proc/net/tcp, tcp6, udp or udp6.
func parseSockets(r io.Reader, state string) (list []netip.AddrPort, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || f[3] != state {
			continue
		}
		a, err := parseSocket(f[1])
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, s.Err()
}

// parseSocket reads an address as the kernel writes it: words of 32 bits in the
// machine's byte order, and a port, in hexadecimal.
func parseSocket(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(host)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(words) != 4 && len(words) != 16 {
		return netip.AddrPort{}, fmt.Errorf("the kernel tells of a socket at %q", text)
	}
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	a, _ := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}
