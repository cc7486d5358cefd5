package httpdrain_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/httpdrain"
)

// serve serves a handler until end is called; ended has the outcome.
func serve(t *testing.T, limit time.Duration, h http.HandlerFunc) (addr string, end func(), ended chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- httpdrain.Drain{Limit: limit}.Serve(ctx, &http.Server{Handler: h}, l) }()
	return l.Addr().String(), cancel, ended
}

// A connection that was accepted and then sends its request is answered, also when the
// server ends in between.
func TestRequestOfAcceptedConnection(t *testing.T) {
	t.Parallel()
	accepted := make(chan struct{}, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") })}
	srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { accepted <- struct{}{}; return ctx }
	go func() { ended <- httpdrain.Drain{Limit: time.Hour, FirstRequest: time.Hour}.Serve(ctx, srv, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-accepted
	end()
	for refused := false; !refused; { // it has stopped accepting
		c, err := net.Dial("tcp", l.Addr().String())
		if refused = err != nil; !refused {
			c.Close()
		}
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the request is dropped: %v", err)
	}
	b, err := io.ReadAll(r.Body)
	if string(b) != "here" || err != nil || !r.Close {
		t.Errorf("%q, %v, connection closed: %v", b, err, r.Close)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A connection without a request does not keep the server for long, nor does one whose
// request is none.
func TestConnectionWithoutRequest(t *testing.T) {
	t.Parallel()
	addr, end, ended := serve(t, time.Hour, func(http.ResponseWriter, *http.Request) {})
	for _, text := range []string{"", "no request\r\n\r\n"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, text)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Requests that last longer than the limit are cut, and that is told.
func TestCut(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	addr, end, ended := serve(t, time.Millisecond, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	go http.Get("http://" + addr)
	<-begun
	end()
	if err := <-ended; !errors.Is(err, httpdrain.ErrCut) {
		t.Errorf("%v", err)
	}
}

// A listener that fails ends the server with its error.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	err = httpdrain.Drain{Limit: time.Minute}.Serve(t.Context(), &http.Server{}, l)
	if err == nil || !strings.Contains(err.Error(), "closed network connection") {
		t.Errorf("%v", err)
	}
}
