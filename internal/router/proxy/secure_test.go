package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

// ask sends a request on a new connection and returns the response without its body.
func ask(t *testing.T, addr string, secure *tls.Config, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil && secure != nil {
		c = tls.Client(c, secure)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	io.Copy(io.Discard, resp.Body)
	return resp
}

// Where there is TLS, requests without it are sent there, unless the service has the setting
// or a trusted proxy says that the client came by it.
func TestRedirect(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} })
	w.add("a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	addr := w.serve(router.Listener{HTTPS: func(host string) string {
		if host == testHost {
			return host + ":8443"
		}
		return ""
	}})
	for _, tc := range []struct {
		request, location string
		status            int
	}{
		{"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "https://shop.test:8443/", 301},
		{"HEAD /a//b/%2e%2e?c=d&e HTTP/1.1\r\nHost: SHOP.test:80\r\n\r\n", "https://shop.test:8443/a//b/%2e%2e?c=d&e", 301},
		{"GET http://shop.test?x=y HTTP/1.1\r\nHost: shop.test\r\n\r\n", "https://shop.test:8443/?x=y", 301},
		{"GET //evil.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", "https://shop.test:8443//evil.test/", 301},
		{"POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx", "https://shop.test:8443/a", 308},
		{"POST /a HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "https://shop.test:8443/a", 308},
		{"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", "https://shop.test:8443/", 308},
		{"GET /s HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Proto: https\r\n\r\n", "https://shop.test:8443/s", 301}, // of a stranger
		{"GET /s HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "https://shop.test:8443/s", 301},
		{"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", "", 404},
	} {
		resp := ask(t, addr, nil, tc.request)
		if resp.StatusCode != tc.status || resp.Header.Get("Location") != tc.location {
			t.Errorf("%q: %d to %q, want %d to %q", tc.request, resp.StatusCode, resp.Header.Get("Location"), tc.status, tc.location)
		}
	}
	const plain = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	w.apply(func(r *router.Route) { r.Settings = slipway.RoutingSettings{PlainHTTP: true} })
	if resp := ask(t, addr, nil, plain); resp.StatusCode != 200 {
		t.Errorf("with the setting: %d", resp.StatusCode)
	}
	w.apply(func(r *router.Route) { r.Settings = slipway.RoutingSettings{} })
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for value, want := range map[string]int{"https": 200, "HTTPS": 200, "http": 301} {
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Proto: "+value+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("a trusted proxy says %s: %v, %v", value, resp, err)
		}
		c.Close()
	}
}

// Only clients of TLS are told to come by nothing else, and an application's own word stays.
func TestHSTS(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if own := r.URL.Query().Get("own"); own != "" {
			rw.Header().Set("strict-transport-security", own)
		}
	}))
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	addr := w.serve(router.Listener{TLS: secure.TLS})
	client := &tls.Config{InsecureSkipVerify: true}
	for _, tc := range []struct {
		hsts   time.Duration
		secure bool
		own    string
		want   string
	}{
		{0, true, "", ""},
		{time.Hour, true, "", "max-age=3600"},
		{time.Hour, true, "max-age=0", "max-age=0"},
		{time.Hour, false, "", ""},
	} {
		w.apply(func(r *router.Route) { r.Settings.HSTS = tc.hsts })
		at, conf := w.addr, (*tls.Config)(nil)
		if tc.secure {
			at, conf = addr, client
		}
		got := ask(t, at, conf, "GET /?own="+tc.own+" HTTP/1.1\r\nHost: shop.test\r\n\r\n").Header["Strict-Transport-Security"]
		if strings.Join(got, "|") != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

// A handshake that fails costs its connection and nothing else.
func TestBrokenHandshakes(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	addr := w.serve(router.Listener{TLS: secure.TLS})
	for _, bytes := range []string{"", "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\x16\x03\x01\xff\xff" + strings.Repeat("\xff", 1000), "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, bytes)
		c.(*net.TCPConn).CloseWrite()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.Copy(io.Discard, c)
		c.Close()
	}
	if resp := ask(t, addr, &tls.Config{InsecureSkipVerify: true}, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// A client of TLS whose connection is at rest while another process takes over gets the
// answer to its next request from there, which knows its address, and then the end of the
// connection. So does one that has sent nothing yet.
func TestYieldSecure(t *testing.T) {
	t.Parallel()
	elder, heir := newFixture(t, nil), newFixture(t, nil)
	for _, w := range []*fixture{elder, heir} {
		w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Forwarded-For"), " ", r.Header.Get("X-Forwarded-Port"), r.URL.Path, " ", n)
		}))
	}
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	addr, stop := elder.serveUntil(router.Listener{TLS: secure.TLS})
	heir.serve(router.Listener{TLS: secure.TLS})
	_, port, _ := net.SplitHostPort(addr)
	type client struct {
		*tls.Conn
		r *bufio.Reader
	}
	dial := func() client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		return client{s, bufio.NewReader(s)}
	}
	post := func(c client, path string, closes bool) {
		t.Helper()
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if want := "https 127.0.0.3 " + port + path + " 100000"; string(b) != want || resp.Close != closes || err != nil {
			t.Errorf("%q, closes %v, %v; want %q, %v", b, resp.Close, err, want, closes)
		}
	}
	rests, fresh := dial(), dial()
	post(rests, "/before", false)
	passed := elder.yieldTo(heir)
	stop()
	for _, c := range []client{rests, fresh} {
		post(c, "/after", true)
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("the connection goes on: %v", err)
		}
	}
	if n := passed.Load(); n != 2 {
		t.Errorf("%d connections were passed", n)
	}
}
