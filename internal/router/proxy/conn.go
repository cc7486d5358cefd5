package proxy

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// instanceConn is a connection to an instance. It knows whether the instance can
// have read what was written last: net/http's errors do not tell.
type instanceConn struct {
	net.Conn
	written  atomic.Int64 // bytes passed to the kernel
	ended    atomic.Bool  // the instance has closed its direction
	received atomic.Int64 // once ended: bytes that it had received by then; -1 if unknown
}

func (c *instanceConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

func (c *instanceConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.end()
	}
	return n, err
}

// end records that the instance has closed its direction.
func (c *instanceConn) end() {
	if !c.ended.Load() {
		c.received.Store(acknowledged(c.Conn))
		c.ended.Store(true)
	}
}

// CloseWrite passes the end of a tunnel's input on.
func (c *instanceConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// unread reports whether the instance certainly read nothing of what was written
// after the first start bytes: nothing was written, or the instance closed the
// connection before any of it arrived. The kernel acknowledges with the end of the
// stream all that arrived before it, so later bytes were not there to be read.
// After a reset it is not known.
func (c *instanceConn) unread(start int64) bool {
	if c.written.Load() == start {
		return true
	}
	received := c.received.Load()
	return c.ended.Load() && received >= 0 && received <= start
}

// acknowledged returns how many of the bytes written to a TCP connection its peer
// has received; -1 if the kernel does not say.
func acknowledged(c net.Conn) int64 {
	n := int64(-1)
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Bytes_acked > 0 {
			n = int64(info.Bytes_acked) - 1 // the first is that of the handshake
		}
	})
	return n
}

// atEnd reports whether the peer of a connection has closed it and left nothing to
// read.
func atEnd(c net.Conn) (is bool) {
	control(c, func(fd int) {
		var b [1]byte
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		is = n == 0 && err == nil
	})
	return is
}

// control calls f with the descriptor of a connection, if it has one.
func control(c net.Conn, f func(fd int)) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { f(int(fd)) }) // of a closed connection nothing is known
	}
}

// errStale says that the instance had closed a pooled connection before the request
// was sent on it.
var errStale = errors.New("the instance has closed the connection")

// errSent says that a request was not repeated, since an instance may have executed it.
var errSent = errors.New("the instance ended the connection without a response")

// sending is one attempt on an instance. net/http's transport repeats requests by
// itself if a pooled connection fails before a response, also when an instance may
// have read them; sending prevents that.
type sending struct {
	mu     sync.Mutex    // guards the rest: the transport dials in another goroutine
	conn   *instanceConn // that the request was last written to; nil before
	start  int64         // bytes written to conn before
	reused bool          // conn was used for an earlier request
	failed bool          // the transport tried to repeat the request
}

// executable reports whether an instance may have read something of the request.
func (s *sending) executable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.executed()
}

// executed is executable; mu is held.
func (s *sending) executed() bool {
	return s.failed || s.conn != nil && !s.conn.unread(s.start)
}

// mayDial reports whether the transport may open a connection for the request.
func (s *sending) mayDial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.written.Load() == s.start {
		return true // the connection may also be for another request
	}
	s.failed = s.executed()
	return !s.failed
}

// got records the connection that the transport writes to next. It closes it if the
// request must not be written again: a write then fails before its first byte.
func (s *sending) got(info httptrace.GotConnInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = s.executed(); s.failed {
		info.Conn.Close()
		return
	}
	if c, ok := info.Conn.(*instanceConn); ok {
		s.conn, s.start, s.reused = c, c.written.Load(), info.Reused
	}
}

// prevented reports whether the transport tried to repeat the request.
func (s *sending) prevented() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// dead reports whether the instance closed the pooled connection before anything of
// the request arrived. A body that has been read can't be sent again, so this is
// asked before its first byte.
func (s *sending) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || !s.reused || !atEnd(s.conn.Conn) {
		return false
	}
	s.conn.end()
	return s.conn.unread(s.start)
}

type sendingKey struct{}
