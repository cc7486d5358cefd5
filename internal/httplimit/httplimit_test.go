package httplimit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/httplimit"
)

// serve serves a handler and returns its address.
func serve(t *testing.T, h http.Handler, limit func(net.Listener) net.Listener) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go srv.Serve(limit(l))
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

func unlimited(l net.Listener) net.Listener { return l }

// connect opens a connection from an address and sends text. The connection is closed
// with the test.
func connect(t *testing.T, from, to, text string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if errors.Is(err, unix.ECONNRESET) { // it was refused before the kernel said that it was open
		c, far := net.Pipe()
		far.Close()
		return c
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, text) // fails where the connection was refused
	return c
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// served reports whether a connection is answered, and not closed.
func served(c net.Conn) bool {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil
}

func TestConnections(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := &httplimit.Connections{
		All: 6, PerAddress: 2, Log: slog.New(slog.NewTextHandler(&log, nil)), Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")},
	}
	addr := serve(t, http.NotFoundHandler(), c.Limit)
	one, two := connect(t, "127.0.0.1", addr, get), connect(t, "127.0.0.1", addr, get)
	if !served(one) || !served(two) {
		t.Fatal("two connections of an address are refused")
	}
	if served(connect(t, "127.0.0.1", addr, get)) {
		t.Error("a third connection of an address is served")
	}
	if !served(connect(t, "127.0.0.2", addr, get)) {
		t.Error("another address is refused")
	}
	for i := range 3 {
		if !served(connect(t, "127.0.0.9", addr, get)) {
			t.Errorf("connection %d of a proxy is refused", i)
		}
	}
	if served(connect(t, "127.0.0.3", addr, get)) {
		t.Error("a seventh connection is served")
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "limit=address") {
		t.Errorf("logged %q, want one line in a minute", text)
	}
	// What ends makes room.
	one.Close()
	two.Close()
	deadline := time.Now().Add(time.Minute)
	for !served(connect(t, "127.0.0.1", addr, get)) {
		if time.Now().After(deadline) {
			t.Fatal("connections that ended still count")
		}
	}
}

func TestNetworksOfIPv6(t *testing.T) {
	t.Parallel()
	c := &httplimit.Connections{All: 10, PerAddress: 1, Log: slog.New(slog.DiscardHandler)}
	l := c.Limit(&fakeListener{from: []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"}})
	var got []string
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		got = append(got, conn.RemoteAddr().String())
	}
	if want := "[[2001:db8::1]:1 [2001:db8:0:1::1]:1]"; fmt.Sprint(got) != want {
		t.Errorf("accepted %v, want %s", got, want)
	}
}

// fakeListener accepts connections that come from addresses which no test can have.
type fakeListener struct {
	net.Listener
	from []string
}

func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, net.ErrClosed
	}
	a := l.from[0]
	l.from = l.from[1:]
	near, _ := net.Pipe()
	return fakeConn{near, &net.TCPAddr{IP: net.ParseIP(a), Port: 1}}, nil
}

type fakeConn struct {
	net.Conn
	from net.Addr
}

func (c fakeConn) RemoteAddr() net.Addr { return c.from }

// A client that stops in its body is cut off, whether the handler reads it or not.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ignore", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		}
	})
	addr := serve(t, httplimit.Times{Body: 50 * time.Millisecond, Write: time.Minute}.Handler(mux), unlimited)
	for _, path := range []string{"/ignore", "/read"} {
		c := connect(t, "127.0.0.1", addr, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection stays open: %v", path, err)
		}
	}
}

// The deadline ends with the body, and a handler can move it.
func TestSlowHandlers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		<-release
		fmt.Fprint(w, string(b), err, r.Context().Err())
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), err)
	})
	const body = 20 * time.Millisecond
	addr := serve(t, httplimit.Times{Body: body, Write: time.Minute}.Handler(mux), unlimited)
	ctx, cancel := context.WithTimeout(t.Context(), 5*body)
	defer cancel()

	work := connect(t, "127.0.0.1", addr, "POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	long := connect(t, "127.0.0.1", addr, "POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx")
	<-ctx.Done() // several times the deadline
	close(release)
	if _, err := io.WriteString(long, "y"); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[net.Conn]string{work: "x<nil> <nil>", long: "xy<nil>"} {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != want {
			t.Errorf("answer %q, %v: want %q", b, err, want)
		}
	}
}

// A client that takes nothing of its answers is cut off.
func TestClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	addr := serve(t, httplimit.Times{Body: time.Minute, Write: 50 * time.Millisecond}.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		part := make([]byte, 1<<20)
		for {
			if _, err := w.Write(part); err != nil {
				failed <- err
				return
			}
		}
	})), unlimited)
	connect(t, "127.0.0.1", addr, get)
	select {
	case <-failed:
	case <-time.After(time.Minute):
		t.Error("the handler still writes")
	}
}
