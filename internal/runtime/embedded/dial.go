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
	in, n, err := d.network(id)
	if err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", id, err)
	}
	defer n.netns.Close()
	conn, err := n.connectAny(ctx, in.addresses(), port)
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
func (n namespace) connectAny(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, error) {
	var first error
	for _, addr := range addrs {
		to := netip.AddrPortFrom(addr, uint16(port))
		conn, err := n.connect(ctx, to)
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

// namespace is the network namespace of an instance, to dial from.
type namespace struct {
	netns, home *os.File
	sockets     *sockets // that were made in it; nil for none
}

// network returns a live instance and its network namespace, for the caller to
// close.
func (d *Driver) network(id string) (*instance, namespace, error) {
	in := d.instance(id)
	if in == nil {
		return nil, namespace{}, runtime.ErrNotFound
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil || in.process.netns == nil { // the latter: it has just ended
		return nil, namespace{}, runtime.ErrNotRunning
	}
	netns, err := dup(in.process.netns)
	if err != nil {
		return nil, namespace{}, err
	}
	return in, namespace{netns, d.home, &in.process.sockets}, nil
}

// addresses are the addresses at which an application may listen, likeliest first.
func (in *instance) addresses() []netip.Addr {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if in.spec.Addr.IsValid() {
		addrs = append(addrs, in.spec.Addr)
	}
	return addrs
}

// connect opens a connection inside the network namespace.
func (n namespace) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	family, sockaddr := socketAddress(to)
	fd, ok := 0, false
	if n.sockets != nil {
		fd, ok = n.sockets.take(family)
	}
	if !ok {
		var err error
		if fd, err = newSocket(n.netns, n.home, family); err != nil {
			return nil, err
		}
	}
	pending, err := beginConnect(fd, sockaddr)
	if err == unix.ECONNREFUSED && n.sockets != nil {
		n.sockets.put(family, fd)
		return nil, os.NewSyscallError("connect", err)
	}
	socket := os.NewFile(uintptr(fd), to.String())
	defer socket.Close() // FileConn takes a copy
	if pending {
		err = await(ctx, socket)
	} else {
		err = os.NewSyscallError("connect", err)
	}
	if err != nil {
		return nil, err
	}
	if n.sockets != nil {
		n.sockets.settle(family)
	}
	return net.FileConn(socket)
}

// await waits until a socket is connected.
func await(ctx context.Context, socket *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	err = nil
	stop := context.AfterFunc(ctx, func() { socket.SetWriteDeadline(longAgo) })
	defer stop()
	waitErr := raw.Write(func(fd uintptr) (done bool) {
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
