// Package httpdrain ends a net/http server without dropping the requests of
// connections that it has accepted. http.Server.Shutdown alone closes a connection
// whose first request it is about to read.
//
// It does not say how requests are answered. The router's engine and the API's
// listener use it.
package httpdrain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// firstRequest is how long an accepted connection has by default to send its first
// request once the server ends. Browsers open connections ahead of need, which send
// none.
const firstRequest = time.Second

// Drain says how a server ends.
type Drain struct {
	Limit        time.Duration             // for all requests in flight
	FirstRequest time.Duration             // for an accepted connection to send one; a second when 0
	Finish       func(ctx context.Context) // ends hijacked connections within what is left of Limit; nil for none
}

// ErrCut says that requests were still in flight when the time for them had passed.
var ErrCut = errors.New("requests were cut")

// Serve serves srv on the listeners, which it closes, until ctx ends. Then it stops
// accepting connections and drains those that it has accepted. It returns nil, an error
// that is ErrCut, or why a listener ended by itself.
func (d Drain) Serve(ctx context.Context, srv *http.Server, listeners ...net.Listener) error {
	fresh := watch(srv)
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- fmt.Errorf("serve %s: %w", l.Addr(), srv.Serve(l)) }()
	}
	select {
	case err := <-served:
		srv.Close()
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Limit)
	defer cancel()
	for _, l := range listeners {
		l.Close()
	}
	for range listeners {
		<-served // all that was accepted is known now
	}
	srv.SetKeepAlivesEnabled(false)
	fresh.wait(end, cmp.Or(d.FirstRequest, firstRequest))
	err := srv.Shutdown(end)
	if err != nil {
		srv.Close()
		err = fmt.Errorf("%w: %w", ErrCut, err)
	}
	if d.Finish != nil {
		d.Finish(end)
	}
	return err
}

// freshConns are the connections whose first request no handler has got yet.
type freshConns struct {
	mu   sync.Mutex // guards what follows
	all  map[*freshConn]struct{}
	none chan struct{} // closed when there are none left; nil before somebody waits
}

// freshConn is one of them.
type freshConn struct {
	set  *freshConns
	once sync.Once
}

type connKey struct{}

// watch keeps account of a server's fresh connections.
func watch(srv *http.Server) *freshConns {
	f := &freshConns{all: map[*freshConn]struct{}{}}
	handler, inner := srv.Handler, srv.ConnContext
	var conns sync.Map // *freshConn by net.Conn, for those that end without a request
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if inner != nil {
			ctx = inner(ctx, c)
		}
		conn := f.add()
		conns.Store(c, conn)
		return context.WithValue(ctx, connKey{}, conn)
	}
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateClosed && state != http.StateHijacked {
			return
		}
		if conn, ok := conns.LoadAndDelete(c); ok {
			conn.(*freshConn).used()
		}
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(*freshConn); ok {
			conn.used()
		}
		handler.ServeHTTP(w, r)
	})
	return f
}

func (f *freshConns) add() *freshConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &freshConn{set: f}
	f.all[c] = struct{}{}
	return c
}

// used notes that the connection is not fresh any more.
func (c *freshConn) used() {
	c.once.Do(func() {
		c.set.mu.Lock()
		defer c.set.mu.Unlock()
		delete(c.set.all, c)
		if len(c.set.all) == 0 && c.set.none != nil {
			close(c.set.none)
		}
	})
}

// wait waits until there are no fresh connections, but not long. Nothing may be added
// any more.
func (f *freshConns) wait(ctx context.Context, atMost time.Duration) {
	f.mu.Lock()
	none := make(chan struct{})
	if len(f.all) == 0 {
		close(none)
	} else {
		f.none = none
	}
	f.mu.Unlock()
	patience := time.NewTimer(atMost)
	defer patience.Stop()
	select {
	case <-none:
	case <-patience.C:
	case <-ctx.Done():
	}
}
