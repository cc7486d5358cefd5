package httplimit

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Connections counts the connections of several listeners together, and closes those
// above its limits as they come. All are required but Exempt.
type Connections struct {
	All        int // at once
	PerAddress int // of one client at once: of an IPv4 address, or of an IPv6 /64
	Log        *slog.Logger

	// Exempt are addresses that only All holds for, such as those of reverse proxies.
	Exempt []netip.Prefix

	mu      sync.Mutex // guards what follows
	open    int
	of      map[netip.Prefix]int
	refused int       // since told
	told    time.Time // when that was logged last
}

// tellEvery is how often refused connections are logged.
const tellEvery = time.Minute

// Limit returns a listener that accepts what l accepts, within the limits.
func (c *Connections) Limit(l net.Listener) net.Listener { return &limited{Listener: l, all: c} }

type limited struct {
	net.Listener
	all *Connections
}

// Accept returns the next connection that is within the limits. It closes others.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn, ok := l.all.Join(conn); ok {
			return conn, nil
		}
	}
}

// Join counts a connection that came in another way. One that is above the limits is
// closed, and ok is false.
func (c *Connections) Join(conn net.Conn) (counted net.Conn, ok bool) {
	from, known := clientOf(conn.RemoteAddr())
	if !c.enter(from, known, time.Now()) {
		abort(conn)
		return nil, false
	}
	leave := sync.OnceFunc(func() { c.leave(from, known) })
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &tcpConn{tcp, leave}, true
	}
	return &otherConn{conn, leave}, true
}

// abort closes a connection without a trace in the kernel.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// clientOf returns the network that counts as one client.
func clientOf(a net.Addr) (netip.Prefix, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

// enter counts a connection, unless it is above a limit.
func (c *Connections) enter(from netip.Prefix, known bool, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := ""
	switch {
	case c.open >= c.All:
		limit = "all"
	case known && c.of[from] >= c.PerAddress && !c.exempt(from.Addr()):
		limit = "address"
	}
	if limit == "" {
		if c.of == nil {
			c.of = map[netip.Prefix]int{}
		}
		c.open++
		if known {
			c.of[from]++
		}
		return true
	}
	if c.refused++; now.Sub(c.told) >= tellEvery {
		c.Log.Warn("refused connections", "connections", c.refused, "last", from.Addr().String(), "limit", limit)
		c.refused, c.told = 0, now
	}
	return false
}

func (c *Connections) exempt(a netip.Addr) bool {
	for _, p := range c.Exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (c *Connections) leave(from netip.Prefix, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if !known {
		return
	}
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// tcpConn keeps what a TCP connection can do beside reading and writing.
type tcpConn struct {
	*net.TCPConn
	leave func()
}

// TCP returns the connection that is counted: what it reads and writes is the same.
func (c *tcpConn) TCP() *net.TCPConn { return c.TCPConn }

// Close implements net.Conn.
func (c *tcpConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

type otherConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *otherConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
