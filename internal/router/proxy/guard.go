package proxy

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// errUploadAborted is returned by reads from a client whose upload was aborted.
var errUploadAborted = errors.New("upload aborted: the response came before its end")

// Limits of a lingering close.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 10
)

// guard wraps a client connection and lets only strictly framed requests
// through. It checks every request head before net/http sees a byte of it and
// follows each message to its end. It replaces a request that it refuses by one
// that carries the verdict, and reads nothing after it.
//
// net/http reads from one goroutine at a time, and sets deadlines and closes
// from others.
type guard struct {
	net.Conn
	peer     peer
	headTime time.Duration // for a request head, from its first byte
	tunnels  *tunnels      // of the listener

	// Used only by the reader.
	buf    []byte // from the pool, nil when empty: [r:a] may be delivered, [a:] is unchecked
	r, a   int
	state  guardState
	head   http1.HeadScanner
	left   int64 // bytes of a body with a known length
	chunks http1.ChunkScanner
	err    error // returned after the delivered bytes; nil while there is more

	midMessage    atomic.Bool // the client may still be sending bytes that nobody will read
	uploadAborted atomic.Bool
	malformed     atomic.Bool // the body in progress is no valid encoding; set before the reader is told

	mu              sync.Mutex // guards the deadlines
	netHTTPDeadline time.Time  // read deadline that net/http set
	headDeadline    time.Time  // when the current head must be complete; zero for no limit
}

type guardState uint8

const (
	guardHead guardState = iota
	guardLength
	guardChunks
	guardRaw     // every byte passes: the client asked for another protocol
	guardRefused // no byte passes
)

// peer is the remote end of a client connection.
type peer struct {
	addr    netip.Addr
	ip      string // addr as text; empty when unknown
	port    string // of the local end
	trusted bool   // its X-Forwarded headers are used
}

// readers pools the buffers of guards.
var readers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func newPeer(c net.Conn, trusted []netip.Prefix) (p peer) {
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		p.addr = a.Addr().Unmap().WithZone("")
		p.ip = p.addr.String()
	}
	if a, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		p.port = strconv.Itoa(int(a.Port()))
	}
	for _, t := range trusted {
		p.trusted = p.trusted || t.Contains(p.addr)
	}
	return p
}

