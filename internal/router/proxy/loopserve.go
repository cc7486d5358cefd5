package proxy

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/router/http1"
)

// loopTime is how long a request may stay in a loop. Its time limits and the look at its client
// are those of the goroutine that gets it then.
const loopTime = tickTime

// framing is the most that a piece of a body grows by when it is framed anew.
const framing = 64

// handle handles an event.
func (l *loop) handle(e *unix.EpollEvent) {
	l.mu.Lock()
	p := l.seats[e.Fd]
	if p.generation != e.Pad {
		l.mu.Unlock()
		return // of a connection that has left
	}
	c, x, until := p.client, p.x, p.until
	atRest := c != nil && p.queue != nil
	if atRest {
		p.leave()
	}
	l.mu.Unlock()
	switch {
	case atRest:
		l.read(c, until)
	case c != nil && e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		l.handOver(c) // the client may have left
	case c != nil:
		c.socket.in.leaves = true // for when the request is answered
	case x != nil:
		l.receive(x)
	}
}

// read reads a request of a client that was at rest until a time, at most.
func (l *loop) read(c *clientConn, until time.Time) {
	b, n, err := c.receiveNow()
	switch {
	case err != nil:
		l.remove(c)
		c.end()
		return
	case n == 0: // it was read before this was told
		l.rest(c, until)
		return
	}
	c.hold(b, n)
	c.begin()
	if x := c.parseWhole(); x == nil || !l.begin(x) {
		l.handOver(c)
	}
}

// begin sends a request to an instance. It returns false as soon as that would take a wait.
func (l *loop) begin(x *exchange) bool {
	if _, ok := x.route(); !ok || x.limit.Sub(x.start) <= loopTime || !x.admitNow() {
		return false
	}
	x.admitted()
	pool := x.c.front.pool(x.target)
	for {
		up := pool.get(x.counted.leased, true, l)
		if up == nil {
			return false
		}
		if !l.adopt(up) {
			up.Close()
			return false
		}
		x.use(up)
		err := error(nil)
		if x.sent, err = up.askNow(x.out); err == nil {
			break
		}
		up.Close()
		x.stage, x.in.up = stageLeased, nil
	}
	if x.sent < len(x.out) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := x.in.up.seat
	p.x = x
	l.wait(&l.asking, p, x.start.Add(loopTime))
	return true
}

// receive reads what an instance has sent of its response, and passes it on. It reads until
// nothing is left, or the response has ended.
func (l *loop) receive(x *exchange) {
	for x.in.moreNow() {
		if x.in.err != nil || x.stage == stageAsked && !x.beginNow() {
			l.handOver(x.c)
			return
		}
		switch done, ok := x.passNow(); {
		case !ok:
			l.handOver(x.c)
			return
		case done:
			l.finish(x)
			return
		}
	}
}

// beginNow begins the final response if its head has come whole.
func (x *exchange) beginNow() bool {
	n, _, err := http1.FindResponse(x.in.b, 0)
	if n == 0 || err != nil || x.resp.Parse(x.in.b[:n]) != nil || x.resp.Status < 200 {
		return false // it is parsed once more
	}
	x.in.b = x.in.b[n:]
	x.answered()
	x.beginResponse()
	return true
}

// passNow passes on what has come of the response; done says that this was its end. ok is false
// if the client does not take all at once, or the response is to be passed on in another way.
func (x *exchange) passNow() (done, ok bool) {
	if x.copied.form == formRest || len(x.out)+len(x.in.b)+framing > len(block{}) {
		return false, false
	}
	done, err := x.translate()
	if err != nil {
		return false, false
	}
	n := x.c.sendNow(x.out)
	x.out = append(x.out[:0], x.out[n:]...)
	if len(x.out) > 0 || !done && x.splices() {
		return false, false
	}
	if !done {
		x.in.free()
	}
	return done, true
}

// finish ends a request whose response was passed on.
func (l *loop) finish(x *exchange) {
	l.mu.Lock()
	p := x.in.up.seat
	p.leave()
	p.x = nil
	l.mu.Unlock()
	x.endResponse(nil)
	x.endAttempt(nil, nil)
	x.end()
	c := x.c
	if !x.keep || len(c.in) > 0 {
		l.handOver(c)
		return
	}
	c.turn = nil
	x.free()
	c.release()
	c.state.Store(stateIdle)
	until := time.Now().Add(c.front.cfg.IdleTimeout)
	if c.socket.in.leaves {
		l.read(c, until)
		return
	}
	l.rest(c, until)
}

// rest waits for the next request of a client.
func (l *loop) rest(c *clientConn, until time.Time) {
	l.mu.Lock()
	// front.shutdown takes the clients at rest out of the loop after it has set this.
	if c.front.closing.Load() {
		l.mu.Unlock()
		l.handOver(c)
		return
	}
	l.wait(&l.resting, c.seat, until)
	l.mu.Unlock()
}

// handOver leaves a client to a goroutine, with its request if it has one.
func (l *loop) handOver(c *clientConn) {
	l.remove(c)
	if x := c.turn; x != nil && x.in.up != nil {
		x.in.up.leave()
	}
	go c.run()
}

// remove takes a client that is not at rest out of the loop.
func (l *loop) remove(c *clientConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evict(c.seat)
}
