package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/router"
)

// A server that closes each connection after its response without announcing it loses no
// request, whatever its method.
func TestSilentCloserLosesNothing(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello",
		"PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500_000),
	} {
		t.Run(request[:4], func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
				if req, err := http.ReadRequest(r); err == nil {
					io.Copy(io.Discard, req.Body)
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			c := w.dial()
			for n := range 200 {
				c.send(request)
				if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "ok" {
					t.Fatalf("request %d: %d %q", n, resp.StatusCode, body)
				}
			}
		})
	}
}

// What an instance writes after a response that has no body, or beyond the length of one
// that has, is never read as the response to another request.
func TestLateBytesAreNobodysResponse(t *testing.T) {
	t.Parallel()
	const late = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nEVIL"
	for _, c := range []struct{ name, method, head string }{
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 56\r\n\r\n"},
		{"HEAD without", "HEAD", "HTTP/1.1 200 OK\r\n\r\n"},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HEAD that keeps", "HEAD", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"},
		{"204", "GET", "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"},
		{"204 with a length", "DELETE", "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nContent-Length: 56\r\n\r\n"},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n"},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\nContent-Length: 56\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addRaw("a", func(conn net.Conn, r *bufio.Reader) {
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path == "/own" {
						io.WriteString(conn, okResponse)
						continue
					}
					io.WriteString(conn, c.head)
					time.AfterFunc(time.Millisecond, func() { io.WriteString(conn, late) }) // while the next request comes
				}
			})
			for n := range 20 {
				cl := w.dial()
				cl.send(c.method + " / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
				cl.response(c.method)
				cl = w.dial()
				cl.send("GET /own HTTP/1.1\r\nHost: shop.test\r\n\r\n")
				if resp, body := cl.response("GET"); body != "ok" || resp.Header.Get("X-Evil") != "" {
					t.Fatalf("try %d: the next request got %q", n, body)
				}
			}
		})
	}
}

// A client that has closed its sending side still gets its response.
func TestHalfClosedClientGetsItsResponse(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	asked, answer := make(chan struct{}), make(chan struct{})
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		close(asked)
		<-answer
		fmt.Fprintf(rw, "got %s", body)
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
	c.CloseWrite()
	<-asked
	close(answer)
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "got hello" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// An instance refuses a body before it has read it, and closes: the client gets the
// response, although the kernel resets the connection that the body is written to.
func TestRefusedBodyIsAnswered(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
	})
	for n := range 20 {
		c := w.dial()
		go io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10000000\r\n\r\n"+strings.Repeat("x", 10_000_000)) // may be cut
		if resp, body := c.response("POST"); resp.StatusCode != 413 || body != "big" {
			t.Fatalf("try %d: %d %q", n, resp.StatusCode, body)
		}
		c.Close()
	}
}

// Names arrive as they were sent, in both directions.
func TestFieldNamesKeepTheirCase(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	got := w.addScript("a", "HTTP/1.1 200 Fine With Me\r\nx-lower: 1\r\nX-WebKit-CSP: 2\r\nETag: \"3\"\r\nContent-Length: 0\r\n\r\n")
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nhost: shop.test\r\nsec-ch-ua: a\r\nSec-WebSocket-Key: b\r\nX-UPPER: c\r\nConnection: close\r\n\r\n")
	out := c.rest()
	in := <-got
	for _, line := range []string{"sec-ch-ua: a\r\n", "Sec-WebSocket-Key: b\r\n", "X-UPPER: c\r\n"} {
		if !strings.Contains(in, line) {
			t.Errorf("the instance got %q, want %q in it", in, line)
		}
	}
	for _, line := range []string{"HTTP/1.1 200 Fine With Me\r\n", "x-lower: 1\r\n", "X-WebKit-CSP: 2\r\n", "ETag: \"3\"\r\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("the client got %q, want %q in it", out, line)
		}
	}
}

// Large bodies take the way through the kernel, where both ends are bare TCP.
func TestSplicedBody(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
		io.WriteString(rw, body)
	}))
	w.bare = true
	c := w.dial()
	for range 3 {
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		if resp, got := c.response("GET"); resp.StatusCode != 200 || got != body {
			t.Fatalf("%d, %d bytes", resp.StatusCode, len(got))
		}
	}
}

// The clients of WebSockets are told to leave where an instance drains or the router ends:
// between two frames, and nothing comes after it.
func TestWebSocketIsToldToLeave(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*fixture){
		"instance drains": func(w *fixture) {
			w.apply(func(r *router.Route) { r.Instances[0].Open, r.Instances[0].Draining = false, true })
		},
		"router ends": func(w *fixture) { w.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			more := make(chan struct{})
			closed := make(chan string, 1)
			w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
				http.ReadRequest(r)
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05he")
				<-more
				io.WriteString(c, "llo")
				b := make([]byte, 8)
				n, _ := io.ReadFull(r, b)
				closed <- string(b[:n])
			})
			c := w.dial()
			c.send(upgrade)
			c.head("GET")
			c.expect("\x81\x05he") // a frame is under way
			leave(w)
			close(more)
			c.expect("llo\x88\x02\x03\xe9")
			c.send("\x88\x82\x00\x00\x00\x00\x03\xe9") // the client's close frame reaches the instance
			if got := <-closed; got != "\x88\x82\x00\x00\x00\x00\x03\xe9" {
				t.Errorf("the instance got %q", got)
			}
			if rest := c.rest(); rest != "" {
				t.Errorf("after the close frame comes %q", rest)
			}
			eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
		})
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	in := "\x81\x00" + "\x82\x03abc" + "\x82\x7e\x01\x00" + strings.Repeat("x", 256) +
		"\x02\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + strings.Repeat("y", 1<<16) + "\x81\x83\x01\x02\x03\x04abc"
	ends := map[int]bool{0: true, 2: true, 7: true, 7 + 260: true, 7 + 260 + 10 + 1<<16: true, len(in): true}
	var f frames
	for i := range len(in) + 1 {
		if got := f.between(); got != ends[i] {
			t.Fatalf("after %d bytes: between frames %v", i, got)
		}
		if i < len(in) {
			f.feed([]byte{in[i]})
		}
	}
}
