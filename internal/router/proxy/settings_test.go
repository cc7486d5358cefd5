package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

// with returns a fixture whose service has the settings.
func with(t *testing.T, s slipway.RoutingSettings, configure func(*router.Config, *Config)) *fixture {
	w := newFixture(t, configure)
	w.apply(func(r *router.Route) { r.Settings = s })
	return w
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	w := with(t, slipway.RoutingSettings{RequestTime: 50 * time.Millisecond}, nil)
	w.addRaw("a", func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	if resp, body := w.get("/"); resp.StatusCode != 504 || !strings.Contains(body, "time_limit") {
		t.Errorf("%d %q, want 504", resp.StatusCode, body)
	}
}

func TestMaxHead(t *testing.T) {
	t.Parallel()
	w := with(t, slipway.RoutingSettings{MaxHead: 1 << 10}, nil)
	w.add("a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	const around = len("GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: \r\n\r\n")
	for size, status := range map[int]int{1 << 10: 200, 1<<10 + 1: 431, 8 << 10: 431} {
		cl := w.dial()
		cl.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: " + strings.Repeat("a", size-around) + "\r\n\r\n")
		if resp, body := cl.response("GET"); resp.StatusCode != status || resp.Close {
			t.Errorf("a head of %d bytes gets %d %q, want %d", size, resp.StatusCode, body, status)
		}
	}
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	w := with(t, slipway.RoutingSettings{MaxBody: 10}, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%d", len(b))
	}))
	for _, c := range []struct {
		name, body string
		status     int
		closes     bool
	}{
		{"just fits", "Content-Length: 10\r\n\r\n0123456789", 200, false},
		{"one more", "Content-Length: 11\r\n\r\n0123456789a", 413, false}, // it came with the head
		{"announced", "Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n", 413, true},
		{"chunks that fit", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 200, false},
		{"chunks with one more", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", 413, true},
		{"chunks without end", "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("5\r\n01234\r\n", 3), 413, true},
	} {
		cl := w.dial()
		cl.send("POST / HTTP/1.1\r\nHost: shop.test\r\n" + c.body)
		resp, body := cl.response("POST")
		if resp.StatusCode != c.status || c.status == 200 && body != "10" || resp.Close != c.closes {
			t.Errorf("%s: %d %q, closes: %v; want %d", c.name, resp.StatusCode, body, resp.Close, c.status)
		}
	}
}

func TestAllowFrom(t *testing.T) {
	t.Parallel()
	prefixes := func(list ...string) (all []netip.Prefix) {
		for _, p := range list {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	for _, c := range []struct {
		name, forwarded string
		trusted, allow  []netip.Prefix
		status          int
	}{
		{"allowed", "", nil, prefixes("192.0.2.0/24", "127.0.0.1/32"), 200},
		{"another", "", nil, prefixes("192.0.2.0/24"), 403},
		{"forged", "192.0.2.7", nil, prefixes("192.0.2.0/24"), 403},
		{"behind a proxy", "192.0.2.7", prefixes("127.0.0.0/8"), prefixes("192.0.2.0/24"), 200},
		{"behind two", "198.51.100.1, 192.0.2.7, 127.0.0.9", prefixes("127.0.0.0/8"), prefixes("192.0.2.0/24"), 200},
		{"forged before a proxy", "192.0.2.7, 198.51.100.1", prefixes("127.0.0.0/8"), prefixes("192.0.2.0/24"), 403},
		{"nonsense of a proxy", "192.0.2.7, x", prefixes("127.0.0.0/8"), prefixes("0.0.0.0/0", "::/0"), 403},
		{"the proxy itself", "", prefixes("127.0.0.0/8"), prefixes("127.0.0.0/8"), 200},
	} {
		w := with(t, slipway.RoutingSettings{AllowFrom: c.allow}, func(_ *router.Config, cfg *Config) { cfg.Trusted = c.trusted })
		w.add("a", text("ok"))
		cl := w.dial()
		cl.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: " + c.forwarded + "\r\n\r\n")
		if resp, body := cl.response("GET"); resp.StatusCode != c.status || c.status == 403 && !strings.Contains(body, "client_not_allowed") {
			t.Errorf("%s: %d %q, want %d", c.name, resp.StatusCode, body, c.status)
		}
	}
}

// A cookie takes a client to its instance, until that is gone or full.
func TestSticky(t *testing.T) {
	t.Parallel()
	w := with(t, slipway.RoutingSettings{Sticky: true}, nil)
	for _, id := range []string{"a", "b", "c"} {
		w.add(id, text(id))
	}
	resp, mine := w.get("/")
	cookie := resp.Header.Get("Set-Cookie")
	name, _, ok := strings.Cut(cookie, ";")
	if !ok || !strings.HasPrefix(name, stickyCookie+"=") || !strings.Contains(cookie, "HttpOnly") || strings.Contains(cookie, "Secure") {
		t.Fatalf("cookie %q", cookie)
	}
	ask := func() (*http.Response, string) {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\nCookie: a=b; " + name + "; c=d\r\nConnection: close\r\n\r\n")
		return c.response("GET")
	}
	for range 20 {
		if resp, got := ask(); got != mine || resp.Header.Get("Set-Cookie") != "" {
			t.Fatalf("the client of %s came to %s, with cookie %q", mine, got, resp.Header.Get("Set-Cookie"))
		}
	}
	w.apply(func(r *router.Route) {
		for i := range r.Instances {
			r.Instances[i].Open = r.Instances[i].ID != mine
		}
	})
	if resp, got := ask(); got == mine || resp.Header.Get("Set-Cookie") == "" {
		t.Errorf("with its instance gone, the client came to %s with cookie %q", got, resp.Header.Get("Set-Cookie"))
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	w := with(t, slipway.RoutingSettings{IdleTime: 50 * time.Millisecond}, nil)
	w.addRaw("a", echo)
	c := w.dial()
	c.send(upgrade)
	c.head("GET")
	if rest := c.rest(); rest != "" {
		t.Errorf("got %q", rest)
	}
}

// An instance that fails where another does not gets no requests for a while, whether it
// answers badly or not at all.
func TestFailingInstanceIsEjected(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(http.ResponseWriter){
		"500":      func(rw http.ResponseWriter) { rw.WriteHeader(500) },
		"breaking": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			var failed, served atomic.Int32
			w.add("bad", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				failed.Add(1)
				fail(rw)
			}))
			w.add("good", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
			for range 100 {
				w.get("/")
			}
			// Each second of the test it may be tried again.
			if failed.Load() > 20 || served.Load() < 80 {
				t.Errorf("%d requests failed, %d were served", failed.Load(), served.Load())
			}
		})
	}
}
