package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/router"
)

func TestRequestReachesInstanceUnchanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, target, want string }{
		{"plain", "/a/b?c=d", "/a/b?c=d"},
		{"root", "/", "/"},
		{"dots and slashes", "/a/../b//c/.", "/a/../b//c/."},
		{"escapes", "/%2e%2E/%2F%7e?%41=%zz", "/%2e%2E/%2F%7e?%41=%zz"},
		{"what begins no escape", "/50%-off/100%?a=%", "/50%-off/100%?a=%"},
		{"characters a URL must escape", "/{a}|b^\"<>?{x}=[y]|`", "/{a}|b^\"<>?{x}=[y]|`"},
		{"empty query", "/a?", "/a?"},
		{"semicolons", "/a;b?c;d&e;f=g", "/a;b?c;d&e;f=g"},
		{"raw UTF-8", "/caf\xc3\xa9", "/caf\xc3\xa9"},
		{"two slashes", "//evil.example/a?b", "//evil.example/a?b"},
		{"two slashes and empty query", "//a?", "//a?"},
		{"absolute", "http://SHOP.test/a?b", "/a?b"},
		{"absolute without path", "http://shop.test", "/"},
		{"absolute with query only", "http://shop.test?a", "/?a"},
		{"absolute with two slashes", "http://shop.test//a", "//a"},
		{"two slashes and characters a URL must escape", "//a{b}", "//a{b}"},
		{"two slashes and what begins no escape", "//100%", "//100%"},
		{"absolute with what begins no escape", "http://shop.test/100%", "/100%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			got := w.addScript("a", "HTTP/1.1 204 No Content\r\n\r\n")
			cl := w.dial()
			cl.send("GET " + c.target + " HTTP/1.1\r\nHost: Shop.Test:80\r\n\r\n")
			if resp, _ := cl.response("GET"); resp.StatusCode != 204 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			lines := strings.Split(<-got, "\r\n")
			if want := "GET " + c.want + " HTTP/1.1"; lines[0] != want {
				t.Errorf("request line %q, want %q", lines[0], want)
			}
			host := "Host: Shop.Test:80"
			if strings.HasPrefix(c.target, "http:") {
				host = "Host: " + strings.SplitN(strings.TrimPrefix(c.target, "http://"), "/", 2)[0]
				host, _, _ = strings.Cut(host, "?")
			}
			if lines[1] != host {
				t.Errorf("%q, want %q", lines[1], host)
			}
		})
	}
}

// Bodies arrive whole and with the framing they were sent with, in both
// directions, and the connection stays open.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("instance: %v", err)
		}
		rw.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		if r.URL.Path == "/chunked" {
			rw.(http.Flusher).Flush()
		}
		rw.Write(b)
	}))
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	for _, path := range []string{"/length", "/chunked"} {
		c := w.dial()
		for _, body := range []string{"", "x", big} {
			c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
			resp, got := c.response("POST")
			if got != body || resp.Header.Get("X-Length") != fmt.Sprint(len(body)) {
				t.Errorf("%s: %d bytes with length %s came back, want %d", path, len(got), resp.Header.Get("X-Length"), len(body))
			}
			if resp.Close {
				t.Fatalf("%s: connection closed", path)
			}
		}
		c.send("POST " + path + " HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
		if resp, got := c.response("POST"); got != "hello world" || resp.Header.Get("X-Length") != "-1" {
			t.Errorf("%s: chunked: %q with length %s", path, got, resp.Header.Get("X-Length"))
		}
	}
}

func TestChunkedIsReframed(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	got := w.addScript("a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\n\r\n" +
		"3;secret=1\r\nabc\r\n000\r\nX-Sum: 6\r\nAuthorization: evil\r\nX-Forwarded-For: evil\r\n\r\n")
	c.response("POST")
	_, body, _ := strings.Cut(<-got, "\r\n\r\n")
	if want := "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"; body != want {
		t.Errorf("instance got the body %q, want %q", body, want)
	}
}

func TestResponseTrailers(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addScript("a", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"+
		"3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-Late: 7\r\nSet-Cookie: evil\r\n\r\n")
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\n\r\n")
	resp, body := c.response("GET")
	want := http.Header{"X-Sum": {"6"}, "X-Late": {"7"}}
	if d := cmp.Diff(want, resp.Trailer); d != "" || body != "abc" {
		t.Errorf("body %q, trailers (-want +got):\n%s", body, d)
	}
}

