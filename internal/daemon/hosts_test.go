package daemon

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestOwnHosts(t *testing.T) {
	t.Parallel()
	c := Default()
	c.APIAddr, c.WebhookURL, c.Domain = "api.inner:8070", "https://hooks.example.com/x", "apps.example.com"
	c.APIHosts = []string{"api.example.com"}
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	handler := c.ownHosts().only(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "localhost:8070": 200, "LOCALHOST.:8070": 200, "a.localhost": 200,
		"127.0.0.1:8070": 200, "[::1]:8070": 200, "::1": 200, "198.51.100.7": 200,
		"host.docker.internal:8070": 200, "host.containers.internal": 200,
		"api.inner": 200, "hooks.example.com": 200, "apps.example.com": 200, "a.b.apps.example.com:80": 200, "api.example.com": 200, "API.example.com.:443": 200,
		machine: 200, machine + ":8070": 200,
		"evil.example": 421, "evil.example:8070": 421, "example.com": 421, "api.example.com.evil.example": 421, "xapps.example.com": 421,
		"localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "docker.internal": 421, "2130706433": 421, ":8070": 421, ".": 421, "evil.example:": 421,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want || want == 421 && !strings.Contains(w.Body.String(), "--api-host") {
			t.Errorf("%q: %d %s, want %d", host, w.Code, w.Body, want)
		}
	}
	c.APIHosts = []string{"*"}
	if !c.ownHosts().own("evil.example") {
		t.Error("* does not accept all hosts")
	}
	for _, bad := range []string{"Example.com", "a:80", "http://a", "", "*.a"} {
		c.APIHosts = []string{bad}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), "--api-host") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1": false, "::1": false, "127.8.9.1": false, "0.0.0.0": true, "::": true, "192.0.2.1": true} {
		l := listeners{api: []net.Listener{at{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}, at{&net.TCPAddr{IP: net.ParseIP(addr), Port: 8070}}}}
		if got := l.beyondLoopback(); (got != "") != want {
			t.Errorf("%s: %q", addr, got)
		}
	}
}

// at is a listener with an address only.
type at struct{ addr net.Addr }

func (a at) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (a at) Close() error              { return nil }
func (a at) Addr() net.Addr            { return a.addr }

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Trusted = []string{"10.0.0.0/8", "fd00::/8"}
	for range 2 { // once more is the same
		if err := c.Check(); err != nil || len(c.trusted) != 2 || c.trusted[1].String() != "fd00::/8" {
			t.Errorf("%v, %v", c.trusted, err)
		}
	}
	c.Trusted = []string{"10.0.0.1"}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), `--trusted-proxy is "10.0.0.1"`) {
		t.Errorf("an address without a length: %v", err)
	}
}
