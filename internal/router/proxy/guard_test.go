package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// A request that the guard refuses gets a page and ends the connection, and
// never reaches an instance.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached the instance", r.Method, r.URL)
	}))
	for _, c := range []struct {
		name, in string
		status   int
		code     string
	}{
		{"length and chunked", "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"},
		{"bare LF", "GET / HTTP/1.1\nHost: shop.test\n\n", 400, "bad_request"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: shop.test\r\nHost: shop.test\r\n\r\n", 400, "bad_request"},
		{"other coding", "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported_coding"},
		{"connect", "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test\r\n\r\n", 405, "method_not_allowed"},
		{"http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"},
		{"long target", "GET /" + strings.Repeat("a", http1.MaxRequestLine) + " HTTP/1.1\r\nHost: shop.test\r\n\r\n", 414, "target_too_long"},
		{"large head", "GET / HTTP/1.1\r\nHost: shop.test\r\nX: " + strings.Repeat("a", http1.MaxHead) + "\r\n\r\n", 431, "header_too_large"},
		{"expectation", "GET / HTTP/1.1\r\nHost: shop.test\r\nExpect: tea\r\n\r\n", 417, "expectation_failed"},
		{"our own target", "GET " + verdict{status: 200}.encode() + " HTTP/1.1\r\nHost: shop.test\r\n\r\n", 400, "bad_request"},
		{"TLS without a line's end", "\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := w.dial()
			cl.send(c.in)
			cl.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			resp, body := cl.response("GET")
			if resp.StatusCode != c.status || !strings.Contains(body, c.code) || !resp.Close {
				t.Errorf("%d %q, closes: %v; want %d %s and a close", resp.StatusCode, body, resp.Close, c.status, c.code)
			}
			if rest := cl.rest(); rest != "" {
				t.Errorf("then comes %q", rest)
			}
		})
	}
}

// Pipelined requests, some of which the guard rewrites, stay in order.
func TestRawTargetsInAPipeline(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	got := w.addScript("a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	long := "/" + strings.Repeat("%", 6000)
	cl := w.dial()
	cl.send("POST " + long + " HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
	if resp, _ := cl.response("POST"); resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if in := <-got; !strings.HasPrefix(in, "POST "+long+" HTTP/1.1\r\n") || !strings.HasSuffix(in, "\r\nabc") {
		t.Errorf("the instance got %.40q...", in)
	}
	if resp, _ := cl.response("GET"); resp.StatusCode != 404 {
		t.Errorf("then status %d, want 404", resp.StatusCode)
	}
}

func TestLargeHeadsPass(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, r.Header.Get("X"))
	}))
	c := w.dial()
	for _, n := range []int{10, 3000, 5000, 60000} {
		want := strings.Repeat("a", n)
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX: " + want + "\r\n\r\n")
		if resp, body := c.response("GET"); body != want {
			t.Fatalf("%d: %d bytes came back, want %d", resp.StatusCode, len(body), n)
		}
	}
}

// pipe returns a guard and the other end of its connection.
func pipe(headTime time.Duration) (*guard, net.Conn) {
	a, b := net.Pipe()
	return &guard{Conn: a, headTime: headTime, tunnels: &tunnels{}}, b
}

func TestSlowHeadIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, c := pipe(10 * time.Second)
		defer g.Conn.Close()
		g.SetReadDeadline(time.Now().Add(time.Hour)) // net/http's, for an idle connection
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, b := range []byte("GET / HTTP/1.1\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		time.Sleep(time.Minute) // idle time does not count for the head
		start := time.Now()
		b := make([]byte, 1000)
		n, err := g.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), "GET "+verdict{status: 408}.encode()+" ") {
			t.Errorf("got %q, %v; want a refusal with 408", b[:n], err)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("refused after %v, want 10 s", d)
		}
		c.Close()
		<-done
	})
}

func TestSilentConnectionIsLeftToNetHTTP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, c := pipe(time.Second)
		defer c.Close()
		g.SetReadDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		_, err := g.Read(make([]byte, 10))
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || time.Since(start) != time.Minute {
			t.Errorf("%v after %v, want a time-out after a minute", err, time.Since(start))
		}
	})
}