// Responses of every framing, to clients of both versions.
func TestResponseFraming(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, version, answer string
		status                        int
		body                          string
		closes                        bool // the client's connection
		length                        int64
	}{
		{"length", "GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false, 3},
		{"chunked", "GET", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc", false, -1},
		{"until EOF", "GET", "1.1", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", false, -1},
		{"from 1.0", "GET", "1.1", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false, 3},
		{"told to close", "GET", "1.1", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false, 3},
		{"chunked to 1.0", "GET", "1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc", true, -1},
		{"until EOF to 1.0", "GET", "1.0", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", true, -1},
		{"length to 1.0", "GET", "1.0", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", true, 3},
		{"HEAD with length", "HEAD", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, "", false, 3},
		{"HEAD chunked", "HEAD", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", false, -1},
		{"no content", "DELETE", "1.1", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, 0},
		{"not modified", "GET", "1.1", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, "", false, 0},
		{"empty", "GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false, 0},
		{"odd status", "GET", "1.1", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", 799, "", false, 0},
		{"too long a body", "GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 200, "abc", false, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addScript("a", c.answer)
			cl := w.dial()
			cl.send(c.method + " / HTTP/" + c.version + "\r\nHost: shop.test\r\n\r\n")
			resp, body := cl.response(c.method)
			if resp.StatusCode != c.status || body != c.body || resp.ContentLength != c.length {
				t.Errorf("%d, %q, length %d; want %d, %q, %d", resp.StatusCode, body, resp.ContentLength, c.status, c.body, c.length)
			}
			if v, ok := resp.Header["Content-Type"]; ok {
				t.Errorf("Content-Type %q was made up", v)
			}
			if resp.Close != c.closes {
				t.Errorf("connection closes: %v, want %v", resp.Close, c.closes)
			}
			if !c.closes { // a second request on the same connection
				cl.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
				if resp, _ := cl.response("GET"); resp.StatusCode != 404 {
					t.Errorf("second request on the connection: %d, want 404", resp.StatusCode)
				}
			}
		})
	}
}

// A truncated response must not look complete.
func TestTruncatedResponseIsSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, version, answer string }{
		{"length", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"},
		{"chunked", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
		{"chunk cut", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"},
		{"length to 1.0", "1.0", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"},
		{"chunked to 1.0", "1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addScript("a", c.answer)
			cl := w.dial()
			cl.send("GET / HTTP/" + c.version + "\r\nHost: shop.test\r\n\r\n")
			resp, err := http.ReadResponse(cl.r, nil)
			if err != nil {
				return // the reset came first: it is seen too
			}
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a truncated body reads as %q without an error", b)
			}
		})
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, answer string }{
		{"nothing", ""},
		{"no HTTP", "hello\r\n\r\n"},
		{"cut head", "HTTP/1.1 200 OK\r\nContent-"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc"},
		{"bad coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"},
		{"huge head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxAnswer) + "\r\n\r\n"},
		{"switch nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addScript("a", c.answer)
			cl := w.dial()
			cl.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n")
			resp, body := cl.response("POST")
			if resp.StatusCode != 502 || !strings.Contains(body, `"bad_answer"`) {
				t.Errorf("%d %q, want 502 bad_answer", resp.StatusCode, body)
			}
			if resp.Close {
				t.Error("the client's connection is closed")
			}
		})
	}
}

func TestInterimResponses(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 100 Continue\r\n\r\n" +
		"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	w := newFixture(t, nil)
	w.addScript("a", answer)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	if resp := c.head("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") != "</a.css>" || resp.Header.Get("X-Hop") != "" {
		t.Errorf("interim response %d %v, want 103 with only its link", resp.StatusCode, resp.Header)
	}
	if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "ok" || resp.Header.Get("Link") != "" {
		t.Errorf("final response %d %v %q", resp.StatusCode, resp.Header, body)
	}
	c = w.dial()
	c.send("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
	if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("a 1.0 client got %d %q first", resp.StatusCode, body)
	}
}

// An instance that sends interim responses without end gets no request's whole time for
// them, by their number or by their bytes.
func TestInterimFlood(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]string{
		"number": "HTTP/1.1 103 Early Hints\r\n\r\n",
		"bytes":  "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 4<<10) + "\r\n\r\n",
	} {
		w := newFixture(t, nil)
		w.addScript("a", strings.Repeat(one, 150)+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		n := 0
		resp := c.head("GET")
		for ; resp.StatusCode == http.StatusEarlyHints; n++ {
			resp = c.head("GET")
		}
		if n > 100 || resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %d interim responses were passed on, and then %d: want 100 at most and 502", name, n, resp.StatusCode)
		}
	}
}

func TestExpectContinueIsTheInstances(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	release := make(chan struct{})
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Expect") != "100-continue" {
			t.Errorf("instance got %v, %v; want an Expect header", req, err)
			return
		}
		<-release
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		b, _ := io.ReadAll(req.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	eventually(t, "request in flight", func() bool { return w.inFlight() == 1 })
	close(release)
	if resp := c.head("POST"); resp.StatusCode != 100 {
		t.Fatalf("got %d, want 100", resp.StatusCode)
	}
	c.send("hello")
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "hello" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

func TestExpectContinueRefusedByInstance(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
	if resp, body := c.response("POST"); resp.StatusCode != 403 || body != "no" || !resp.Close {
		t.Errorf("got %d %q, closes: %v; want 403 and a close without 100 before", resp.StatusCode, body, resp.Close)
	}
	c.rest()
}

// An instance answers and stops reading: the client gets the response although
// it is still sending, and the connection ends.
func TestEarlyResponse(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
				http.ReadRequest(r)
				io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c) // otherwise a reset could overtake the response
			})
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: shop.test\r\n" + framing + "\r\n\r\n")
			if strings.HasPrefix(framing, "T") {
				c.send("100000\r\n")
			}
			c.send(strings.Repeat("x", 1<<18))
			if resp, body := c.response("POST"); resp.StatusCode != 413 || body != "big" || !resp.Close {
				t.Errorf("got %d %q, closes: %v", resp.StatusCode, body, resp.Close)
			}
			eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
		})
	}
}

// Request and response are transferred at the same time.
func TestBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		b := make([]byte, 100)
		for {
			n, err := req.Body.Read(b)
			if n > 0 {
				fmt.Fprintf(c, "%x\r\n%s\r\n", n, b[:n])
			}
			if err != nil {
				io.WriteString(c, "0\r\n\r\n")
				return
			}
		}
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp := c.head("POST")
	b := make([]byte, 5)
	for range 20 {
		c.send("5\r\nhello\r\n")
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "hello" {
			t.Fatalf("echoed %q, %v", b, err)
		}
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Errorf("ends with %q, %v", rest, err)
	}
}

