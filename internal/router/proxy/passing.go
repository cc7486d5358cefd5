package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// errPassed ends the wait of a request that another process's proxy goes on with.
var errPassed = errors.New("another process goes on with the request")

// ErrYielding says that the proxy takes no more connections itself.
var ErrYielding = errors.New("the router passes its connections on")

// Origin says where the connection of a client came in.
type Origin struct {
	Listener string // id of the network listener

	// Secure says that the client speaks TLS. Its connection can't be passed: what is passed
	// is one to the process that has it, which relays bytes.
	Secure bool

	// Client and Local are the ends of the client's own connection, if that is another one: of
	// one that is relayed, or that a proxy has told of by the PROXY protocol.
	Client, Local netip.AddrPort
}

// Taker takes the connection of a client for another process to go on with, and returns
// before it is closed here. received is what the client has sent that was not answered:
// nothing, or a request of which no instance has got anything.
type Taker func(c *net.TCPConn, from Origin, received []byte) error

// Yield has the proxy pass its clients' connections on from now on: those that are idle,
// those whose requests wait for an instance, and the others when their responses have
// ended. Connections of protocol upgrades can't be passed: their clients are told to leave.
// Those of TLS stay for one request more, of which the bytes are relayed. The contexts of
// Serve should end next. Yield must be called once.
func (p *Proxy) Yield(take Taker) {
	p.taker.Store(&take)
	close(p.yielding)
}

// isYielding reports whether Yield was called.
func (p *Proxy) isYielding() bool { return p.taker.Load() != nil }

// PassOn passes a connection on that another process has passed to this one. It must be
// called after Yield.
func (p *Proxy) PassOn(c *net.TCPConn, from Origin, received []byte) error {
	return (*p.taker.Load())(c, from, received)
}

// Resume serves a connection that another process's proxy has passed on. It waits until
// requests may be served and the listener is. It does not close the connection if it returns an error:
// ErrYielding after Yield, or another if ctx ends or the listener does.
func (p *Proxy) Resume(ctx context.Context, conn net.Conn, from Origin, received []byte) error {
	if !p.starts(ctx) {
		return context.Cause(ctx)
	}
	f, err := p.frontOf(ctx, from)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		if p.isYielding() {
			return ErrYielding
		}
		return net.ErrClosed
	}
	f.serving.Add(1)
	go f.serve(conn, from, received)
	return nil
}

// fronts are the listeners that are served.
type fronts struct {
	by      map[Origin]*front // by Listener and Secure
	changed chan struct{}     // closed when another is served
}

// addFront notes that a listener is served.
func (p *Proxy) addFront(f *front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fronts.by == nil {
		p.fronts.by = map[Origin]*front{}
	}
	p.fronts.by[Origin{Listener: f.listener, Secure: f.tls != nil}] = f
	if p.fronts.changed != nil {
		close(p.fronts.changed)
		p.fronts.changed = nil
	}
}

// frontOf waits until the listener of an origin is served.
func (p *Proxy) frontOf(ctx context.Context, from Origin) (*front, error) {
	for {
		p.mu.Lock()
		f := p.fronts.by[Origin{Listener: from.Listener, Secure: from.Secure}]
		if p.fronts.changed == nil {
			p.fronts.changed = make(chan struct{})
		}
		changed := p.fronts.changed
		p.mu.Unlock()
		if f != nil {
			return f, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// canPass reports whether another process can go on with the connection.
func (c *clientConn) canPass() bool {
	return (c.tcp != nil || c.front.tls != nil) && c.front.isYielding()
}

// pass has another process go on with the connection, and reports whether it does. One of TLS
// has ended when it returns.
func (c *clientConn) pass(received []byte) bool {
	if !c.canPass() {
		return false
	}
	var err error
	if c.tcp == nil {
		err = c.relay(received)
	} else {
		err = (*c.front.taker.Load())(c.tcp, c.origin, received)
	}
	if err != nil {
		c.front.cfg.Log.Debug("a connection could not be passed on", "client", c.peer.ip, "err", err)
	}
	return err == nil
}

// relay passes a connection on whose other end is here, and relays bytes between it and the
// client until both have ended. The process that gets it ends it after one response.
func (c *clientConn) relay(received []byte) error {
	near, far, err := tcpPair()
	if err != nil {
		return err
	}
	from := Origin{Listener: c.front.listener, Secure: true}
	from.Client, from.Local = c.origin.ends(c.Conn)
	err = (*c.front.taker.Load())(far, from, received)
	far.Close()
	if err != nil {
		near.Close()
		return err
	}
	t := &tunnel{began: time.Now(), front: c.front, down: c.socket, up: newSocket(near, takeBlock), idle: c.front.cfg.TunnelIdle}
	t.touch()
	defer t.close()
	c.take = takeBlock
	var up sync.WaitGroup
	up.Go(func() { t.relay(t.up, t.down) })
	t.relay(t.down, t.up)
	t.close() // the response was the last
	up.Wait()
	return nil
}

// tcpPair returns the two ends of a connection of this process with itself. It is TCP since
// what passes connections on knows no other.
func tcpPair() (near, far *net.TCPConn, err error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if near, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		return nil, nil, err
	}
	l.SetDeadline(time.Now().Add(dialTime))
	for {
		if far, err = l.AcceptTCP(); err != nil {
			near.Close()
			return nil, nil, err
		}
		if far.RemoteAddr().String() == near.LocalAddr().String() {
			return near, far, nil
		}
		far.Close() // another process was quicker
	}
}

// yields returns what is closed when the request may have to be passed on: nil, which
// never is, if it can't be.
func (x *exchange) yields() <-chan struct{} {
	if x.c.tcp == nil && x.c.front.tls == nil || x.body != nil {
		return nil
	}
	return x.c.front.yielding
}

// starts returns once requests may be served, false if ctx has ended before.
func (p *Proxy) starts(ctx context.Context) bool {
	for _, c := range []<-chan struct{}{p.cfg.Router.Loaded(), p.cfg.Start} {
		if c == nil {
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
