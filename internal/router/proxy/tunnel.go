package proxy

import (
	"cmp"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// tunnel answers an accepted protocol upgrade and then relays bytes in both directions
// until both ends have closed. The time limit of requests does not apply to it. What the
// input holds follows the head of the response.
func (x *exchange) tunnel() error {
	in := &x.in
	x.out = appendStatus(x.out[:0], x.resp.Status, x.resp.Reason)
	x.out = appendResponseFields(x.out, &x.resp, false)
	x.out = appendField(x.out, "Connection", "Upgrade")
	x.out = appendField(x.out, "Upgrade", x.resp.Protocol)
	x.out = x.appendSticky(x.out)
	x.out = append(x.out, "\r\n"...)
	x.out = append(x.out, in.b...)
	x.status, x.closes = x.resp.Status, true
	t := &tunnel{began: time.Now(), front: x.c.front, down: x.c.socket, up: in.up.socket, target: x.target, idle: cmp.Or(x.settings.IdleTime, x.c.front.cfg.TunnelIdle)}
	t.relayed = x.c.origin.Secure
	t.isWebSocket = http1.EqualFold(x.resp.Protocol, "websocket")
	t.frames.feed(in.b)
	t.touch()
	defer t.close()
	x.c.front.tunnels.add(t)
	defer x.c.front.tunnels.remove(t)
	in.free()
	in.up.tick = nil // a tunnel's client is read all the time
	x.c.take = takeBlock
	t.mu.Lock()
	_, err := x.c.write(x.out, time.Now().Add(t.idle))
	if err == nil && t.isWebSocket {
		t.tell()
	}
	t.mu.Unlock()
	if err != nil {
		return nil
	}
	first := x.c.in
	var directions sync.WaitGroup
	directions.Go(func() {
		if len(first) > 0 {
			if _, err := t.up.write(first, time.Now().Add(t.idle)); err != nil {
				t.close()
				return
			}
		}
		t.relay(t.up, t.down)
	})
	t.relay(t.down, t.up)
	directions.Wait()
	t.mu.Lock()
	t.told = true // nothing is written any more
	t.mu.Unlock()
	return nil
}

// tunnel is a connection after a protocol upgrade.
type tunnel struct {
	front       *front
	down, up    *socket
	target      *router.Target
	isWebSocket bool
	idle        time.Duration // without a byte in either direction, after which it is closed
	began       time.Time     // with a reading of the monotonic clock
	last        atomic.Int64  // when a byte came last, in nanoseconds since began

	relayed bool // another process relays the client's bytes, and waits for their end

	leave atomic.Bool // the client is to be told to leave
	mu    sync.Mutex  // guards writing to the client, and the rest
	frames
	told bool // the client was told: nothing else may be sent to it
}

// leaveTime is how long the ends of a WebSocket have to close it once the client was told
// to leave.
const leaveTime = 10 * time.Second

// goingAway is a WebSocket's close frame with the status 1001: the server is going away,
// and the client may connect again.
var goingAway = []byte{0x88, 2, 1001 >> 8, 1001 & 0xff}

// end tells the client of a WebSocket to leave, as soon as no frame is under way. Other
// protocols have no word for it: such a tunnel stays.
func (t *tunnel) end() {
	if !t.isWebSocket {
		return
	}
	t.leave.Store(true)
	if t.mu.TryLock() { // otherwise pass does it
		t.tell()
		t.mu.Unlock()
	}
}

// tell tells the client to leave, if it is to be and nothing is under way. mu is held.
func (t *tunnel) tell() {
	if t.told || !t.leave.Load() || !t.between() {
		return
	}
	t.told = true
	t.down.write(goingAway, time.Now().Add(leaveTime)) // a client that has gone needs no word
	time.AfterFunc(leaveTime, t.close)
}

// pass writes what the instance sent to the client.
func (t *tunnel) pass(b []byte) error {
	t.mu.Lock()
	var err error
	if !t.told {
		if _, err = t.down.write(b, time.Now().Add(t.idle)); err == nil && t.isWebSocket {
			t.frames.feed(b)
			t.tell()
		}
	}
	t.mu.Unlock()
	if err == nil && t.leave.Load() { // end may have found the lock taken
		t.end()
	}
	return err
}

// frames follows the frames of one direction of a WebSocket.
type frames struct {
	head [14]byte
	have int    // bytes of the head
	left uint64 // bytes of the frame's content
}

// between reports whether no frame is under way.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

func (f *frames) feed(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(uint64(len(b)), f.left)
			f.left -= n
			b = b[n:]
			continue
		}
		f.head[f.have] = b[0]
		f.have++
		b = b[1:]
		if n, ok := f.length(); ok {
			f.left, f.have = n, 0
		}
	}
}

