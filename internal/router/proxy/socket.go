package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errInterrupted is returned by a read or write that [socket.interrupt] ended.
var errInterrupted = errors.New("interrupted")

// errLimit is returned when the time of a request has passed.
var errLimit = errors.New("request took too long")

// longAgo is a deadline that ends a wait at once.
var longAgo = time.Unix(1, 0)

// socket is a connection with two properties that a net.Conn lacks.
//
// Deadlines cost nothing while they are met. A deadline of an earlier operation stays
// set; when it ends a later operation too early, the deadline is set anew.
//
// The bytes of a TCP connection are read and written by system calls of our own while it
// is ready. That saves half of what the net package adds to a system call.
//
// One goroutine at a time may read, and one may write.
type socket struct {
	net.Conn
	tcp *net.TCPConn    // nil if what is read is not what is on the wire, as with TLS
	raw syscall.RawConn // of tcp

	in, out half

	tick func() error // called each tickTime while a read waits; its error ends the read

	take func() buffer // memory for readBuffer
	held buffer        // that a system call has read into

	direct *direct // nil if no loop has had it

	*asking // nil if the connection is not of the end that is asked, or has no descriptor
}

// asking is what only the connections have that requests are sent on.
type asking struct {
	heldCall func(fd uintptr) bool

	seen     lookup // by look
	lookCall func(fd uintptr)

	asks    bool // ask has yet to send
	askCall func(fd uintptr) bool
}

// tickTime is how often a read looks whether it is still of use.
const tickTime = time.Second

// half is one direction of a socket.
type half struct {
	call func(fd uintptr) bool // the system call; made once, so that a call allocates nothing
	p    []byte                // its argument
	n    int                   // its results
	err  error

	total int64 // bytes that have passed; used by the goroutine that reads or writes

	mu          sync.Mutex  // guards setting a deadline
	at          time.Time   // the deadline that is set; used by the goroutine that reads or writes
	interrupted atomic.Bool // for ever

	tellsLeft bool // each read tells what is left
	leaves    bool // the last read has left bytes or the end of the stream, or it is not known
}

// hasTCP is implemented by a connection that wraps a TCP connection without changing what
// is read and written.
type hasTCP interface{ TCP() *net.TCPConn }

func newSocket(c net.Conn, take func() buffer) *socket {
	s := &socket{Conn: c, take: take}
	switch c := c.(type) {
	case *net.TCPConn:
		s.tcp = c
	case hasTCP:
		s.tcp = c.TCP()
	}
	if s.tcp != nil {
		s.raw, _ = s.tcp.SyscallConn() // fails only for a nil connection
		s.in.call, s.out.call = s.receive, s.send
	}
	return s
}

// newAsking returns a socket that asks: look and ask may be called.
func newAsking(c net.Conn, take func() buffer) *socket {
	s := newSocket(c, take)
	if s.raw != nil {
		s.asking = &asking{heldCall: s.receiveHeld, askCall: s.sendThenReceive}
		s.lookCall = func(fd uintptr) { s.seen = lookAt(fd) }
	}
	return s
}

// tellLeft has each read tell what is left, if the kernel can.
func (s *socket) tellLeft() {
	s.raw.Control(func(fd uintptr) {
		s.in.tellsLeft = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_INQ, 1) == nil
	})
}

// receive reads once. It is called with a non-blocking descriptor.
func (s *socket) receive(fd uintptr) bool {
	h := &s.in
	for {
		var n int
		var errno syscall.Errno
		if s.in.tellsLeft {
			n, s.in.leaves, errno = sysReceiveLeft(fd, h.p)
		} else {
			n, errno = sysReceive(fd, h.p)
		}
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			h.n, h.err = 0, errno
		case n == 0 && len(h.p) > 0:
			h.n, h.err = 0, io.EOF
		default:
			h.n, h.err = n, nil
		}
		return true
	}
}

// send writes as much as the kernel takes.
func (s *socket) send(fd uintptr) bool {
	h := &s.out
	for h.n < len(h.p) {
		n, errno := sysSend(fd, h.p[h.n:])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			h.err = errno
			return true
		default:
			h.n += n
		}
	}
	h.err = nil
	return true
}

