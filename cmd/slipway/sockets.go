//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/daemon"
)

// firstSocket is the descriptor of the first inherited socket, and unnamedSocket the
// name of one without a name; see sd_listen_fds(3).
const (
	firstSocket   = 3
	unnamedSocket = "unknown"
)

// inheritedSockets returns the listening sockets that systemd, or who else speaks its
// protocol, passed to the process with this id, and forgets the variables that tell of
// them.
func inheritedSockets(getenv func(string) string, pid int) ([]daemon.Socket, error) {
	names, err := socketNames(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"), pid)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil { // for programs that the server starts
			return nil, err
		}
	}
	var sockets []daemon.Socket
	for i, name := range names {
		fd := firstSocket + i
		if err := checkSocket(fd); err != nil {
			return nil, fmt.Errorf("inherited socket %d, %q, %w", i, name, err)
		}
		unix.CloseOnExec(fd)
		sockets = append(sockets, daemon.Socket{Name: name, File: os.NewFile(uintptr(fd), name)})
	}
	return sockets, nil
}

// maxSockets is how many sockets can be inherited. It bounds what a wrong number in
// the environment can do.
const maxSockets = 1024

// socketNames returns the names of the sockets that these variables are about, none if
// they are for another process.
func socketNames(listenPID, listenFDs, listenNames string, pid int) ([]string, error) {
	if listenPID != strconv.Itoa(pid) {
		return nil, nil // of a program that started this one
	}
	n, err := strconv.Atoi(listenFDs)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("LISTEN_FDS is %.40q; it must be the number of inherited sockets, 0 to %d", listenFDs, maxSockets)
	}
	if n == 0 {
		return nil, nil
	}
	names := strings.Split(listenNames, ":")
	if listenNames == "" {
		names = nil
	}
	if len(names) > n {
		return nil, fmt.Errorf("LISTEN_FDNAMES has %d names and LISTEN_FDS says %d sockets; there must be one name for each", len(names), n)
	}
	for len(names) < n {
		names = append(names, unnamedSocket)
	}
	return names, nil
}

// checkSocket refuses a descriptor that is no listening TCP socket. Its error begins
// with a verb.
func checkSocket(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("is no socket: %w", err)
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("is no socket: %w", err)
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("is no socket: %w", err)
	}
	switch {
	case kind != unix.SOCK_STREAM || family != unix.AF_INET && family != unix.AF_INET6:
		return errors.New("is no TCP socket; its socket unit must have ListenStream= with a port")
	case listens == 0:
		return errors.New("does not listen; its socket unit must have Accept=no")
	}
	return nil
}
