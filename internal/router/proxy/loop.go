package proxy

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loop waits for many connections at once, in one goroutine, and serves the requests that
// need no other wait than that for their instance. It has the clients at rest that came to
// it, and requests that were sent to an instance; loopserve.go says what it does with them.
// Whatever else is to be done is left to a goroutine, which gets the client's connection with
// its exchange.
//
// A connection belongs to one goroutine at a time, the loop's or another: that one alone reads,
// writes and changes it. Those of clients at rest may be taken by whoever holds mu.
//
// It waits at an epoll descriptor, which Go's poller watches as it watches the connections
// themselves. So it holds no thread while it waits, and a connection may go to a goroutine at
// any moment. Events tell of what comes, once: who takes a connection over has to read before
// it waits.
type loop struct {
	file   *os.File
	raw    syscall.RawConn // of file
	fd     int             // of file, for epoll_ctl; only while mu is held and it is not closed
	events [64]unix.EpollEvent

	mu       sync.Mutex // guards the rest
	closed   bool
	seats    []*seat
	unused   *seat     // the first of those that are free, by next
	resting  queue     // clients without a request
	asking   queue     // connections to instances that have to answer
	deadline time.Time // of the wait; zero if there is none
}

// seat is what a loop knows of a descriptor that it watches. Events name a seat and its
// generation, never a descriptor: those of one that was closed mean nothing to its successor.
type seat struct {
	loop       *loop
	at         int32 // its index in seats
	generation int32

	client *clientConn // that it is of, or
	up     *upstream   // the connection to an instance
	x      *exchange   // that has to be answered on up; nil if it is not in use here

	queue      *queue // that it is in, or nil
	prev, next *seat  // in it
	until      time.Time
}

// queue is seats in the order of their times.
type queue struct{ first, last *seat }

// add adds a seat. Nearly all times are later than those before.
func (q *queue) add(p *seat, until time.Time) {
	p.queue, p.until = q, until
	before := q.last
	for before != nil && until.Before(before.until) {
		before = before.prev
	}
	p.prev = before
	if before == nil {
		p.next, q.first = q.first, p
	} else {
		p.next, before.next = before.next, p
	}
	if p.next == nil {
		q.last = p
	} else {
		p.next.prev = p
	}
}

// leave takes a seat out of its queue, if it is in one.
func (p *seat) leave() {
	q := p.queue
	if q == nil {
		return
	}
	if p.prev == nil {
		q.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.queue, p.prev, p.next = nil, nil, nil
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // has os.NewFile register it with the poller
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &loop{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if l.raw, err = l.file.SyscallConn(); err == nil {
		err = l.file.SetReadDeadline(time.Time{}) // fails if the poller did not take it
	}
	if err != nil {
		l.file.Close()
		return nil, err
	}
	return l, nil
}

// run handles events until the loop is closed.
func (l *loop) run() {
	turn := l.turn
	for {
		if err := l.raw.Read(turn); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		l.expire()
	}
}

// turn handles what has come until nothing has, or others must have their turn. Then it waits in
// Go's poller: the runtime looks at that only each 10 ms as long as no goroutine waits, and others
// may have connections there. A turn that has handled all that was there loses nothing by it.
// What comes later is told to Go's poller, and ends the wait.
func (l *loop) turn(fd uintptr) (done bool) {
	for handled := 0; ; {
		n := sysEpollWait(fd, l.events[:])
		for i := range n {
			l.handle(&l.events[i])
		}
		handled += n
		if n == 0 || handled >= turnEvents && n < len(l.events) {
			return false
		}
		runtime.Gosched()
	}
}

// turnEvents is how many events a loop handles before it waits in Go's poller. A wait costs
// as much as some events, and 64 requests take a millisecond.
const turnEvents = 128

// close ends the loop, which has no clients.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.file.Close()
}

const watched = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// occupy finds a seat and has it told of what comes on a socket. It returns nil if that can't
// be done. mu is held.
func (l *loop) occupy(s *socket) *seat {
	if l.closed {
		return nil
	}
	p := l.unused
	if p == nil {
		p = &seat{loop: l, at: int32(len(l.seats))}
		l.seats = append(l.seats, p)
	} else {
		l.unused, p.next = p.next, nil
	}
	err := error(unix.EBADF)
	s.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: watched, Fd: p.at, Pad: p.generation})
	})
	if err != nil {
		l.vacate(p)
		return nil
	}
	s.beDirect()
	return p
}

// unwatch gives a seat up. mu is held.
func (l *loop) unwatch(p *seat, s *socket) {
	if !l.closed {
		s.raw.Control(func(fd uintptr) { unix.EpollCtl(l.fd, unix.EPOLL_CTL_DEL, int(fd), nil) })
	}
	l.vacate(p)
}

