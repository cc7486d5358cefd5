package embedded

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Collector is a trace collector that instances reach at a port of their own
// loopback addresses, wherever it runs.
type Collector struct {
	Port int // in the instance

	// Dial opens a connection to the collector, from the daemon's network.
	Dial func(ctx context.Context) (net.Conn, error)
}

const (
	// maxForwarded is how many connections one instance may have to collectors.
	// An exporter holds one.
	maxForwarded = 16

	// maxForwardedAll is how many all instances may have together. Each takes two
	// descriptors of the server.
	maxForwardedAll = 2048

	// dialLimit is how long connecting to a collector may take, with the TLS handshake.
	dialLimit = 10 * time.Second
)

// traceForwarder forwards connections of one instance to the collectors.
type traceForwarder struct {
	listeners []net.Listener
	cancel    context.CancelFunc
	work      sync.WaitGroup
}

// collect opens the collectors' ports in an instance's network namespace, except
// the port of the application. While no daemon runs, the ports are closed, as if
// the collector were down; the next daemon opens them again.
func (d *Driver) collect(in *instance, netns *os.File) error {
	if !in.spec.Tracing {
		return nil
	}
	ctx, cancel := context.WithCancel(d.boot)
	c := &traceForwarder{cancel: cancel}
	slots := make(chan struct{}, maxForwarded)
	for _, to := range d.cfg.Collectors {
		if to.Port == in.spec.Port {
			continue
		}
		for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
			l, err := d.listenInside(netns, netip.AddrPortFrom(addr, uint16(to.Port)))
			if err != nil && addr.Is6() {
				continue // a kernel without IPv6
			}
			if err != nil {
				c.stop()
				return fmt.Errorf("open port %d for a collector: %w", to.Port, err)
			}
			c.listeners = append(c.listeners, l)
			c.work.Go(func() { c.serve(ctx, l, to, slots, d.forwarded) })
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.traces = c
	return nil
}

// listenInside listens at an address in a network namespace.
func (d *Driver) listenInside(netns *os.File, at netip.AddrPort) (l net.Listener, err error) {
	nerr := inNamespace(int(netns.Fd()), int(d.home.Fd()), func() error {
		l, err = net.Listen("tcp", at.String())
		return nil
	})
	if nerr != nil {
		return nil, nerr
	}
	return l, err
}

// serve takes connections to the collector until the listener is closed. Those that
// the slots of the instance and of all have no place for are closed.
func (c *traceForwarder) serve(ctx context.Context, l net.Listener, to Collector, slots, all chan struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !enter(slots) {
			conn.Close()
			continue
		}
		if !enter(all) {
			<-slots
			conn.Close()
			continue
		}
		c.work.Go(func() {
			defer func() { <-slots; <-all }()
			forward(ctx, conn, to)
		})
	}
}

// enter takes a slot, if one is free.
func enter(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// forward joins a connection with one to the collector until either ends. It keeps no
// more of either than a buffer: what one sends waits until the other takes it.
func forward(ctx context.Context, conn net.Conn, to Collector) {
	defer conn.Close()
	dialing, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	far, err := to.Dial(dialing)
	if err != nil {
		return // the exporter sees a closed connection and tries again
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() {
		conn.Close()
		far.Close()
	})()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, conn)
		closeWrite(far)
	}()
	_, _ = io.Copy(conn, far)
	closeWrite(conn)
	conn.Close() // what the collector has ended, it no longer reads
	<-done
}

func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

// stop closes the ports and all connections.
func (c *traceForwarder) stop() {
	if c == nil {
		return
	}
	c.cancel()
	for _, l := range c.listeners {
		l.Close()
	}
	c.work.Wait()
}

// checkCollectors refuses ports that are none or given twice.
func checkCollectors(list []Collector) error {
	seen := map[int]bool{}
	for _, c := range list {
		if c.Port < 1 || c.Port > 65535 || seen[c.Port] || c.Dial == nil {
			return fmt.Errorf("the collector at port %d: a port from 1 to 65535 of its own is needed, and a way to it", c.Port)
		}
		seen[c.Port] = true
	}
	return nil
}
