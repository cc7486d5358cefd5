package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/h2"
	"github.com/openslipway/slipway/internal/router/http1"
)

// Limits of a lingering close: bytes that arrive at a closed socket make the kernel discard
// a response that is still on its way.
const (
	lingerTime  = 3 * time.Second
	lingerBytes = 64 << 20
)

// clientConn is a connection of a client. A goroutine of its own, or a loop, reads its requests
// one after the other; a request is read when its predecessor has been answered.
type clientConn struct {
	front *front
	*socket
	peer    peer
	origin  Origin
	stream  *h2.Stream  // that the request came by; nil for HTTP/1
	session *h2.Session // of a connection of HTTP/2; guarded by front.mu

	in   []byte // received and not used: the next request, or the body of this one
	buf  []byte // what in is a part of
	head buffer // what buf is a part of; nil if in is empty or has memory of its own
	own  int    // bytes of memory of its own that count

	turn     *exchange // that takeTurn has parsed, and maybe served; nil if there is none
	until    time.Time // the end of the wait for a request
	turnCall func(fd uintptr) bool
	seat     *seat // in the loop that has the connection; nil if none has

	state     atomic.Int32
	halfSince time.Time // when the client was first seen to send no more

	host, normal string // of the last request, and in normal form

	shard uint32 // of what its requests are counted in

	present func() error // checkPresent; made once, so that a request allocates nothing
}

func newClient(f *front, conn net.Conn, from Origin) *clientConn {
	client, local := from.ends(conn)
	p := newPeer(client, local, f.cfg.Trusted)
	stream, _ := conn.(*h2.Stream)
	if f.tls != nil && !from.Secure && stream == nil {
		conn = tls.Server(conn, f.tls)
	}
	c := &clientConn{front: f, socket: newSocket(conn, takeHead), peer: p, origin: from, stream: stream}
	c.present, c.turnCall = c.checkPresent, c.takeTurn
	return c
}

// ends returns the ends of the client's own connection. They are not valid if they are not known.
func (o Origin) ends(conn net.Conn) (client, local netip.AddrPort) {
	if o.Client.IsValid() {
		return o.Client, o.Local
	}
	client, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
	local, _ = netip.ParseAddrPort(conn.LocalAddr().String())
	return client, local
}

// States of a client, which decide when it is disturbed at shutdown.
const (
	stateFresh int32 = iota // it has sent nothing yet
	stateBusy               // it has sent a part of a request at least
	stateIdle               // it has got a response and sent nothing since
)

// peer is the remote end of a client connection.
type peer struct {
	addr    netip.Addr
	ip      string // addr as text; empty when unknown
	port    string // of the local end
	trusted bool   // its X-Forwarded fields are used
}

// newPeer returns the peer of a connection by its ends. An end that is not known is not valid.
func newPeer(client, local netip.AddrPort, trusted []netip.Prefix) (p peer) {
	if client.IsValid() {
		p.addr = client.Addr().Unmap().WithZone("")
		p.ip = p.addr.String()
	}
	if local.IsValid() {
		p.port = strconv.Itoa(int(local.Port()))
	}
	p.trusted = trusts(trusted, p.addr)
	return p
}

