package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/router"
)

// Dialer connects to instances.
type Dialer interface {
	// Dial opens a connection to the port inside the instance.
	Dial(ctx context.Context, instance string, port int) (net.Conn, error)
}

// Limits of connections to instances.
const (
	dialTime = 5 * time.Second

	// idleTime is how long a pooled connection may stay unused. It is shorter
	// than the keep-alive time of common servers (the shortest is gunicorn's 2
	// s), so that the router closes first: a request that meets a connection
	// which the server is closing may be lost. A new connection costs
	// microseconds.
	idleTime = 1500 * time.Millisecond

	// restTime is how long a connection to an instance stays unused if it is not known
	// that the instance keeps connections. Some servers close each connection after its
	// response without announcing it; a request that meets such an end is lost.
	restTime = 500 * time.Millisecond
)

// dialError says that an instance was not reached, so nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// upstream is a connection to an instance. One request at a time uses it.
type upstream struct {
	*socket
	pool    *pool
	uses    int       // requests that it was used for before
	idle    time.Time // when it came to rest
	written int64     // bytes passed to the kernel
	start   int64     // written before this request
	ended   bool      // the instance has closed its direction
	seat    *seat     // in the loop that is told of what comes; nil if none is
}

func (u *upstream) write(p []byte, until time.Time) (n int, err error) {
	n, err = u.socket.write(p, until)
	u.written += int64(n)
	return n, err
}

// unread reports whether the instance certainly read nothing of the request: nothing was
// written, or the instance closed the connection before any of it arrived. The kernel
// acknowledges with the end of the stream all that arrived before it, so later bytes were
// not there to be read. After a reset it is not known.
func (u *upstream) unread() bool {
	if u.written == u.start {
		return true
	}
	if !u.ended {
		return false
	}
	received := acknowledged(u.Conn)
	return received >= 0 && received <= u.start
}

// errStale says that a connection was not as it was left: nothing was sent on it.
var errStale = errors.New("the connection has ended, or bytes have come that no request asked for")

// ask sends p and waits for bytes of a response to it. It returns errStale if something has
// arrived before. Where it can't do both at once, or the kernel does not take all of p at
// once, it returns how much was sent and nothing else.
func (u *upstream) ask(p []byte, until time.Time) (b buffer, n, sent int, err error) {
	if u.raw == nil {
		return nil, 0, 0, nil
	}
	b, n, sent, seen, err := u.socket.ask(p, until)
	u.written += int64(sent)
	switch {
	case seen != open:
		u.pool.stale(seen)
		return nil, 0, 0, errStale
	case sent < len(p):
		return nil, 0, sent, nil
	}
	u.ended = u.ended || err == io.EOF
	return b, n, sent, err
}

// askNow sends p as ask does, without a wait. It returns how much was sent.
func (u *upstream) askNow(p []byte) (sent int, err error) {
	n, seen := u.socket.askNow(p)
	u.written += int64(n)
	if seen != open {
		u.pool.stale(seen)
		return 0, errStale
	}
	return n, nil
}

// pool is the unused connections to one target, and what is known of it.
type pool struct {
	mu    sync.Mutex  // guards all
	idle  []*upstream // the last used is the last
	keeps bool        // the instance keeps connections: it said so, or one was used again
	timer *time.Timer // closes those that were unused for idleTime; nil while there are none
}

// get returns an unused connection, nil if there is none. Nothing has arrived on it, unless
// asks says that the caller will ask, which looks by itself. l is the loop that the caller is;
// it gets none that has no descriptor.
func (p *pool) get(now time.Time, asks bool, l *loop) *upstream {
	for {
		u := p.take(now, l)
		if u == nil {
			return nil
		}
		if now.Sub(u.idle) >= idleTime {
			u.Close()
			continue
		}
		u.start = u.written
		if asks && u.raw != nil {
			return u
		}
		seen := u.look()
		if seen == open {
			return u
		}
		p.stale(seen)
		u.Close()
	}
}

// stale takes note of what was seen on an unused connection.
func (p *pool) stale(seen lookup) {
	if seen == ended || seen == broken {
		p.mu.Lock()
		p.keeps = false
		p.mu.Unlock()
	}
}

// take takes the connection that was used last. As long as the instance is not known to
// keep connections, that is the one that has rested longest. Of those that were used last it
// prefers one that the loop l is told of already, or none is if that is nil.
func (p *pool) take(now time.Time, l *loop) *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	at := 0
	switch {
	case n == 0, l != nil && p.idle[0].raw == nil:
		return nil
	case p.keeps:
		at = n - 1
		for i := at; i >= max(0, n-nearest); i-- {
			if p.idle[i].loop() == l {
				at = i
				break
			}
		}
	case now.Sub(p.idle[0].idle) < restTime:
		return nil
	}
	u := p.idle[at]
	p.idle = slices.Delete(p.idle, at, at+1)
	return u
}

// nearest is how many of the connections that were used last are looked at for one that need
// not be registered anew.
const nearest = 8

// put keeps a connection for a later request.
func (p *pool) put(u *upstream, keeps bool) {
	u.uses++
	u.idle = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeps = p.keeps || keeps || u.uses > 1
	p.idle = append(p.idle, u)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTime, p.expire)
	}
}

// expire closes what was unused for idleTime.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idle) >= idleTime {
		p.idle[n].Close()
		n++
	}
	p.idle = slices.Delete(p.idle, 0, n)
	if len(p.idle) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(idleTime - now.Sub(p.idle[0].idle))
}

// close closes all unused connections.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.idle {
		u.Close()
	}
	p.idle = nil
}

// pool returns the pooled connections to a target. The caller has a lease of
// it, so Retire is not running.
func (p *Proxy) pool(t *router.Target) *pool {
	if pl, ok := p.pools.Load(t); ok {
		return pl.(*pool)
	}
	pl, _ := p.pools.LoadOrStore(t, &pool{})
	return pl.(*pool)
}

// Retire implements router.Pool. A connection is put back before its lease is released, so
// none comes back afterwards.
func (p *Proxy) Retire(t *router.Target) {
	p.tunnels.stay(t)
	if pl, ok := p.pools.LoadAndDelete(t); ok {
		pl.(*pool).close()
	}
}

// connect returns a connection to the target, an unused one if there is one. asks says
// that it will be used by ask.
func (p *Proxy) connect(t *router.Target, now, until time.Time, asks bool) (*upstream, error) {
	pl := p.pool(t)
	if u := pl.get(now, asks, nil); u != nil {
		u.leave()
		return u, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(dialTime, until.Sub(now)))
	defer cancel()
	c, err := p.cfg.Dialer.Dial(ctx, t.Instance, t.Port)
	if err != nil {
		if !time.Now().Before(until) {
			return nil, errLimit
		}
		return nil, &dialError{err}
	}
	return &upstream{socket: newAsking(c, takeBlock), pool: pl}, nil
}

// read reads and notes the end of the stream.
func (u *upstream) read(p []byte, until time.Time) (int, error) {
	n, err := u.socket.read(p, until)
	u.ended = u.ended || err == io.EOF
	return n, err
}

// readBuffer does the same.
func (u *upstream) readBuffer(until time.Time) (buffer, int, error) {
	b, n, err := u.socket.readBuffer(until)
	u.ended = u.ended || err == io.EOF
	return b, n, err
}
