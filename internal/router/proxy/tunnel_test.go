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

const upgrade = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// echo accepts an upgrade and sends back what it receives until the other end
// closes its half.
func echo(c net.Conn, r *bufio.Reader) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Own: a\r\n\r\n", req.Header.Get("Upgrade"))
	io.Copy(c, r)
	io.WriteString(c, "bye")
}

func (c *client) expect(want string) {
	c.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		c.t.Fatalf("got %q, %v; want %q", b, err, want)
	}
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", echo)
	c := w.dial()
	c.send(upgrade)
	if resp := c.head("GET"); resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" ||
		resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("X-Own") != "a" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	for range 5 {
		c.send("GET / HTTP/1.1\n\x00 anything")
		c.expect("GET / HTTP/1.1\n\x00 anything")
	}
	if n := w.inFlight(); n != 1 {
		t.Errorf("%d in flight while a tunnel is open, want 1", n)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	go io.WriteString(c, big)
	c.expect(big)
	c.CloseWrite() // the half-close is passed on, the other half stays open
	if rest := c.rest(); rest != "bye" {
		t.Errorf("after half-closing comes %q, want bye", rest)
	}
	eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
	eventually(t, "instance's connection closed", func() bool { return w.connections("a") == 0 })
}

func TestTunnelOutlivesTheTimeLimit(t *testing.T) {
	t.Parallel()
	withLimit(t, func(w *fixture) bool {
		w.addRaw("a", echo)
		c := w.dial()
		opened := time.Now()
		c.send(upgrade)
		if c.head("GET").StatusCode != 101 {
			return false
		}
		for time.Since(opened) < 2*w.proxy.cfg.RequestTimeout {
			c.send("hello")
			c.expect("hello")
		}
		return true
	})
}

// Bytes that the client sends right after its upgrade request are not lost, nor
// are those that the instance sends right after its 101.
func TestTunnelWithEarlyBytes(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nhello")
		io.Copy(c, r)
	})
	c := w.dial()
	c.send(upgrade + "early")
	c.head("GET")
	c.expect("helloearly")
}

func TestRefusedUpgrade(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusForbidden) }))
	c := w.dial()
	c.send(upgrade)
	if resp, body := c.response("GET"); resp.StatusCode != 403 || body != "no\n" || !resp.Close {
		t.Errorf("%d %q, closes: %v; want 403 and a close", resp.StatusCode, body, resp.Close)
	}
}

// After an upgrade request the guard lets everything through: whatever the
// response, no second request may be read there.
func TestNothingFollowsAnUpgradeRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		host   string
		change func(*router.Route)
		status int
	}{
		{"unknown host", "nobody.test", func(*router.Route) {}, 404},
		{"paused", testHost, func(r *router.Route) { r.State = router.Paused }, 503},
		{"unreachable", testHost, func(r *router.Route) { r.Instances = []router.Endpoint{{ID: "none", Open: true}} }, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, nil)
			w.apply(c.change)
			cl := w.dial()
			cl.send(strings.Replace(upgrade, testHost, c.host, 1) + "GET / HTTP/1.1\nHost: shop.test\n\n")
			if resp, _ := cl.response("GET"); resp.StatusCode != c.status || !resp.Close {
				t.Errorf("%d, closes: %v; want %d and a close", resp.StatusCode, resp.Close, c.status)
			}
			if rest := cl.rest(); rest != "" {
				t.Errorf("then comes %q", rest)
			}
		})
	}
}

func TestSwitchToAnotherProtocol(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addScript("a", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tea\r\n\r\n")
	c := w.dial()
	c.send(upgrade)
	if resp, _ := c.response("GET"); resp.StatusCode != 502 || !resp.Close {
		t.Errorf("%d, closes: %v; want 502 and a close", resp.StatusCode, resp.Close)
	}
}

func TestH2CUpgradeIsServedAsHTTP1(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "%q %q", r.Header.Get("Upgrade"), r.Header.Get("Http2-Settings"))
	}))
	c := w.dial()
	for range 2 { // the connection stays open
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n")
		if resp, body := c.response("GET"); resp.StatusCode != 200 || body != `"" ""` {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestIdleTunnelEnds(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.TunnelIdle = 50 * time.Millisecond })
	w.addRaw("a", echo)
	c := w.dial()
	c.send(upgrade)
	c.head("GET")
	if rest := c.rest(); rest != "" {
		t.Errorf("got %q", rest)
	}
	eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
}

func TestTunnelEndsWithEitherEnd(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	})
	c := w.dial()
	c.send(upgrade)
	c.head("GET")
	if rest := c.rest(); rest != "" {
		t.Errorf("got %q", rest)
	}
	c.Close()
	eventually(t, "slot released", func() bool { return w.inFlight() == 0 })
}
