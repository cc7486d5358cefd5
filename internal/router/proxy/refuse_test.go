package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// A request that is refused gets a page and ends the connection, and
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

// Pipelined requests with unusual targets stay in order.
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

func TestNewPeer(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	c := w.dial()
	p := newClient(w.proxy.newFront(router.Listener{}), c, Origin{}).peer
	if _, port, _ := net.SplitHostPort(c.LocalAddr().String()); p.ip != "127.0.0.1" || p.port != port || p.trusted {
		t.Errorf("peer %+v, want 127.0.0.1, our port %s, not trusted", p, port)
	}
	a, b := net.Pipe()
	defer b.Close()
	if p := newClient(w.proxy.newFront(router.Listener{}), a, Origin{}).peer; p.ip != "" || p.port != "" || p.trusted {
		t.Errorf("peer of a pipe: %+v", p)
	}
}