func (l *loop) vacate(p *seat) {
	p.leave()
	p.client, p.up, p.x = nil, nil, nil
	p.generation++
	p.next, l.unused = l.unused, p
}

// enter takes a client's connection, whose last request was answered, and reports whether it
// has. The caller must not use it then.
func (l *loop) enter(c *clientConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.front.closing.Load() {
		return false
	}
	if c.seat = l.occupy(c.socket); c.seat == nil {
		return false
	}
	c.seat.client = c
	l.wait(&l.resting, c.seat, time.Now().Add(c.front.cfg.IdleTimeout))
	return true
}

// adopt has the loop be told of what comes on a connection to an instance, which the caller
// has taken from its pool.
func (l *loop) adopt(u *upstream) bool {
	if u.loop() == l {
		return true
	}
	u.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.seat = l.occupy(u.socket); u.seat == nil {
		return false
	}
	u.seat.up = u
	return true
}

// loop returns the loop that is told of what comes on the connection, if any.
func (u *upstream) loop() *loop {
	if u.seat == nil {
		return nil
	}
	return u.seat.loop
}

// leave ends that a loop is told.
func (u *upstream) leave() {
	if p := u.seat; p != nil {
		u.seat = nil
		p.loop.mu.Lock()
		defer p.loop.mu.Unlock()
		p.loop.unwatch(p, u.socket)
	}
}

// Close closes the connection.
func (u *upstream) Close() error {
	u.leave()
	return u.socket.Close()
}

// wait puts a seat into a queue until a time. mu is held.
func (l *loop) wait(q *queue, p *seat, until time.Time) {
	q.add(p, until)
	if l.deadline.IsZero() || until.Before(l.deadline) {
		l.limit(until)
	}
}

// limit sets the end of the loop's wait.
func (l *loop) limit(until time.Time) {
	l.deadline = until
	l.file.SetReadDeadline(until)
}

// expire closes the connections of clients that have been at rest for too long, and leaves
// requests that have not been answered for a while to goroutines.
func (l *loop) expire() {
	now := time.Now()
	var idle, slow []*clientConn
	l.mu.Lock()
	for p := l.resting.first; p != nil && !p.until.After(now); p = l.resting.first {
		idle = append(idle, p.client)
		l.evict(p)
	}
	for p := l.asking.first; p != nil && !p.until.After(now); p = l.asking.first {
		slow = append(slow, p.x.c)
		p.leave()
	}
	next := time.Time{}
	for _, p := range []*seat{l.resting.first, l.asking.first} {
		if p != nil && (next.IsZero() || p.until.Before(next)) {
			next = p.until
		}
	}
	l.limit(next)
	l.mu.Unlock()
	for _, c := range slow {
		l.handOver(c)
	}
	if len(idle) > 0 { // closing takes time
		go func() {
			for _, c := range idle {
				c.end()
			}
		}()
	}
}

// evict takes a client at rest out of the loop. mu is held.
func (l *loop) evict(p *seat) {
	c := p.client
	c.seat = nil
	l.unwatch(p, c.socket)
}

// evictAll leaves the clients at rest of a listener, which is closing, to goroutines.
func (l *loop) evictAll(f *front) {
	var list []*clientConn
	l.mu.Lock()
	for p := l.resting.first; p != nil; {
		next := p.next
		if p.client.front == f {
			list = append(list, p.client)
			l.evict(p)
		}
		p = next
	}
	l.mu.Unlock()
	for _, c := range list {
		go c.run()
	}
}

// loops are those of a proxy. They run while it serves a listener.
type loops struct {
	open    func() (*loop, error) // newLoop
	mu      sync.Mutex            // guards the rest, and that there are loops
	users   int                   // listeners
	list    []*loop
	running sync.WaitGroup
}

// startLoops has the loops run until as many calls of endLoops.
func (p *Proxy) startLoops() {
	ls := &p.loops
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.users++; ls.users > 1 {
		return
	}
	n := p.cfg.Loops
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	for range n {
		l, err := ls.open()
		if err != nil {
			p.cfg.Log.Warn("requests are served without an event loop", "err", err)
			ls.close()
			return
		}
		ls.list = append(ls.list, l)
		ls.running.Go(l.run)
	}
}

// endLoops is the inverse of startLoops.
func (p *Proxy) endLoops() {
	ls := &p.loops
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.users--; ls.users == 0 {
		ls.close()
	}
}

func (ls *loops) close() {
	for _, l := range ls.list {
		l.close()
	}
	ls.running.Wait()
	ls.list = nil
}