func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	next := make(chan string)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.(http.Flusher).Flush()
		for s := range next {
			io.WriteString(rw, s)
			rw.(http.Flusher).Flush()
		}
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	resp := c.head("GET") // comes before any event
	for n := range 3 {
		want := fmt.Sprintf("data: %d\n\n", n)
		next <- want
		b := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
			t.Fatalf("got %q, %v; want %q", b, err, want)
		}
	}
	close(next)
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error(err)
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(rw, r.Body)
		io.WriteString(rw, r.URL.Path)
	}))
	c := w.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: shop.test\r\n\r\n" +
		"POST /2 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /3 HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n" +
		"\r\nGET /4 HTTP/1.1\r\nHost: shop.test\r\n\r\n" +
		"GET /5 HTTP/1.1\r\nHost: shop.test\r\nBad : header\r\n\r\n" +
		"GET /6 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	for _, want := range []string{"/1", "abc/2", "def/3", "/4"} {
		if resp, body := c.response("GET"); body != want || resp.Close {
			t.Fatalf("got %q, want %q", body, want)
		}
	}
	if resp, _ := c.response("GET"); resp.StatusCode != 400 || !resp.Close {
		t.Errorf("the bad request got %d", resp.StatusCode)
	}
	if rest := c.rest(); rest != "" {
		t.Errorf("after a bad request comes %q", rest)
	}
}

// A connection is used again once the instance is known to keep connections.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", text("ok"))
	dials := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.dials["a"] }
	eventually(t, "a connection is used again", func() bool {
		before := dials()
		w.get("/")
		return dials() == before
	})
	before := dials()
	for range 20 {
		w.get("/")
	}
	if n := dials() - before; n > 10 { // a request may come before the last one's connection is put back
		t.Errorf("%d connections for 20 requests in a row", n)
	}
}

// Requests avoid an instance that cannot be reached, and keep their bodies.
func TestUnreachableInstanceIsGoneAround(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.mu.Lock()
	w.dialErr["bad"] = errors.New("connection refused")
	w.mu.Unlock()
	w.addAt("bad", "")
	w.add("good", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, r.Body) }))
	for range 10 {
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
		if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "hello" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	}
}

