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

	// While a read waits, tick is called each tickTime. Its error ends the read.
	tick     func() error
	tickTime time.Duration

	blocks    bool // readHeld takes a block, not a headBlock
	heldHead  *headBlock
	heldBlock *block
	heldCall  func(fd uintptr) bool

	seen     lookup // by look
	lookCall func(fd uintptr)
}

// half is one direction of a socket.
type half struct {
	call func(fd uintptr) bool // the system call; made once, so that a call allocates nothing
	p    []byte                // its argument
	n    int                   // its results
	err  error

	mu          sync.Mutex  // guards setting a deadline
	at          time.Time   // the deadline that is set; used by the goroutine that reads or writes
	interrupted atomic.Bool // for ever
}

// hasTCP is implemented by a connection that wraps a TCP connection without changing what
// is read and written.
type hasTCP interface{ TCP() *net.TCPConn }

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
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

// receive reads once. It is called with a non-blocking descriptor.
func (s *socket) receive(fd uintptr) bool {
	h := &s.in
	for {
		n, errno := sysReceive(fd, h.p)
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
	for {
		if err := s.limitRead(until); err != nil {
			return 0, err
		}
		if s.raw != nil {
			s.in.p = p
			err = s.raw.Read(s.in.call)
			s.in.p = nil
			if n = 0; err == nil {
				n, err = s.in.n, s.in.err
			}
		} else if n, err = s.Conn.Read(p); n > 0 {
			err = nil
		}
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
		if t := time.Now().Add(s.tickTime); t.Before(until) {
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
	return n
}

// spliceTo moves up to n bytes to another TCP connection inside the kernel, and returns how
// many. Both deadlines end with the time limit.
func (s *socket) spliceTo(to *socket, n int64, until time.Time) (moved int64, err error) {
	if err := to.out.limit(until, to.SetWriteDeadline); err != nil {
		return 0, err
	}
	for moved < n {
		if err := s.limitRead(until); err != nil {
			return moved, err
		}
		k, err := to.tcp.ReadFrom(&io.LimitedReader{R: s.tcp, N: n - moved})
		if moved += k; err == nil {
			if moved < n {
				return moved, io.EOF
			}
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return moved, err
		}
		if err := s.tooEarly(until); err != nil {
			return moved, err
		}
	}
	return moved, nil
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
	if s.lookCall == nil {
		s.lookCall = func(fd uintptr) { s.seen = lookAt(fd) }
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
	present left = iota
	half_        // it sends no more; it may still read
	gone         // it reads no more either
)

// leaving says whether the peer of a connection is leaving.
func leaving(c net.Conn) (l left) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	known := control(c, func(fd int) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err != nil || n == 0 {
			return
		}
		if l = half_; p[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
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

// reset makes closing send a TCP reset. It tells the peer that a response is incomplete
// where the end of the connection is the only end marker.
func reset(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if c, ok := c.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
}

// closeWrite closes the sending half of a connection and reports whether it could.
func closeWrite(c net.Conn) bool {
	half, ok := c.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// readHeld waits for bytes and reads them into memory that it takes when they have come,
// so that a connection that waits has none: heldHead or, for an instance's, heldBlock. It
// is for connections whose bytes are read by system calls of our own.
func (s *socket) readHeld(until time.Time) (n int, err error) {
	if s.heldCall == nil {
		s.heldCall = s.receiveHeld
	}
	for {
		if err := s.limitRead(until); err != nil {
			return 0, err
		}
		err = s.raw.Read(s.heldCall)
		if err == nil {
			return s.in.n, s.in.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if err := s.tooEarly(until); err != nil {
			return 0, err
		}
	}
}

func (s *socket) receiveHeld(fd uintptr) (done bool) {
	if s.blocks {
		b := takeBlock()
		s.in.p = b[:]
		if done = s.receive(fd); done && s.in.n > 0 {
			s.heldBlock = b
		} else {
			b.free()
		}
	} else {
		b := takeHead()
		s.in.p = b[:]
		if done = s.receive(fd); done && s.in.n > 0 {
			s.heldHead = b
		} else {
			b.free()
		}
	}
	s.in.p = nil
	return done
}

// readBlock waits for bytes and returns them in a block, which the caller frees if n is not
// 0.
func (s *socket) readBlock(until time.Time) (b *block, n int, err error) {
	if s.raw != nil {
		s.blocks = true
		n, err = s.readHeld(until)
		b, s.heldBlock = s.heldBlock, nil
		return b, n, err
	}
	b = takeBlock()
	if n, err = s.read(b[:], until); n == 0 {
		b.free()
	}
	return b, n, err
}

// uninterrupt lets reads wait again.
func (s *socket) uninterrupt() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.interrupted.Store(false)
	s.in.at = time.Time{}
}
