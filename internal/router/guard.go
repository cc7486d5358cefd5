package router

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errCut is what reading a client's connection gives after its upload was cut.
var errCut = errors.New("upload cut: it was answered before its end")

// Limits of a lingering close.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 10
)

// refusedTarget begins the target of the request by which the guard tells the
// handler of one it refused; the status follows. No client can send it: a
// target of this form does not pass the guard.
const refusedTarget = "refused:"

// foreignTarget begins what stands for a target that net/http would refuse, in
// hexadecimal digits. No client can send it either.
const foreignTarget = "foreign:"

// guard is a client's connection that lets only strictly framed requests
// through. It follows each message to its end, checks every head before
// net/http sees a byte of it, and puts a request for refusedTarget in the place
// of one that it refuses, after which nothing more is read.
//
// net/http reads from one goroutine at a time and sets deadlines and closes
// from others.
type guard struct {
	net.Conn
	peer     peer
	headTime time.Duration // for a head, from its first byte
	tunnels  *tunnels      // of its listener

	// The reader's own.
	buf    []byte // from the pool, nil when empty: [r:a] may be delivered, [a:] is not checked
	r, a   int
	state  guardState
	head   headScanner
	left   int64 // of a body with a length
	chunks chunkScanner
	err    error // what follows the delivered bytes; nil while there is more

	mid   atomic.Bool // the client may be sending what nobody will read
	isCut atomic.Bool

	mu     sync.Mutex // guards the deadlines
	asked  time.Time  // read deadline that net/http asked for
	headBy time.Time  // when the head under way must be there; zero for none
}

type guardState uint8

const (
	guardHead guardState = iota
	guardLength
	guardChunks
	guardRaw     // all bytes pass: the client asked for another protocol
	guardRefused // no bytes pass
)

// peer is who is at the other end of a connection.
type peer struct {
	addr    netip.Addr
	ip      string // addr's text; "" when unknown
	port    string // of our end
	trusted bool   // its X-Forwarded headers are believed
}

