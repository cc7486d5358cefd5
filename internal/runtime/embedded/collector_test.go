package embedded

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// dialLoopback opens a connection of an instance to a collector's port.
func dialLoopback(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ends fails unless the other side ends a connection.
func ends(t *testing.T, c net.Conn, what string) {
	t.Helper()
	var n net.Error
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &n) && n.Timeout() {
		t.Errorf("%s: %v, want its end", what, err)
	}
}

// TestCollectorsAreBounded has instances open more connections than they may, to a
// collector that sends without end.
func TestCollectorsAreBounded(t *testing.T) {
	t.Parallel()
	endless := Collector{Port: 4317, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			for {
				if _, err := far.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}()
		return near, nil
	}}
	all := make(chan struct{}, 3)
	var listeners []net.Listener
	for range 2 { // instances, of two connections each
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := &traceForwarder{listeners: []net.Listener{l}, cancel: cancel}
		c.work.Go(func() { c.serve(ctx, l, endless, make(chan struct{}, 2), all) })
		t.Cleanup(c.stop)
		listeners = append(listeners, l)
	}
	first := dialLoopback(t, listeners[0])
	for _, c := range []net.Conn{first, dialLoopback(t, listeners[0]), dialLoopback(t, listeners[1])} {
		if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil {
			t.Fatalf("a connection within the bounds: %v", err)
		}
	}
	ends(t, dialLoopback(t, listeners[0]), "a third connection of an instance")
	ends(t, dialLoopback(t, listeners[1]), "a fourth connection of all")
	first.Close()
	deadline := time.Now().Add(time.Minute)
	for { // what has ended makes room
		if _, err := dialLoopback(t, listeners[1]).Read(make([]byte, 1)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that has ended still counts")
		}
	}
}