// Read returns checked bytes.
func (g *guard) Read(p []byte) (int, error) {
	for {
		if n := g.deliver(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if g.err != nil {
			return 0, g.err
		}
		if g.uploadAborted.Load() {
			return 0, errUploadAborted
		}
		if g.state == guardRefused {
			return 0, g.discard()
		}
		if len(g.buf) == g.a && g.state != guardHead {
			return g.readBody(p)
		}
		if err := g.readHead(p); err != nil {
			return 0, err
		}
	}
}

// deliver copies checked bytes to p and returns an emptied buffer to the pool.
func (g *guard) deliver(p []byte) int {
	n := copy(p, g.buf[g.r:g.a])
	if g.r += n; g.r == len(g.buf) && g.buf != nil {
		if cap(g.buf) <= 4<<10 {
			b := g.buf[:0]
			readers.Put(&b)
		}
		g.buf, g.r, g.a = nil, 0, 0
	}
	return n
}

// readBody reads into p without buffering, while a body or another protocol is
// expected.
func (g *guard) readBody(p []byte) (int, error) {
	if g.state == guardLength {
		p = p[:min(int64(len(p)), g.left)]
	}
	n, err := g.Conn.Read(p)
	if n == 0 {
		return 0, err
	}
	mine := g.consume(p[:n])
	if mine < n && g.err == nil {
		g.appendBuf(p[mine:n])
		g.check()
	}
	if mine == 0 {
		return 0, g.err
	}
	return mine, nil
}

// readHead reads more of a request head. Between messages it reads into p, so
// that an idle connection holds no buffer.
func (g *guard) readHead(p []byte) error {
	if len(g.buf) == 0 {
		n, err := g.Conn.Read(p)
		if n == 0 {
			return err
		}
		g.appendBuf(p[:n])
	} else {
		if len(g.buf) == cap(g.buf) {
			g.buf = append(g.buf, make([]byte, len(g.buf))...)[:len(g.buf)]
		}
		n, err := g.Conn.Read(g.buf[len(g.buf):cap(g.buf)])
		if n == 0 {
			return g.headError(err)
		}
		g.buf = g.buf[:len(g.buf)+n]
	}
	g.check()
	return nil
}

func (g *guard) appendBuf(b []byte) {
	if g.buf == nil {
		g.buf = *readers.Get().(*[]byte)
	}
	g.buf = append(g.buf, b...)
}

// headError turns the timeout of a head into a refusal.
func (g *guard) headError(err error) error {
	g.mu.Lock()
	late := !g.headDeadline.IsZero() && !time.Now().Before(g.headDeadline)
	g.mu.Unlock()
	if late && errors.Is(err, os.ErrDeadlineExceeded) {
		g.refuse(http.StatusRequestTimeout)
		return nil
	}
	return err
}

// check checks as many buffered bytes as possible.
func (g *guard) check() {
	for g.a < len(g.buf) && g.err == nil && g.state != guardRefused {
		if g.state != guardHead {
			g.a += g.consume(g.buf[g.a:])
			continue
		}
		g.midMessage.Store(true)
		end, status := g.head.Find(g.buf[g.a:])
		if status != 0 {
			g.refuse(status)
			return
		}
		if end == 0 {
			g.limitHeadTime(true)
			return
		}
		g.acceptHead(end)
	}
}

// acceptHead checks the complete head at the start of the unchecked bytes.
func (g *guard) acceptHead(end int) {
	g.limitHeadTime(false)
	if g.head.LeadingBlank { // net/http would refuse the empty line
		g.buf = append(g.buf[:g.a], g.buf[g.a+len("\r\n"):]...)
		end -= len("\r\n")
	}
	h, status := http1.ParseHead(g.buf[g.a : g.a+end])
	if status != 0 {
		g.refuse(status)
		return
	}
	if h.RawTarget != "" {
		old := len(g.buf)
		at := g.a + bytes.IndexByte(g.buf[g.a:], ' ') + 1
		g.buf = slices.Replace(g.buf, at, at+len(h.RawTarget), []byte(verdict{target: h.RawTarget}.encode())...)
		end += len(g.buf) - old
	}
	g.a += end
	g.head = http1.HeadScanner{}
	switch {
	case h.Upgrade:
		g.setState(guardRaw)
	case h.Chunked:
		g.chunks = http1.ChunkScanner{}
		g.setState(guardChunks)
	case h.Length > 0:
		g.left = h.Length
		g.setState(guardLength)
	default:
		g.setState(guardHead)
	}
}

func (g *guard) setState(s guardState) {
	g.state = s
	g.midMessage.Store(s != guardHead)
}

// consume advances through a body or another protocol and returns how many
// bytes of b belong to it.
func (g *guard) consume(b []byte) int {
	switch g.state {
	case guardLength:
		n := min(int64(len(b)), g.left)
		if g.left -= n; g.left == 0 {
			g.setState(guardHead)
		}
		return int(n)
	case guardChunks:
		n, done, err := g.chunks.Feed(b)
		g.malformed.Store(err != nil)
		if g.err = err; done {
			g.setState(guardHead)
		}
		return n
	}
	return len(b)
}

// refuse replaces the unchecked bytes by a request that carries the verdict.
func (g *guard) refuse(status int) {
	g.limitHeadTime(false)
	g.buf = append(g.buf[:g.a], "GET "+verdict{status: status}.encode()+
		" HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"...)
	g.a = len(g.buf)
	g.state = guardRefused
}

// discard reads what a refused client still sends until it closes or has sent
// lingerBytes. An earlier request may still be running: net/http takes an error
// here as the end of its client.
func (g *guard) discard() error {
	_, err := io.CopyN(io.Discard, g.Conn, lingerBytes)
	return cmp.Or(err, io.EOF)
}

// limitHeadTime starts or stops the timeout of a head.
func (g *guard) limitHeadTime(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on == !g.headDeadline.IsZero() {
		return
	}
	g.headDeadline = time.Time{}
	if on {
		g.headDeadline = time.Now().Add(g.headTime)
	}
	g.setDeadline()
}

// setDeadline applies the earliest of all deadlines. mu is held.
func (g *guard) setDeadline() error {
	t := g.netHTTPDeadline
	if !g.headDeadline.IsZero() && (t.IsZero() || g.headDeadline.Before(t)) {
		t = g.headDeadline
	}
	if g.uploadAborted.Load() {
		t = time.Unix(1, 0)
	}
	return g.Conn.SetReadDeadline(t)
}

func (g *guard) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.netHTTPDeadline = t
	return g.setDeadline()
}

func (g *guard) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.Conn.SetWriteDeadline(t))
}

// abortUpload ends the upload in progress: reads fail from now on, including a
// read that is waiting. Afterwards the connection can only be closed.
func (g *guard) abortUpload() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.uploadAborted.Store(true)
	g.setDeadline()
}

// becomeTunnel tells the guard that the connection is a tunnel now.
func (g *guard) becomeTunnel() { g.midMessage.Store(false) }

// resetOnClose makes Close send a TCP reset. It tells the client that a
// response is incomplete where the end of the connection is the only end
// marker.
func (g *guard) resetOnClose() {
	g.midMessage.Store(false)
	c := g.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
}

// CloseWrite closes the sending half of the connection.
func (g *guard) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. If the client may still be sending, closing
// takes up to lingerTime in the background: bytes that arrive at a closed
// socket make the kernel discard a response that is still on its way.
func (g *guard) Close() error {
	if g.midMessage.Swap(false) && g.CloseWrite() == nil {
		go g.linger()
		return nil
	}
	return g.Conn.Close()
}

func (g *guard) linger() {
	g.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, g.Conn, lingerBytes)
	g.Conn.Close()
}

// guarded is a listener that wraps its connections in guards.
type guarded struct {
	net.Listener
	trusted  []netip.Prefix
	headTime time.Duration
	tunnels  *tunnels
}

func (l guarded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guard{Conn: c, peer: newPeer(c, l.trusted), headTime: l.headTime, tunnels: l.tunnels}, nil
}