// read reads until a time. It returns at least a byte or an error: errLimit when the time
// has passed.
func (s *socket) read(p []byte, until time.Time) (n int, err error) {
	s.in.p = p
	n, err = s.await(s.in.call, p, until)
	s.in.p = nil
	return n, err
}

// readBuffer is read into memory that is taken when bytes have come, so that a connection
// that waits has none. The caller frees it; it is nil if n is 0.
func (s *socket) readBuffer(until time.Time) (b buffer, n int, err error) {
	if s.asking != nil {
		n, err = s.await(s.heldCall, nil, until)
		b, s.held = s.held, nil
		return b, n, err
	}
	b = s.take()
	if n, err = s.read(b.bytes(), until); n == 0 {
		b.free()
		b = nil
	}
	return b, n, err
}

func (s *socket) receiveHeld(fd uintptr) (done bool) {
	b := s.take()
	s.in.p = b.bytes()
	done = s.receive(fd)
	s.in.p = nil
	if done && s.in.n > 0 {
		s.held = b
	} else {
		b.free()
	}
	return done
}

// ask sends p, if nothing has arrived before, and then is readBuffer. It has no look at
// what arrives at once, since no answer can be there so soon: that saves a system call.
// seen is what it found before it sent; nothing was sent if that is not open. sent is how
// much was sent; if that is less than all, b and err say nothing.
func (s *socket) ask(p []byte, until time.Time) (b buffer, n, sent int, seen lookup, err error) {
	s.asks, s.seen = true, open
	s.out.p, s.out.n, s.out.err = p, 0, nil
	n, err = s.await(s.askCall, nil, until)
	b, s.held, s.out.p = s.held, nil, nil
	return b, n, s.out.n, s.seen, err
}

// sendThenReceive is the system calls of ask. The kernel's notice of an answer can't be lost:
// the caller waits for those that come from before it is called for the first time.
func (s *socket) sendThenReceive(fd uintptr) (done bool) {
	if !s.asks {
		return s.receiveHeld(fd)
	}
	s.asks = false
	s.in.n, s.in.err = 0, nil
	if s.seen = lookAt(fd); s.seen != open {
		return true
	}
	return !s.send(fd) || s.out.err != nil
}

// await waits until it can read. It reads by call, or into p if the connection has no
// descriptor.
func (s *socket) await(call func(fd uintptr) bool, p []byte, until time.Time) (n int, err error) {
	for {
		if err := s.limitRead(until); err != nil {
			return 0, err
		}
		if s.raw != nil {
			if n, err = 0, s.raw.Read(call); err == nil {
				n, err = s.in.n, s.in.err
			}
		} else if n, err = s.Conn.Read(p); n > 0 {
			err = nil
		}
		s.in.total += int64(n)
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := s.tooEarly(until); err != nil {
			return 0, err
		}
	}
}

// tooEarly says why a read ended with a deadline: nil if the deadline was not this read's.
func (s *socket) tooEarly(until time.Time) error {
	if s.in.interrupted.Load() {
		return errInterrupted
	}
	if !time.Now().Before(until) {
		return errLimit
	}
	s.in.at = time.Time{}
	if s.tick != nil {
		return s.tick()
	}
	return nil
}

// limitRead sets the deadline of a read, unless an earlier one is set.
func (s *socket) limitRead(until time.Time) error {
	h := &s.in
	if !h.at.IsZero() && !h.at.After(until) && !h.interrupted.Load() {
		return nil
	}
	if s.tick != nil {
		if t := time.Now().Add(tickTime); t.Before(until) {
			until = t
		}
	}
	return h.limit(until, s.SetReadDeadline)
}

func (h *half) limit(until time.Time, set func(time.Time) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.interrupted.Load() {
		return errInterrupted
	}
	h.at = until
	return set(until)
}

