package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/router"
)

// Config configures a Proxy. Fields below "defaults" may be zero.
type Config struct {
	Router *router.Router
	Dialer Dialer
	Log    *slog.Logger

	// Access takes the access logs of services; nil if there are none.
	Access AccessLog

	// Trusted are the addresses of proxies whose X-Forwarded headers and
	// X-Request-Id are used. Those of all other clients are dropped.
	Trusted []netip.Prefix

	// ProxyProtocol says that the proxies of Trusted begin each connection with a header of the
	// PROXY protocol. A connection of theirs without it is closed.
	ProxyProtocol bool

	// PriorHTTP2 has clients without TLS speak HTTP/2 that begin with it.
	PriorHTTP2 bool

	// Underscores lets fields of requests pass whose names have underscores, except those
	// that an application may take for one of a router's or of the protocol.
	Underscores bool

	// Start is closed when requests may be served; nil: as soon as the router has loaded
	// its first table.
	Start <-chan struct{}

	// Loops is how many event loops serve the requests that need no other wait than that
	// for their instance: 0 for as many as GOMAXPROCS, -1 for none.
	Loops int

	// The defaults are in parentheses.

	RequestTimeout  time.Duration // from the head of a request to the end of its response (120 s, as in App Runner)
	HeadTimeout     time.Duration // from the first byte of a head to its last (30 s)
	IdleTimeout     time.Duration // of a client connection between requests (75 s)
	HalfClosed      time.Duration // for a response to a client that sends no more: it may read, or have left (10 s)
	TunnelIdle      time.Duration // of a WebSocket without a byte in either direction (1 h)
	ShutdownTimeout time.Duration // for requests in flight when the context of Serve ends (30 s)
}

func (c *Config) setDefaults() {
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 120*time.Second)
	c.HeadTimeout = cmp.Or(c.HeadTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 75*time.Second)
	c.HalfClosed = cmp.Or(c.HalfClosed, 10*time.Second)
	c.TunnelIdle = cmp.Or(c.TunnelIdle, time.Hour)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 30*time.Second)
}

// Proxy is the engine of the router for HTTP/1.
type Proxy struct {
	cfg   Config
	pools sync.Map // *router.Target -> *pool
	dates dates

	memory  memory // of large heads
	tunnels tunnels
	loops   loops

	taker    atomic.Pointer[Taker] // nil before Yield
	yielding chan struct{}         // closed by Yield

	mu     sync.Mutex // guards fronts
	fronts fronts
}

var _ router.Pool = (*Proxy)(nil)

// New returns a proxy that serves nothing before Serve. It must be called before
// the router runs, because it attaches to it.
func New(cfg Config) (*Proxy, error) {
	if cfg.Router == nil || cfg.Dialer == nil || cfg.Log == nil {
		return nil, errors.New("router/proxy: Router, Dialer and Log are required")
	}
	cfg.setDefaults()
	p := &Proxy{cfg: cfg, memory: memory{most: maxGrown}, loops: loops{open: newLoop}, yielding: make(chan struct{})}
	cfg.Router.Attach(p)
	return p, nil
}

// front is what serves the requests of one listener.
type front struct {
	*Proxy
	listener, scheme string // its id, and what applications are told
	tls              *tls.Config
	https            func(host string) string // see router.Listener; nil: nowhere
	challenge        func(host, path string) (answer string, ok bool)

	closing atomic.Bool // no request follows the ones in flight

	mu      sync.Mutex // guards clients
	clients map[*clientConn]struct{}
	shard   uint32         // of the last client
	serving sync.WaitGroup // clients
}

func (p *Proxy) newFront(as router.Listener) *front {
	return &front{Proxy: p, listener: as.ID, scheme: as.ForwardedProto(), tls: as.TLS, https: as.HTTPS, challenge: as.Challenge, clients: map[*clientConn]struct{}{}}
}

// freshTime is how long an accepted connection has to send its first request once the
// listener ends. Browsers open connections ahead of need, which send none.
const freshTime = time.Second

// Serve serves HTTP/1 on the network listener l, which it closes; as says what l
// stands for. Serve starts when the router has loaded its first table and ends with
// ctx. Then it stops accepting connections, gives the requests in flight and open
// WebSockets ShutdownTimeout to finish, cuts the rest, and returns nil. After Yield the
// requests in flight have all of their time.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, as router.Listener) error {
	f := p.newFront(as)
	p.startLoops()
	defer p.endLoops()
	p.addFront(f)
	if !p.starts(ctx) {
		return l.Close()
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	err := f.accept(ctx, l)
	if ctx.Err() == nil {
		l.Close()
		f.close()
		f.cut()
		f.serving.Wait()
		return err
	}
	f.shutdown(l.Addr().String())
	return nil
}

// accept serves each connection in a goroutine until the listener ends.
func (f *front) accept(ctx context.Context, l net.Listener) error {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		if err != nil {
			// The process may lack descriptors for a moment.
			if t, ok := errors.AsType[interface {
				error
				Temporary() bool
			}](err); ctx.Err() != nil || !ok || !t.Temporary() {
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			f.cfg.Log.Warn("no connection could be accepted", "listener", l.Addr().String(), "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		f.serving.Add(1)
		go f.enter(c)
	}
}

// serve serves a connection whose client has sent what was received already.
func (f *front) serve(conn net.Conn, from Origin, received []byte) {
	c := newClient(f, conn, from)
	c.in = received
	f.mu.Lock()
	f.shard++
	c.shard = f.shard
	f.clients[c] = struct{}{}
	f.mu.Unlock()
	c.run()
}

// shutdown lets the requests in flight finish and cuts what takes too long.
func (f *front) shutdown(listener string) {
	f.close()
	f.tunnels.end(func(t *tunnel) bool { return t.front == f })
	yields := f.isYielding()
	freshTime := min(freshTime, f.cfg.ShutdownTimeout)
	if yields {
		freshTime = 0
	}
	if !f.stays() {
		fresh := time.AfterFunc(freshTime, func() { f.endWaiting(stateFresh) })
		defer fresh.Stop()
	}
	finished := make(chan struct{})
	go func() {
		f.serving.Wait()
		close(finished)
	}()
	limit := time.NewTimer(f.cfg.ShutdownTimeout)
	defer limit.Stop()
	select {
	case <-finished:
		return
	case <-limit.C:
	}
	if yields {
		f.tunnels.cut(f)
	} else {
		f.cfg.Log.Warn("requests cut at shutdown", "listener", listener, "connections", f.cut())
	}
	<-finished
}

// close has no request follow the ones in flight.
func (f *front) close() {
	f.mu.Lock()
	f.closing.Store(true)
	f.mu.Unlock()
	f.drainSessions()
	if !f.stays() {
		f.endWaiting(stateIdle)
	}
	for _, l := range f.loops.list {
		l.evictAll(f)
	}
}

// stays reports whether clients at rest keep their connections until their next request, or
// for IdleTimeout: those of TLS can't be passed to another process, and a request that is on
// its way to a connection that closes is lost.
func (f *front) stays() bool { return f.tls != nil && f.isYielding() }

// endWaiting wakes the connections that wait for a request in a state.
func (f *front) endWaiting(state int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.clients {
		c.endWait(state)
	}
}

// cut closes all connections and returns how many. Closing may wait for the end of a
// request, which sees it.
func (f *front) cut() int {
	f.tunnels.cut(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.clients {
		go c.Close()
	}
	return len(f.clients)
}