func trusts(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// run serves the connection until it ends or a loop gets it.
func (c *clientConn) run() {
	if !c.handshake() {
		c.end()
		return
	}
	if c.speaksH2() {
		c.serveH2(c.Conn)
		c.end()
		return
	}
	if !c.serve() {
		c.end()
	}
}

// end closes the connection.
func (c *clientConn) end() {
	c.release()
	c.Close()
	f := c.front
	f.mu.Lock()
	delete(f.clients, c)
	f.mu.Unlock()
	f.serving.Done()
}

// serve answers the requests of the connection. It returns when the connection has ended, or
// true when a loop goes on with it: then it must not be used any more.
func (c *clientConn) serve() (left bool) {
	for {
		if c.turn == nil {
			if c.rest() {
				return true
			}
			fresh := c.state.Load() == stateFresh
			if !c.await() {
				return false
			}
			if fresh && c.turn == nil && c.knowsH2() {
				first := slices.Clone(c.in)
				c.release()
				c.serveH2(&prefixed{c.Conn, first})
				return false
			}
		}
		x := c.turn
		if c.turn = nil; x == nil {
			end, status, err := c.readHead()
			if err != nil {
				return false
			}
			if c.canPass() && c.pass(c.in) {
				return false
			}
			x = takeExchange(c)
			x.parse(end, status)
		}
		x.serve()
		keep, linger, passes, received := x.keep, x.linger, x.passes, x.received
		x.free()
		if passes {
			c.pass(received) // otherwise the client finds it closed
			return false
		}
		if !keep {
			c.release()
			if linger {
				c.linger()
			}
			return false
		}
	}
}

// rest leaves the connection to a loop, if its last request was answered and nothing has come
// of the next. It reports whether one has it.
func (c *clientConn) rest() bool {
	list := c.front.loops.list
	if len(list) == 0 || len(c.in) > 0 || c.state.Load() == stateFresh || c.raw == nil {
		return false
	}
	if !c.socket.in.tellsLeft {
		if c.tellLeft(); !c.socket.in.tellsLeft {
			return false
		}
	}
	c.release()
	c.state.Store(stateIdle)
	return list[int(c.shard)%len(list)].enter(c)
}

// await waits for the first byte of a request. It reports false if the connection is to
// be closed. While it waits the connection has no buffer.
func (c *clientConn) await() bool {
	if len(c.in) > 0 {
		return true
	}
	c.release()
	if c.state.Load() != stateFresh {
		c.state.Store(stateIdle)
		// front.shutdown looks at the state after it has set this.
		if c.front.closing.Load() && !c.front.stays() {
			return c.lastLook()
		}
	} else if c.front.closing.Load() && c.canPass() && !c.front.stays() {
		return c.lastLook()
	}
	err := c.readFirst(time.Now().Add(c.front.cfg.IdleTimeout))
	if err == errInterrupted {
		return c.lastLook()
	}
	c.begin()
	return err == nil
}

// begin notes that a part of a request has come. An interrupt that was meant for a
// connection that waits has come too late.
func (c *clientConn) begin() {
	c.socket.in.mu.Lock()
	defer c.socket.in.mu.Unlock()
	c.state.Store(stateBusy)
	if c.socket.in.interrupted.Load() {
		c.socket.in.interrupted.Store(false)
		c.socket.in.at = time.Time{}
	}
}

// endWait interrupts the connection if it waits in a state.
func (c *clientConn) endWait(state int32) {
	c.socket.in.mu.Lock()
	defer c.socket.in.mu.Unlock()
	if c.state.Load() == state {
		c.socket.in.interrupted.Store(true)
		c.SetReadDeadline(longAgo)
	}
}

// lastLook returns whether a request arrived at the moment in which an idle connection was
// to be closed. If another process goes on with it, whatever arrives is there for that.
func (c *clientConn) lastLook() bool {
	c.begin()
	if c.pass(nil) {
		return false
	}
	b := c.take()
	n := c.readNow(b.bytes())
	if n == 0 {
		b.free()
		return false
	}
	c.hold(b, n)
	return true
}

// readFirst waits for bytes and reads them into a buffer that it takes when they are there.
// It returns without an error when it has some, or in turn a request that was parsed.
func (c *clientConn) readFirst(until time.Time) error {
	if c.raw == nil {
		b, n, err := c.readBuffer(until)
		if n > 0 {
			c.hold(b, n)
			return nil
		}
		return err
	}
	if c.state.Load() != stateFresh && !c.socket.in.tellsLeft {
		c.tellLeft() // a connection of a single request would not gain by it
	}
	for c.until = until; ; {
		if err := c.limitRead(c.until); err != nil {
			return err
		}
		err := c.raw.Read(c.turnCall)
		if err == nil {
			return c.socket.in.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := c.tooEarly(c.until); err != nil {
			return err
		}
	}
}

// takeTurn reads a request, and answers it if nothing else has to be read for that: it must
// not wait for more bytes of the client. Then it waits for the next one without a read that
// would find nothing, which costs as much as one that does. That loses no byte, nor the end of the
// stream: the kernel has told that nothing was left, and what comes later ends the wait.
// done says that the rest is for others.
func (c *clientConn) takeTurn(fd uintptr) (done bool) {
	for {
		if !c.receiveHeld(fd) {
			return false
		}
		b, n := c.socket.held, c.socket.in.n
		c.socket.held = nil
		if n == 0 {
			return true
		}
		c.socket.in.total += int64(n)
		c.hold(b, n)
		c.begin()
		if !c.socket.in.tellsLeft || !c.answerAtOnce() {
			return true
		}
		c.state.Store(stateIdle)
		// As in await: front.shutdown looks at the state after it has set this.
		if c.front.closing.Load() {
			c.socket.in.err = errInterrupted
			return true
		}
		c.until = time.Now().Add(c.front.cfg.IdleTimeout)
		if c.socket.in.err = c.limitRead(c.until); c.socket.in.err != nil {
			return true
		}
		if !c.socket.in.leaves {
			return false
		}
	}
}

// parseWhole parses the request that was received, if it came whole and is not one that is
// to be refused, passed on or made a tunnel. Else it returns nil, and what is left to do is in
// turn and in.
func (c *clientConn) parseWhole() *exchange {
	var scan http1.HeadScanner
	end, status := scan.Find(c.in)
	if end == 0 || status != 0 || scan.LeadingBlank || c.canPass() {
		return nil
	}
	x := takeExchange(c)
	x.parse(end, 0)
	if c.turn = x; x.refusal != 0 || !x.whole || len(x.req.Protocol) > 0 {
		return nil
	}
	return x
}

// answerAtOnce answers the request that was received if it came whole. It reports whether
// the connection is at rest afterwards. If not, what is left to do is in turn and in.
func (c *clientConn) answerAtOnce() (rests bool) {
	x := c.parseWhole()
	if x == nil {
		return false
	}
	if x.serve(); !x.keep || len(c.in) > 0 {
		return false
	}
	x.free()
	c.turn = nil
	c.release()
	return true
}

// hold makes the first n bytes of a buffer the bytes that were received.
func (c *clientConn) hold(b buffer, n int) {
	c.head, c.buf = b, b.bytes()
	c.in = c.buf[:n]
}

// release gives the buffer back, once nothing in it is used.
func (c *clientConn) release() {
	if c.head != nil {
		c.head.free()
	}
	c.front.memory.give(c.own)
	c.head, c.buf, c.in, c.own = nil, nil, nil, 0
}

// keep makes a copy of bytes that follow the current request the received ones.
func (c *clientConn) keep(rest []byte) {
	if len(rest) == 0 {
		c.in = nil
		return
	}
	c.in = append(make([]byte, 0, max(len(rest), len(headBlock{}))), rest...)
}

// readHead reads up to the end of a head. end is its length; status is that of a refusal,
// 0 if there is none. err says that the connection has failed.
func (c *clientConn) readHead() (end, status int, err error) {
	var scan http1.HeadScanner
	var until time.Time
	for {
		if end, status = scan.Find(c.in); status != 0 {
			return 0, status, nil
		}
		if end > 0 {
			if scan.LeadingBlank {
				c.in = c.in[2:]
				end -= 2
			}
			return end, 0, nil
		}
		if until.IsZero() {
			until = time.Now().Add(c.front.cfg.HeadTimeout)
		}
		room := c.room()
		if room == nil {
			return 0, noMemory, nil
		}
		n, err := c.read(room, until)
		if err == errLimit {
			return 0, 408, nil
		}
		if err != nil {
			return 0, 0, err
		}
		c.in = c.in[:len(c.in)+n]
	}
}

// noMemory stands for the status of a refusal where large heads take too much memory.
const noMemory = -1

// room returns free memory behind the received bytes, nil if there is none.
func (c *clientConn) room() []byte {
	if free := c.in[len(c.in):cap(c.in)]; len(free) > 0 {
		return free
	}
	// They are at the end of the buffer: move them to its start, or to more memory.
	if n := len(c.in); c.buf != nil && n <= len(c.buf)/2 {
		copy(c.buf, c.in)
		c.in = c.buf[:n]
	} else {
		size := max(2*n, len(headBlock{}))
		if !c.front.memory.take(size) {
			return nil
		}
		c.front.memory.give(c.own)
		c.own = size
		grown := make([]byte, size)
		copy(grown, c.in)
		if c.head != nil {
			c.head.free()
			c.head = nil
		}
		c.buf, c.in = grown, grown[:n]
	}
	return c.in[len(c.in):cap(c.in)]
}

// checkPresent returns an error if the client has left. One that has only ended its sending
// side may still read, so it has HalfClosed to get its response: a client that has closed
// its socket looks the same.
func (c *clientConn) checkPresent() error {
	switch leaving(c.Conn) {
	case gone:
		return errGone
	case halfGone:
		if c.halfSince.IsZero() {
			c.halfSince = time.Now()
		}
		if time.Since(c.halfSince) >= c.front.cfg.HalfClosed {
			return errGone
		}
	}
	return nil
}

// errGone says that the client left before the end of the response.
var errGone = errors.New("the client has left")

// linger ends the connection so that the client gets what was sent, although it may still
// be sending.
func (c *clientConn) linger() {
	if !closeWrite(c.Conn) {
		return
	}
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, c.Conn, lingerBytes)
}

// find returns the service of a host, nil if there is none.
func (c *clientConn) find(host []byte) *router.Service {
	if string(host) != c.host { // a client mostly asks for one
		c.host = string(host)
		c.normal, _ = http1.NormalHost(c.host)
	}
	return c.front.cfg.Router.Find(router.RouteKey{Listener: c.front.listener, Host: c.normal})
}
