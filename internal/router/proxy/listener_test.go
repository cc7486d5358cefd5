package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/openslipway/slipway/internal/router"
)

// serve serves another listener of the router until the test ends.
func (w *fixture) serve(as router.Listener) (addr string) {
	addr, _ = w.serveUntil(as)
	return addr
}

// serveUntil serves another listener of the router until stop is called, at the latest until
// the test ends.
func (w *fixture) serveUntil(as router.Listener) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(ctx, l, as) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String(), stop
}

// A service answers only at the listeners of its keys, and is told the scheme of
// the listener.
func TestListeners(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, r.Header.Get("X-Forwarded-Proto"))
	}))
	w.apply(func(r *router.Route) { r.Keys = []router.RouteKey{{Listener: "vpce-1", Host: testHost}} })
	for _, c := range []struct {
		as     router.Listener
		status int
		scheme string
	}{
		{router.Listener{}, 404, ""},
		{router.Listener{ID: "vpce-2"}, 404, ""},
		{router.Listener{ID: "vpce-1"}, 200, "http"},
		{router.Listener{ID: "vpce-1", Scheme: "https"}, 200, "https"},
	} {
		c0, err := net.Dial("tcp", w.serve(c.as))
		if err != nil {
			t.Fatal(err)
		}
		cl := &client{TCPConn: c0.(*net.TCPConn), t: t, r: bufio.NewReader(c0)}
		cl.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
		resp, body := cl.response("GET")
		if resp.StatusCode != c.status || c.status == 200 && body != c.scheme {
			t.Errorf("at %+v: %d %q, want %d %q", c.as, resp.StatusCode, body, c.status, c.scheme)
		}
		cl.Close()
	}
}

// A listener with TLS serves HTTP/1 behind the same guard.
func TestListenerWithTLS(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, r.Header.Get("X-Forwarded-Proto"))
	}))
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	addr := w.serve(router.Listener{TLS: cert.TLS})
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\nGET / HTTP/1.1\nHost: shop.test\n\n")
	for _, want := range []int{200, 400} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if resp.StatusCode != want || err != nil || want == 200 && string(b) != "https" {
			t.Errorf("%d %q, %v; want %d", resp.StatusCode, b, err, want)
		}
	}
}
