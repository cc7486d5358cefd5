package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/router"
)

const plainGet = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"

// kept returns a connection that has had a response: its next requests are answered while
// it is waited for.
func (w *fixture) kept() *client {
	c := w.dial()
	c.send(plainGet)
	c.response("GET")
	return c
}

// A kept connection is read once for each request, not a second time to find that the next
// one is not there yet.
func TestKeptConnectionIsReadOnceForEachRequest(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.Loops = -1 })
	w.add("a", text("ok"))
	f, err := w.proxy.frontOf(t.Context(), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	conn, served := accepted(t)
	var reads atomic.Int32
	c := newClient(f, served, Origin{})
	c.take = func() buffer { reads.Add(1); return takeHead() }
	ended := make(chan struct{})
	go func() { defer close(ended); defer c.Close(); c.serve() }()

	r := bufio.NewReader(conn)
	const rounds = 100
	for range rounds {
		io.WriteString(conn, plainGet)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	conn.Close()
	<-ended
	// The first request is waited for and followed as on a connection that ends with it. The
	// kernel may tell of bytes twice when they come while others are read.
	if n := reads.Load(); n > rounds+rounds/4 {
		t.Errorf("%d reads for %d requests", n, rounds)
	}
}

// A client that sends the end of the stream in one packet with a request gets its response,
// and then the end at once: nothing tells of the end again.
func TestEndInThePacketOfARequest(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.IdleTimeout = time.Hour })
	w.add("a", text("ok"))
	for range 20 {
		c := w.kept()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
		if err != nil {
			t.Fatal(err)
		}
		c.send(plainGet)
		c.CloseWrite()
		if _, body := c.response("GET"); body != "ok" {
			t.Fatalf("got %q", body)
		}
		c.rest()
	}
}

// A client that ends its sending side while an instance answers gets the response and the end.
func TestEndDuringARequest(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.IdleTimeout = time.Hour })
	came, answer := make(chan struct{}, 2), make(chan struct{}, 2)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-answer
		io.WriteString(rw, "ok")
	}))
	answer <- struct{}{}
	c := w.kept()
	<-came
	c.send(plainGet)
	<-came
	c.CloseWrite()
	answer <- struct{}{}
	if _, body := c.response("GET"); body != "ok" {
		t.Fatalf("got %q", body)
	}
	c.rest()
}

// Requests of all kinds follow one another on a kept connection, in any pieces.
func TestRequestsOnAKeptConnection(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		rw.Header().Set("X-Body", string(b))
		io.WriteString(rw, r.URL.Path)
	}))
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n\r\n" }
	post := func(path, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: shop.test\r\nContent-Length: " + string(rune('0'+len(body))) + "\r\n\r\n" + body
	}
	large := "GET /large HTTP/1.1\r\nHost: shop.test\r\nX-Large: " + strings.Repeat("a", 20<<10) + "\r\n\r\n"
	for _, k := range []struct {
		name   string
		pieces []string // each a packet
		paths  []string
	}{
		{"one", []string{get("/1")}, []string{"/1"}},
		{"a body in the packet", []string{post("/1", "abc")}, []string{"/1"}},
		{"a body that follows", []string{post("/1", "abc")[:len(post("/1", "abc"))-2], "bc"}, []string{"/1"}},
		{"a head in two pieces", []string{get("/1")[:20], get("/1")[20:]}, []string{"/1"}},
		{"three at once", []string{get("/1") + post("/2", "x") + get("/3")}, []string{"/1", "/2", "/3"}},
		{"one and a half", []string{get("/1") + get("/2")[:9], get("/2")[9:]}, []string{"/1", "/2"}},
		{"more than a buffer", []string{strings.Repeat(get("/1"), 200)}, strings.Split(strings.Repeat("/1,", 199)+"/1", ",")},
		{"a large head", []string{large, get("/2")}, []string{"/large", "/2"}},
		{"chunks", []string{"POST /1 HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get("/2")}, []string{"/1", "/2"}},
		{"an empty line first", []string{"\r\n" + get("/1")}, []string{"/1"}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := w.kept()
			for round := range 3 {
				go func() {
					for _, p := range k.pieces {
						io.WriteString(c, p)
					}
				}()
				for _, path := range k.paths {
					if _, body := c.response("GET"); body != path {
						t.Fatalf("round %d: got %q, want %q", round, body, path)
					}
				}
			}
		})
	}
}

// Shutdown cuts a request on a kept connection whose instance never answers.
func TestShutdownCutsOnAKeptConnection(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.ShutdownTimeout = 50 * time.Millisecond })
	never := make(chan struct{})
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		for !strings.HasPrefix(readMessage(r), "GET /never ") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
		}
		<-never
	})
	t.Cleanup(func() { close(never) })
	clients := []*client{w.kept(), w.kept(), w.kept()}
	for _, c := range clients {
		c.send("GET /never HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	}
	eventually(t, "all in flight", func() bool { return w.inFlight() == len(clients) })
	w.stop()
	if err := <-w.served; err != nil {
		t.Fatal(err)
	}
	w.served <- nil // for the fixture's own end
	for _, c := range clients {
		if b, err := io.ReadAll(c.r); err == nil && len(b) > 0 {
			t.Errorf("a client that was cut got %q", b)
		}
	}
}

// The kernel tells what is left after each read, and that the peer has ended its side.
func TestReadTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	peer, conn := accepted(t)
	s := newSocket(conn, takeHead)
	defer s.Close()
	if s.tellLeft(); !s.in.tellsLeft {
		t.Skip("the kernel lacks TCP_INQ")
	}
	read := func(n int) {
		t.Helper()
		if k, err := s.read(make([]byte, n), time.Now().Add(time.Minute)); err != nil || k != n {
			t.Fatalf("read %d bytes, %v", k, err)
		}
	}
	io.WriteString(peer, "abcd")
	if read(3); !s.in.leaves {
		t.Error("nothing is left of a byte")
	}
	if read(1); s.in.leaves {
		t.Error("something is left of nothing")
	}
	io.WriteString(peer, "ab")
	peer.CloseWrite()
	eventually(t, "the end has come", func() bool { return leaving(conn) != present })
	if read(2); !s.in.leaves {
		t.Error("nothing is left before the end of the stream")
	}
}
