package embedded

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// listenState is the state of a listening socket in /proc/net/tcp.
const listenState = "0A"

// listening returns the addresses at which TCP sockets listen in the network namespace
// of a process.
func listening(pid int) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6, or the process has ended
		}
		if err != nil {
			return nil, err
		}
		list, err := parseListening(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// parseListening reads /proc/net/tcp or tcp6.
func parseListening(r io.Reader) (list []netip.AddrPort, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || f[3] != listenState {
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
