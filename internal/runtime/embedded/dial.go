package embedded

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

// longAgo is a deadline that ends a wait at once.
var longAgo = time.Unix(1, 0)

// Dial implements runtime.Driver. The socket is made inside the instance's
// network namespace, where the application is reached on whichever address it
// listens; after that it works like any other. The application sees it come from
// [peer4] or [peer6].
func (d *Driver) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port %d is not one of TCP", port)
	}
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", id, err)
	}
	defer done()
	in, netns, err := d.network(id)
	if err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", id, err)
	}
	defer netns.Close()
	conn, err := connectAny(ctx, netns, d.home, in.addresses(), port)
	if err == nil {
		return conn, nil
	}
	if !in.alive() {
		err = runtime.ErrNotRunning
	}
	return nil, fmt.Errorf("dial instance %s: %w", id, err)
}

// connectAny opens a connection to a port of the first address that takes one. The error
// is that of the first address.
func connectAny(ctx context.Context, netns, home *os.File, addrs []netip.Addr, port int) (net.Conn, error) {
	var first error
	for _, addr := range addrs {
		to := netip.AddrPortFrom(addr, uint16(port))
		conn, err := connect(ctx, netns, home, to)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// network returns a live instance and its network namespace, for the caller to
// close.
func (d *Driver) network(id string) (*instance, *os.File, error) {
	in := d.instance(id)
	if in == nil {
		return nil, nil, runtime.ErrNotFound
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil || in.process.netns == nil { // the latter: it has just ended
		return nil, nil, runtime.ErrNotRunning
	}
	fd, err := unix.FcntlInt(in.process.netns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return in, os.NewFile(uintptr(fd), "network of "+id), nil
}

// addresses are the addresses at which an application may listen, likeliest first.
func (in *instance) addresses() []netip.Addr {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if in.spec.Addr.IsValid() {
		addrs = append(addrs, in.spec.Addr)
	}
	return addrs
}

// connect opens a connection inside a network namespace.
func connect(ctx context.Context, netns, home *os.File, to netip.AddrPort) (net.Conn, error) {
	family, sockaddr := socketAddress(to)
	var fd int
	err := inNamespace(int(netns.Fd()), int(home.Fd()), func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), to.String())
	defer socket.Close() // FileConn takes a copy
	if err := fromPeer(fd, family); err != nil {
		return nil, err
	}
	if err := await(ctx, socket, sockaddr); err != nil {
		return nil, err
	}
	return net.FileConn(socket)
}

// await connects a socket and waits until it is connected.
func await(ctx context.Context, socket *os.File, to unix.Sockaddr) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	err = nil
	begun := false
	stop := context.AfterFunc(ctx, func() { socket.SetWriteDeadline(longAgo) })
	defer stop()
	waitErr := raw.Write(func(fd uintptr) (done bool) {
		if !begun {
			begun = true
			err = unix.Connect(int(fd), to)
			return err != unix.EINPROGRESS && err != unix.EINTR
		}
		done, err = connected(int(fd))
		return done
	})
	if waitErr != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return waitErr
	}
	return os.NewSyscallError("connect", err)
}

// connected reports whether a connection has come about or failed.
func connected(fd int) (bool, error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, err
	}
	if code != 0 {
		return true, unix.Errno(code)
	}
	// The wake-up may have been for an event before the connection was started.
	if _, err := unix.Getpeername(fd); err == unix.ENOTCONN {
		return false, nil
	}
	return true, nil
}

func socketAddress(a netip.AddrPort) (family int, to unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