// length returns the length of the content, if the head is complete. RFC 6455, 5.2.
func (f *frames) length() (n uint64, ok bool) {
	if f.have < 2 {
		return 0, false
	}
	size, n := 2, uint64(f.head[1]&0x7f)
	switch n {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if f.head[1]&0x80 != 0 {
		size += 4 // the mask
	}
	if f.have < size {
		return 0, false
	}
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		n = binary.BigEndian.Uint64(f.head[2:])
	}
	return n, true
}

func (t *tunnel) touch()               { t.last.Store(int64(time.Since(t.began))) }
func (t *tunnel) idleUntil() time.Time { return t.began.Add(time.Duration(t.last.Load()) + t.idle) }

// relay copies in one direction. It passes the end of the input on; a failure closes both
// ends.
func (t *tunnel) relay(to, from *socket) {
	for {
		b, n, err := from.readBuffer(t.idleUntil())
		if n > 0 {
			t.touch()
			var werr error
			if to == t.down {
				werr = t.pass(b.bytes()[:n])
			} else {
				_, werr = to.write(b.bytes()[:n], time.Now().Add(t.idle))
			}
			b.free()
			if werr != nil {
				t.close()
				return
			}
			continue
		}
		if err == errLimit && time.Now().Before(t.idleUntil()) {
			continue // bytes came in the other direction
		}
		if err != io.EOF || !closeWrite(to.Conn) {
			t.close()
		}
		return
	}
}

func (t *tunnel) close() {
	t.down.Close()
	t.up.Close()
}

// tunnels are the open tunnels of a proxy.
type tunnels struct {
	mu      sync.Mutex // guards the rest
	open    map[*tunnel]struct{}
	leaving map[*router.Target]struct{} // targets whose clients are to leave
}

// add takes a tunnel in, and tells its client to leave if that is what all are told.
func (ts *tunnels) add(t *tunnel) {
	ts.mu.Lock()
	if ts.open == nil {
		ts.open = map[*tunnel]struct{}{}
	}
	ts.open[t] = struct{}{}
	_, leave := ts.leaving[t.target]
	ts.mu.Unlock()
	if leave || t.relayed || t.front.closing.Load() {
		t.leave.Store(true) // it is told with the head of the response
	}
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
}

// end tells the clients of those WebSockets to leave that are meant.
func (ts *tunnels) end(meant func(*tunnel) bool) {
	ts.mu.Lock()
	var list []*tunnel
	for t := range ts.open {
		if meant(t) && !t.leave.Load() {
			list = append(list, t)
		}
	}
	ts.mu.Unlock()
	for _, t := range list {
		go t.end() // a client that does not read must not hold up the others
	}
}

// cut closes the open tunnels of a listener.
func (ts *tunnels) cut(f *front) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		if t.front == f {
			t.close()
		}
	}
}

// Leave implements router.Pool.
func (p *Proxy) Leave(t *router.Target) {
	ts := &p.tunnels
	ts.mu.Lock()
	if ts.leaving == nil {
		ts.leaving = map[*router.Target]struct{}{}
	}
	ts.leaving[t] = struct{}{}
	ts.mu.Unlock()
	ts.end(func(tn *tunnel) bool { return tn.target == t })
}

// stay ends Leave, now that the target has no leases.
func (ts *tunnels) stay(t *router.Target) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.leaving, t)
}