// net/http's deadline, which stops a read, must not lose received bytes.
func TestInterruptedHeadGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, c := pipe(time.Hour)
		defer c.Close()
		go func() {
			io.WriteString(c, "GET / HT")
			time.Sleep(time.Second)
			io.WriteString(c, "TP/1.1\r\nHost: a\r\n\r\n")
		}()
		time.AfterFunc(time.Millisecond, func() { g.SetReadDeadline(time.Unix(1, 0)) })
		if n, err := g.Read(make([]byte, 1)); err == nil {
			t.Fatalf("read %d bytes of an unfinished head", n)
		}
		g.SetReadDeadline(time.Time{})
		b := make([]byte, 100)
		if n, err := g.Read(b); err != nil || string(b[:n]) != "GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
			t.Errorf("read %q, %v", b[:n], err)
		}
	})
}

// The output is the same and never too much, however the input is split and
// however little is read at once.
func TestGuardInPieces(t *testing.T) {
	t.Parallel()
	const good = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"
	const in = "\r\n" + good + "GET /3 HTTP/1.1\r\nHost : a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
	const want = good + "GET verdict:400: HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"
	for _, step := range []int{1, 2, 3, 7, 50, 1000} {
		for _, ask := range []int{1, 5, 64, 4096} {
			g, c := pipe(time.Hour)
			go func() {
				for rest := in; rest != ""; {
					n := min(step, len(rest))
					io.WriteString(c, rest[:n])
					rest = rest[n:]
				}
				c.Close()
			}()
			var got bytes.Buffer
			if _, err := io.CopyBuffer(&got, struct{ io.Reader }{g}, make([]byte, ask)); err != nil {
				t.Fatal(err)
			}
			if got.String() != want {
				t.Fatalf("in steps of %d, asked for %d: %q", step, ask, got.String())
			}
		}
	}
}

func TestAbortedUploadStopsReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, c := pipe(time.Hour)
		defer c.Close()
		go io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		b := make([]byte, 100)
		if _, err := g.Read(b); err != nil {
			t.Fatal(err)
		}
		go func() { time.Sleep(time.Second); g.abortUpload() }()
		if _, err := g.Read(b); err == nil {
			t.Error("a waiting read came back without an error")
		}
		g.SetReadDeadline(time.Time{}) // as net/http does after a handler
		if _, err := g.Read(b); !errors.Is(err, errUploadAborted) {
			t.Errorf("reading on: %v, want errUploadAborted", err)
		}
	})
}

func TestNewPeer(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	c := w.dial()
	p := newPeer(c, nil)
	if _, port, _ := net.SplitHostPort(c.LocalAddr().String()); p.ip != "127.0.0.1" || p.port != port || p.trusted {
		t.Errorf("peer %+v, want 127.0.0.1, our port %s, not trusted", p, port)
	}
	a, b := net.Pipe()
	defer b.Close()
	if p := newPeer(a, nil); p.ip != "" || p.port != "" || p.trusted {
		t.Errorf("peer of a pipe: %+v", p)
	}
}

// FuzzGuard looks for bytes that confuse the guard. Everything it lets through
// must be requests that net/http can read; only the last may be a refusal.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
		"GET / HTTP/1.1\nHost: a\n\n",
	} {
		f.Add([]byte(s), uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		g, c := pipe(time.Hour)
		defer g.Conn.Close()
		go func() {
			for rest := in; len(rest) > 0; {
				n := min(int(step)+1, len(rest))
				if _, err := c.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			c.Close()
		}()
		r := bufio.NewReader(struct{ io.Reader }{g})
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF && !strings.Contains(err.Error(), "parse ") {
					t.Fatalf("net/http refuses what passed: %v", err)
				}
				return
			}
			if upgradeOf(req) != "" {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return // cut short, or refused on the way
			}
			if verdictOf(req).status != 0 {
				if rest, _ := io.ReadAll(r); len(rest) > 0 {
					t.Fatalf("after a refusal comes %q", rest)
				}
				return
			}
		}
	})
}