// write writes all of p until a time. It returns errLimit when the time has passed.
func (s *socket) write(p []byte, until time.Time) (n int, err error) {
	h := &s.out
	for {
		// A write of TLS that a deadline has ended can't be continued: its deadline is exact.
		if s.raw == nil || h.at.IsZero() || h.at.After(until) || h.interrupted.Load() {
			if err := h.limit(until, s.SetWriteDeadline); err != nil {
				return n, err
			}
		}
		var k int
		if s.raw != nil {
			h.p, h.n, h.err = p[n:], 0, nil
			err = s.raw.Write(h.call)
			if k = h.n; err == nil {
				err = h.err
			}
			h.p = nil
		} else {
			k, err = s.Conn.Write(p[n:])
		}
		h.total += int64(k)
		if n += k; err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if h.interrupted.Load() {
			return n, errInterrupted
		}
		if !time.Now().Before(until) {
			return n, errLimit
		}
		h.at = time.Time{}
	}
}

// interruptRead ends the read that waits and all later ones.
func (s *socket) interruptRead() { s.in.interrupt(s.SetReadDeadline) }

// interruptWrite ends the write that waits and all later ones.
func (s *socket) interruptWrite() { s.out.interrupt(s.SetWriteDeadline) }

func (h *half) interrupt(set func(time.Time) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interrupted.Store(true)
	set(longAgo)
}

// readNow reads what has arrived, without waiting, also after an interrupt.
func (s *socket) readNow(p []byte) (n int) {
	if s.raw == nil {
		return 0
	}
	s.raw.Control(func(fd uintptr) {
		s.in.p = p
		if s.receive(fd) && s.in.err == nil {
			n = s.in.n
		}
		s.in.p = nil
	})
	s.in.total += int64(n)
	return n
}

// spliceTo moves n bytes to another TCP connection inside the kernel. It returns io.EOF if
// there are fewer. Both deadlines end with the time limit.
func (s *socket) spliceTo(to *socket, n int64, until time.Time) error {
	if err := to.out.limit(until, to.SetWriteDeadline); err != nil {
		return err
	}
	for {
		if err := s.limitRead(until); err != nil {
			return err
		}
		k, err := to.tcp.ReadFrom(&io.LimitedReader{R: s.tcp, N: n})
		s.in.total, to.out.total = s.in.total+k, to.out.total+k
		switch n -= k; {
		case err == nil && n > 0:
			return io.EOF
		case err == nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err := s.tooEarly(until); err != nil {
			return err
		}
	}
}

// lookup is what can be known of a connection without reading from it.
type lookup uint8

const (
	open    lookup = iota // nothing has arrived
	surplus               // bytes have arrived
	ended                 // the peer has closed its direction, and nothing else has arrived
	broken                // the connection cannot be used
)

// look looks at what has arrived. Of a connection without a descriptor it knows nothing.
func (s *socket) look() lookup {
	if s.raw == nil {
		var l lookup
		control(s.Conn, func(fd int) { l = lookAt(uintptr(fd)) })
		return l
	}
	if s.raw.Control(s.lookCall) != nil {
		return broken
	}
	return s.seen
}

func lookAt(fd uintptr) lookup {
	n, errno := sysPeek(fd)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return open
	case errno != 0:
		return broken
	case n == 0:
		return ended
	}
	return surplus
}

// left says how a client has left, as far as its kernel has told.
type left uint8

const (
	present  left = iota
	halfGone      // it sends no more; it may still read
	gone          // it reads no more either
)

// leaving says whether the peer of a connection is leaving.
func leaving(c net.Conn) (l left) {
	if s, ok := c.(interface{ Gone() bool }); ok { // a stream
		if s.Gone() {
			return gone
		}
		return present
	}
	known := control(bare(c), func(fd int) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err != nil || n == 0 {
			return
		}
		if l = halfGone; p[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			l = gone
		}
	})
	if !known {
		return gone // it was closed
	}
	return l
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

// control calls f with the descriptor of a connection. ok is false if the connection was
// closed; f is not called for one without a descriptor either.
func control(c net.Conn, f func(fd int)) (ok bool) {
	sc, has := c.(syscall.Conn)
	if !has {
		return true
	}
	raw, err := sc.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { f(int(fd)) }) == nil
}

// bare returns the connection below TLS.
func bare(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}

// reset makes closing send a TCP reset. It tells the peer that a response is incomplete
// where the end of the connection is the only end marker.
func reset(c net.Conn) {
	if c, ok := bare(c).(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
}

// closeWrite closes the sending half of a connection and reports whether it could.
func closeWrite(c net.Conn) bool {
	half, ok := c.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