func TestNothingReachable(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addAt("bad", "")
	resp, body := w.get("/")
	if resp.StatusCode != 503 || !strings.Contains(body, "service_unreachable") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %q, want 503 service_unreachable", resp.StatusCode, body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dials["bad"] != maxDials {
		t.Errorf("dialled %d times, want %d", w.dials["bad"], maxDials)
	}
}

// A request waits for a new instance while the only one is replaced.
func TestRequestOutlivesItsInstance(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addAt("old", "") // its process has ended, which nobody has noticed yet
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	eventually(t, "dialled", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.dials["old"] > 0 })
	w.apply(func(r *router.Route) { r.Instances = nil })
	eventually(t, "waits", func() bool { return w.waiting() == 1 })
	w.add("new", text("ok"))
	if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// withLimit runs a test with increasing time limits for requests, until one is
// long enough for a busy machine.
func withLimit(t *testing.T, try func(w *fixture) bool) {
	t.Helper()
	for limit := 50 * time.Millisecond; !try(newFixture(t, func(_ *router.Config, c *Config) { c.RequestTimeout = limit })); limit *= 2 {
		if limit > time.Minute {
			t.Fatal("no time limit is long enough")
		}
	}
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	short := func(_ *router.Config, c *Config) { c.RequestTimeout = 50 * time.Millisecond }
	hang := func(first string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			http.ReadRequest(r)
			io.WriteString(c, first)
			io.Copy(io.Discard, r) // until the router closes
		}
	}
	t.Run("in the queue", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, short)
		if resp, body := w.get("/"); resp.StatusCode != 504 || !strings.Contains(body, "time_limit") {
			t.Errorf("%d %q, want 504", resp.StatusCode, body)
		}
	})
	t.Run("before the answer", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, short)
		w.addRaw("a", hang(""))
		if resp, _ := w.get("/"); resp.StatusCode != 504 {
			t.Errorf("%d, want 504", resp.StatusCode)
		}
		eventually(t, "connection to the instance closed", func() bool { return w.connections("a") == 0 })
	})
	t.Run("in the answer", func(t *testing.T) {
		t.Parallel()
		withLimit(t, func(w *fixture) bool {
			w.addRaw("a", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			resp := c.head("GET")
			if b, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == 200 {
				t.Errorf("cut answer reads as %q", b)
			}
			return resp.StatusCode == 200
		})
	})
	t.Run("in the request", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, short)
		w.addRaw("a", hang(""))
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nabc")
		if resp, _ := c.response("POST"); resp.StatusCode != 504 || !resp.Close {
			t.Errorf("%d, closes: %v; want 504 and a close", resp.StatusCode, resp.Close)
		}
		c.CloseWrite()
		c.rest()
		eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
	})
}

func TestClientGoneReleasesEverything(t *testing.T) {
	t.Parallel()
	t.Run("in the queue", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, func(_ *router.Config, c *Config) { c.HalfClosed = time.Millisecond })
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		eventually(t, "waits", func() bool { return w.waiting() == 1 })
		c.Close()
		eventually(t, "queue empty", func() bool { return w.waiting() == 0 })
	})
	t.Run("at the instance", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, func(_ *router.Config, c *Config) { c.HalfClosed = time.Millisecond })
		came, gone := make(chan struct{}), make(chan struct{})
		w.addRaw("a", func(_ net.Conn, r *bufio.Reader) {
			http.ReadRequest(r)
			close(came)
			io.Copy(io.Discard, r)
			close(gone)
		})
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		<-came
		c.Close()
		<-gone
		eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
		eventually(t, "counted as gone", func() bool { return w.counter("slipway_router_requests_total", "gone") == 1 })
	})
	t.Run("in its body", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, func(_ *router.Config, c *Config) { c.HalfClosed = time.Millisecond })
		w.addRaw("a", func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nabc")
		eventually(t, "in flight", func() bool { return w.inFlight() == 1 })
		c.Close()
		eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
	})
}

func TestMalformedChunksInBody(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\nGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	if resp, _ := c.response("POST"); resp.StatusCode != 400 || !resp.Close {
		t.Errorf("%d, closes: %v; want 400 and a close", resp.StatusCode, resp.Close)
	}
	if rest := c.rest(); rest != "" {
		t.Errorf("then comes %q", rest)
	}
}