// readers holds guards' buffers.
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
		if g.isCut.Load() {
			return 0, errCut
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

// deliver copies checked bytes and gives an emptied buffer back.
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

// readBody reads into p while nothing is buffered and a body, or another
// protocol, is due.
func (g *guard) readBody(p []byte) (int, error) {
	if g.state == guardLength {
		p = p[:min(int64(len(p)), g.left)]
	}
	n, err := g.Conn.Read(p)
	if n == 0 {
		return 0, err
	}
	mine := g.follow(p[:n])
	if mine < n && g.err == nil {
		g.keep(p[mine:n])
		g.check()
	}
	if mine == 0 {
		return 0, g.err
	}
	return mine, nil
}

// readHead waits for more of a head. Between messages it reads into p, so that
// an idle connection holds no buffer.
func (g *guard) readHead(p []byte) error {
	if len(g.buf) == 0 {
		n, err := g.Conn.Read(p)
		if n == 0 {
			return err
		}
		g.keep(p[:n])
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

func (g *guard) keep(b []byte) {
	if g.buf == nil {
		g.buf = *readers.Get().(*[]byte)
	}
	g.buf = append(g.buf, b...)
}

// headError turns a head that came too slowly into a refusal.
func (g *guard) headError(err error) error {
	g.mu.Lock()
	late := !g.headBy.IsZero() && !time.Now().Before(g.headBy)
	g.mu.Unlock()
	if late && errors.Is(err, os.ErrDeadlineExceeded) {
		g.refuse(http.StatusRequestTimeout)
		return nil
	}
	return err
}

// check looks at buffered bytes as far as that is possible.
func (g *guard) check() {
	for g.a < len(g.buf) && g.err == nil && g.state != guardRefused {
		if g.state != guardHead {
			g.a += g.follow(g.buf[g.a:])
			continue
		}
		g.mid.Store(true)
		end, status := g.head.find(g.buf[g.a:])
		if status != 0 {
			g.refuse(status)
			return
		}
		if end == 0 {
			g.limitHead(true)
			return
		}
		g.pass(end)
	}
}

// pass checks the complete head that the unchecked bytes begin with.
func (g *guard) pass(end int) {
	g.limitHead(false)
	if g.head.blank { // net/http would refuse the empty line
		g.buf = append(g.buf[:g.a], g.buf[g.a+len(crlf):]...)
		end -= len(crlf)
	}
	h, status := parseHead(g.buf[g.a : g.a+end])
	if status != 0 {
		g.refuse(status)
		return
	}
	if h.foreign != "" {
		old := len(g.buf)
		at := g.a + bytes.IndexByte(g.buf[g.a:], ' ') + 1
		g.buf = slices.Replace(g.buf, at, at+len(h.foreign), []byte(foreignTarget+hex.EncodeToString([]byte(h.foreign)))...)
		end += len(g.buf) - old
	}
	g.a += end
	g.head = headScanner{}
	switch {
	case h.upgrade:
		g.enter(guardRaw)
	case h.chunked:
		g.chunks = chunkScanner{}
		g.enter(guardChunks)
	case h.length > 0:
		g.left = h.length
		g.enter(guardLength)
	default:
		g.enter(guardHead)
	}
}

func (g *guard) enter(s guardState) {
	g.state = s
	g.mid.Store(s != guardHead)
}

// follow takes bytes of a body or another protocol and returns how many of
// them belong to it.
func (g *guard) follow(b []byte) int {
	switch g.state {
	case guardLength:
		n := min(int64(len(b)), g.left)
		if g.left -= n; g.left == 0 {
			g.enter(guardHead)
		}
		return int(n)
	case guardChunks:
		n, done, err := g.chunks.feed(b)
		if g.err = err; done {
			g.enter(guardHead)
		}
		return n
	}
	return len(b)
}

// refuse replaces what is not checked by a request for refusedTarget.
func (g *guard) refuse(status int) {
	g.limitHead(false)
	g.buf = append(g.buf[:g.a], "GET "+refusedTarget+strconv.Itoa(status)+
		" HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"...)
	g.a = len(g.buf)
	g.state = guardRefused
}

// discard takes what a refused client still sends until it closes, or sends
// too much. An earlier request may be under way: an error is taken for the end
// of its client.
func (g *guard) discard() error {
	_, err := io.CopyN(io.Discard, g.Conn, lingerBytes)
	return cmp.Or(err, io.EOF)
}

// refusedStatus returns the status of a request by which the guard tells of a
// refused one, else 0.
func refusedStatus(target string) int {
	s, ok := strings.CutPrefix(target, refusedTarget)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || http.StatusText(n) == "" {
		return http.StatusBadRequest
	}
	return n
}

// requestTarget returns a request's target as its client sent it.
func requestTarget(req *http.Request) string {
	if digits, ok := strings.CutPrefix(req.RequestURI, foreignTarget); ok {
		if b, err := hex.DecodeString(digits); err == nil {
			return string(b)
		}
	}
	return req.RequestURI
}

// limitHead starts or ends the time a head may take.
func (g *guard) limitHead(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on == !g.headBy.IsZero() {
		return
	}
	g.headBy = time.Time{}
	if on {
		g.headBy = time.Now().Add(g.headTime)
	}
	g.setDeadline()
}

// setDeadline applies the earliest of all deadlines. mu is held.
func (g *guard) setDeadline() error {
	t := g.asked
	if !g.headBy.IsZero() && (t.IsZero() || g.headBy.Before(t)) {
		t = g.headBy
	}
	if g.isCut.Load() {
		t = time.Unix(1, 0)
	}
	return g.Conn.SetReadDeadline(t)
}

func (g *guard) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = t
	return g.setDeadline()
}

func (g *guard) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.Conn.SetWriteDeadline(t))
}

// cut ends the upload under way: reading fails from now on, whether or not a
// read is waiting. The connection can only be closed afterwards.
func (g *guard) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isCut.Store(true)
	g.setDeadline()
}

// handOver ends the guard's part in the connection, which has become a tunnel.
func (g *guard) handOver() { g.mid.Store(false) }

// reset makes the coming Close tell the client that what it got is not whole:
// where a response ends with its connection, nothing else does.
func (g *guard) reset() {
	g.mid.Store(false)
	if c, ok := g.Conn.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
}

// CloseWrite ends our half of the connection.
func (g *guard) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. Where the client may still be sending, that
// takes up to lingerTime in the background: bytes that meet a closed socket
// make the kernel throw away the answer that is on its way.
func (g *guard) Close() error {
	if g.mid.Swap(false) && g.CloseWrite() == nil {
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

// guarded is a listener whose connections are guarded.
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
