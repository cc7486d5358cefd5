package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

var _ runtime.Knocker = (*Driver)(nil)

// door knocks with sockets that were made inside the instance's network
// namespace once: a socket whose connection was refused may try again.
type door struct{ knockers []knocker }

type knocker struct {
	fd int
	to unix.Sockaddr
}

// Knock implements runtime.Knocker.
func (d *Driver) Knock(ctx context.Context, id string, port int) (runtime.Door, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port %d is not one of TCP", port)
	}
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("knock at instance %s: %w", id, err)
	}
	defer done()
	in, netns, err := d.network(id)
	if err != nil {
		return nil, fmt.Errorf("knock at instance %s: %w", id, err)
	}
	defer netns.Close()
	dr := &door{}
	err = inNamespace(int(netns.Fd()), int(d.home.Fd()), func() error {
		for _, addr := range in.addresses() {
			if err := dr.add(netip.AddrPortFrom(addr, uint16(port))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		dr.Close()
		return nil, fmt.Errorf("knock at instance %s: %w", id, err)
	}
	return dr, nil
}

// add adds a socket of the namespace that the calling thread is in. Where there
// is no IPv6, nobody listens on it either.
func (dr *door) add(to netip.AddrPort) error {
	family, sockaddr := socketAddress(to)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT {
		return nil
	}
	if err == nil {
		dr.knockers = append(dr.knockers, knocker{fd, sockaddr})
	}
	return os.NewSyscallError("socket", err)
}

// Open implements runtime.Door.
func (dr *door) Open() (bool, error) {
	for i, k := range dr.knockers {
		open, err := k.knock()
		if open { // used up, and closed as a visitor who leaves
			unix.Close(k.fd)
			dr.knockers = slices.Delete(dr.knockers, i, i+1)
		}
		if open || err != nil {
			return open, err
		}
	}
	if len(dr.knockers) == 0 {
		return false, errors.New("all sockets are used up")
	}
	return false, nil
}

// knock tries to connect. Within a network namespace the answer is there when
// the call returns, unless the listener's queue is full; a second call fetches
// it, and readies the socket for the next attempt.
func (k knocker) knock() (bool, error) {
	err := unix.Connect(k.fd, k.to)
	if err == unix.EINPROGRESS {
		err = unix.Connect(k.fd, k.to)
	}
	switch err {
	case nil:
		return true, nil
	case unix.ECONNREFUSED, unix.EALREADY, unix.EADDRNOTAVAIL, unix.ENETUNREACH:
		return false, nil
	}
	return false, os.NewSyscallError("connect", err)
}

// Close implements runtime.Door.
func (dr *door) Close() error {
	for _, k := range dr.knockers {
		unix.Close(k.fd)
	}
	dr.knockers = nil
	return nil
}
