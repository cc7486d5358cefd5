package proxy

import (
	"context"
	"errors"
	"net"
)

// errPassed ends the wait of a request that another process's proxy goes on with.
var errPassed = errors.New("another process goes on with the request")

// ErrYielding says that the proxy takes no more connections itself.
var ErrYielding = errors.New("the router passes its connections on")

// Taker takes the connection of a client for another process to go on with, and returns
// before it is closed here. listener is the id of the network listener through which it
// came. received is what the client has sent that was not answered: nothing, or a request
// of which no instance has got anything.
type Taker func(c *net.TCPConn, listener string, received []byte) error

// Yield has the proxy pass its clients' connections on from now on: those that are idle,
// those whose requests wait for an instance, and the others when their responses have
// ended. Connections of protocol upgrades and of TLS can't be passed: their clients are
// told to leave. The contexts of Serve should end next. Yield must be called once.
func (p *Proxy) Yield(take Taker) {
	p.taker.Store(&take)
	close(p.yielding)
}

// isYielding reports whether Yield was called.
func (p *Proxy) isYielding() bool { return p.taker.Load() != nil }

// PassOn passes a connection on that another process has passed to this one. It must be
// called after Yield.
func (p *Proxy) PassOn(c *net.TCPConn, listener string, received []byte) error {
	return (*p.taker.Load())(c, listener, received)
}

// Resume serves a connection that another process's proxy has passed on. It waits until
// requests may be served and the listener is. It does not close the connection if it returns an error:
// ErrYielding after Yield, or another if ctx ends or the listener does.
func (p *Proxy) Resume(ctx context.Context, conn net.Conn, listener string, received []byte) error {
	if !p.starts(ctx) {
		return context.Cause(ctx)
	}
	f, err := p.frontOf(ctx, listener)
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
	go f.serve(conn, received)
	return nil
}

// fronts are the listeners that are served.
type fronts struct {
	byID    map[string]*front
	changed chan struct{} // closed when another is served
}

// addFront notes that a listener is served.
func (p *Proxy) addFront(f *front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fronts.byID == nil {
		p.fronts.byID = map[string]*front{}
	}
	p.fronts.byID[f.listener] = f
	if p.fronts.changed != nil {
		close(p.fronts.changed)
		p.fronts.changed = nil
	}
}

// frontOf waits until a listener is served.
func (p *Proxy) frontOf(ctx context.Context, listener string) (*front, error) {
	for {
		p.mu.Lock()
		f := p.fronts.byID[listener]
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
	return c.tcp != nil && c.front.tls == nil && c.front.isYielding()
}

// pass has another process go on with the connection, and reports whether it does.
func (c *clientConn) pass(received []byte) bool {
	if !c.canPass() {
		return false
	}
	err := (*c.front.taker.Load())(c.tcp, c.front.listener, received)
	if err != nil {
		c.front.cfg.Log.Debug("a connection could not be passed on", "client", c.peer.ip, "err", err)
	}
	return err == nil
}

// yields returns what is closed when the request may have to be passed on: nil, which
// never is, if it can't be.
func (x *exchange) yields() <-chan struct{} {
	if x.c.tcp == nil || x.c.front.tls != nil || x.body != nil {
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
