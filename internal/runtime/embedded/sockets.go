package embedded

import (
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// sockets are TCP sockets in the network namespace of an instance that are not connected.
// To make one, a thread enters the namespace and leaves it again, which takes longer than to
// connect: so a sandbox has some before it is needed, and a socket that was refused is used
// for the next try. The zero value has none.
type sockets struct {
	mu     sync.Mutex // guards what follows
	idle   map[int][]int
	closed bool
}

// socketsAhead is how many sockets of IPv4 a sandbox has ahead of time: one for the checks of
// its health, and one for its first request.
const socketsAhead = 2

// make adds sockets of IPv4 to those of a sandbox.
func (s *sockets) make(netns, home *os.File) error {
	for range socketsAhead {
		fd, err := newSocket(netns, home, unix.AF_INET)
		if err != nil {
			return err
		}
		s.put(unix.AF_INET, fd)
	}
	return nil
}

// take returns a socket of the family. There may be none.
func (s *sockets) take(family int) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle[family])
	if n == 0 {
		return 0, false
	}
	fd = s.idle[family][n-1]
	s.idle[family] = s.idle[family][:n-1]
	return fd, true
}

// put gives a socket back, or adds one. It closes the socket if there are enough.
func (s *sockets) put(family, fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle[family]) >= socketsAhead {
		unix.Close(fd)
		return
	}
	if s.idle == nil {
		s.idle = map[int][]int{}
	}
	s.idle[family] = append(s.idle[family], fd)
}

// settle closes the sockets of all other families: it is known now which one reaches the
// application.
func (s *sockets) settle(family int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, fds := range s.idle {
		if other != family {
			closeAll(fds)
			delete(s.idle, other)
		}
	}
}

// close closes all sockets, also those that are given back later. The namespace would stay
// as long as one is open.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, fds := range s.idle {
		closeAll(fds)
	}
	s.idle = nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// newSocket makes a socket in a network namespace, whose connections come from the router.
func newSocket(netns, home *os.File, family int) (fd int, err error) {
	err = inNamespace(int(netns.Fd()), int(home.Fd()), func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return 0, err
	}
	if err := fromPeer(fd, family); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// beginConnect begins to connect a socket. pending means that the answer is still to come; otherwise
// it is connected, or refused with this error. An application on this machine answers at
// once.
func beginConnect(fd int, to unix.Sockaddr) (pending bool, err error) {
	err = unix.Connect(fd, to)
	if err == unix.EINPROGRESS || err == unix.EINTR {
		// The kernel has the answer, but tells it to the next call. That also makes a refused
		// socket ready to be used again.
		err = unix.Connect(fd, to)
	}
	return err == unix.EALREADY || err == unix.EINPROGRESS || err == unix.EINTR, err
}

func socketAddress(a netip.AddrPort) (family int, to unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
