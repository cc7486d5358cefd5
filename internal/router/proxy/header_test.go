package proxy

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/router"
)

// parseRequest reads a request as net/http's server does.
func parseRequest(text string) *http.Request {
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		panic(err) // a mistake in a test
	}
	return req
}

func parse(fields string) *http.Request {
	return parseRequest("GET / HTTP/1.1\r\nHost: Shop.Test:80\r\n" + fields + "\r\n")
}

func TestOutgoingHeader(t *testing.T) {
	t.Parallel()
	ours := http.Header{
		"User-Agent":        nil,
		"X-Forwarded-For":   {"192.0.2.7"},
		"X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host":  {"Shop.Test:80"},
		"X-Forwarded-Port":  {"8080"},
		"X-Request-Id":      {"id"},
	}
	for _, c := range []struct {
		name, fields string
		trusted      bool
		want         http.Header // in addition to ours; nil removes one of ours
	}{
		{"nothing", "", false, nil},
		{"passed on", "Accept: a\r\nAccept: b\r\nCookie: c=d\r\nAuthorization: e\r\nX-Own: f\r\nUser-Agent: g\r\n", false, http.Header{
			"Accept": {"a", "b"}, "Cookie": {"c=d"}, "Authorization": {"e"}, "X-Own": {"f"}, "User-Agent": {"g"},
		}},
		{
			"hop by hop", "Connection: keep-alive, X-Own\r\nConnection: x-other\r\nKeep-Alive: a\r\nProxy-Connection: b\r\n" +
				"Proxy-Authorization: c\r\nProxy-Authenticate: d\r\nUpgrade: h2c\r\nX-Own: e\r\nX-Other: f\r\nX-Stays: g\r\n", false,
			http.Header{"X-Stays": {"g"}},
		},
		{"te trailers", "TE: gzip, trailers\r\n", false, http.Header{"Te": {"trailers"}}},
		{"te named by connection", "TE: trailers\r\nConnection: TE\r\n", false, http.Header{"Te": {"trailers"}}},
		{"te other", "TE: gzip\r\n", false, nil},
		{"expect without a body", "Expect: 100-continue\r\n", false, nil},
		{"forged", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n" +
			"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Ssl: on\r\nForwarded: for=evil\r\nX-Real-IP: 10.0.0.1\r\nX-Request-ID: evil\r\n", false, nil},
		{
			"forged with underscores", "X_Forwarded_For: 10.0.0.1\r\nx-forwarded_proto: https\r\nX_Real_IP: a\r\nX_Request_Id: b\r\nX_Own: c\r\nApi_Key: d\r\n", false, nil,
		},
		{"ours named by connection", "Connection: X-Forwarded-For, X-Request-Id, Host\r\n", false, nil},
		{"trusted", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n" +
			"X-Forwarded-Port: 443\r\nForwarded: for=b\r\nX-Real-IP: c\r\n", true, http.Header{
			"X-Forwarded-For": {"10.0.0.1, 10.0.0.2, 192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a"},
			"X-Forwarded-Port": {"443"}, "Forwarded": {"for=b"}, "X-Real-Ip": {"c"},
		}},
		{"of other platforms", "Proxy: http://evil\r\nTrue-Client-IP: a\r\nCF-Connecting-IP: a\r\nCF-Visitor: a\r\nFly-Client-IP: a\r\nFastly-Client-IP: a\r\n" +
			"Client-IP: a\r\nX-Client-IP: a\r\nX-Cluster-Client-IP: a\r\nX-Envoy-External-Address: a\r\nX-Appengine-User-IP: a\r\nX-Azure-ClientIP: a\r\n" +
			"X-Vercel-Forwarded-For: a\r\nX-Original-Forwarded-For: a\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nFront-End-Https: on\r\nX-Scheme: https\r\n", false, nil},
		{"trusted, of other platforms", "Proxy: http://evil\r\nCF-Connecting-IP: a\r\nX-Original-URL: /b\r\n", true, http.Header{"Cf-Connecting-Ip": {"a"}, "X-Original-Url": {"/b"}}},
		{"of an application", "Clientid: a\r\nCfg: b\r\nX-Clients: c\r\nReferer: d\r\n", false, http.Header{"Clientid": {"a"}, "Cfg": {"b"}, "X-Clients": {"c"}, "Referer": {"d"}}},
		{"trusted, with underscores", "X_Forwarded_For: 10.0.0.1\r\n", true, nil},
		{
			"trusted, named by connection", "X-Forwarded-Proto: https\r\nConnection: x-forwarded-proto\r\n", true,
			http.Header{"X-Forwarded-Proto": {"https"}},
		},
	} {
		want := ours.Clone()
		for k, v := range c.want {
			want[k] = v
		}
		got := requestHeader(parse(c.fields), peer{ip: "192.0.2.7", port: "8080", trusted: c.trusted}, "http", "id", "", false)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestUnderscores has a server that lets fields with underscores pass, except those that a
// CGI program would take for others.
func TestUnderscores(t *testing.T) {
	t.Parallel()
	req := parse("Api_Key: a\r\nX_Real_IP: b\r\nContent_Length: 9\r\nX_Own: c\r\nX-Own: d\r\nPro_xy: e\r\nProxy_: f\r\nTransfer_Encoding: g\r\nAuthorization_: h\r\nCF_Connecting_IP: i\r\n_Proxy: j\r\n")
	for _, trusted := range []bool{false, true} {
		h := requestHeader(req, peer{ip: "192.0.2.7", trusted: trusted}, "http", "id", "", true)
		for k := range h {
			if strings.Contains(k, "_") && k != "Api_key" && k != "Pro_xy" && k != "Proxy_" && k != "Authorization_" && k != "_proxy" {
				t.Errorf("%s passes", k)
			}
		}
		if h["Api_key"] == nil || h["X-Own"] == nil {
			t.Errorf("an application's own field does not pass: %v", h)
		}
	}
}

func TestOutgoingUpgrade(t *testing.T) {
	t.Parallel()
	req := parse("Connection: keep-alive, Upgrade, X-Own\r\nUpgrade: websocket\r\nX-Own: a\r\nSec-Websocket-Key: b\r\n")
	h := requestHeader(req, peer{}, "http", "id", upgradeOf(req), false)
	if h.Get("Connection") != "Upgrade" || h.Get("Upgrade") != "websocket" || h.Get("X-Own") != "" || h.Get("Sec-Websocket-Key") != "b" {
		t.Errorf("header %v", h)
	}
	if _, ok := h["X-Forwarded-For"]; ok {
		t.Error("an unknown peer has an address")
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := newUUID()
		if !uuid.MatchString(id) || seen[id] {
			t.Fatalf("%q is no new UUID", id)
		}
		seen[id] = true
	}
	for _, c := range []struct {
		name, fields string
		trusted      bool
		want         string // empty for a new UUID
	}{
		{"none", "", true, ""},
		{"from anybody", "X-Request-Id: a\r\n", false, ""},
		{"from a trusted peer", "X-Request-Id: a\r\n", true, "a"},
		{"two", "X-Request-Id: a\r\nX-Request-Id: b\r\n", true, ""},
		{"empty", "X-Request-Id:\r\n", true, ""},
		{"too long", "X-Request-Id: " + strings.Repeat("a", 129) + "\r\n", true, ""},
	} {
		id := requestID(parse(c.fields), peer{trusted: c.trusted})
		if c.want == "" && !uuid.MatchString(id) || c.want != "" && id != c.want {
			t.Errorf("%s: %q, want %q", c.name, id, c.want)
		}
	}
}

func TestIncomingHeader(t *testing.T) {
	t.Parallel()
	got := http.Header{}
	copyResponseHeader(got, http.Header{
		"Connection": {"close, X-Hop"}, "Keep-Alive": {"a"}, "X-Hop": {"b"}, "Upgrade": {"c"}, "Proxy-Authenticate": {"d"},
		"Set-Cookie": {"e", "f"}, "Server": {"g"}, "X-Request-Id": {"h"}, "Content-Length": {"3"},
	})
	want := http.Header{"Set-Cookie": {"e", "f"}, "Server": {"g"}, "X-Request-Id": {"h"}, "Content-Length": {"3"}, "Content-Type": nil}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What the instance receives over real sockets from a trusted peer and from an
// untrusted one.
func TestForwardedHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		w := newFixture(t, func(_ *router.Config, c *Config) {
			if trusted {
				c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		got := make(chan *http.Request, 1)
		w.add("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 10.0.0.1\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n")
		c.response("GET")
		r := <-got
		wantFor := "127.0.0.1"
		if trusted {
			wantFor = "10.0.0.1, 127.0.0.1"
		}
		if f := r.Header.Get("X-Forwarded-For"); f != wantFor {
			t.Errorf("trusted %v: X-Forwarded-For %q, want %q", trusted, f, wantFor)
		}
		if id := r.Header.Get("X-Request-Id"); (id == "theirs") != trusted || id == "" {
			t.Errorf("trusted %v: X-Request-Id %q", trusted, id)
		}
		if p := r.Header.Get("X-Forwarded-Port"); !strings.HasSuffix(w.addr, ":"+p) {
			t.Errorf("X-Forwarded-Port %q, the router listens on %s", p, w.addr)
		}
		if r.Host != "shop.test" || r.Header.Get("Accept-Encoding") != "" || r.Header.Get("User-Agent") != "" {
			t.Errorf("made up: host %q, header %v", r.Host, r.Header)
		}
	}
}

func BenchmarkOutgoingHeader(b *testing.B) {
	req := httptest.NewRequest("GET", "/", nil)
	for _, f := range strings.Split("Accept: */*|Accept-Language: en|User-Agent: x|Cookie: a=b|Connection: keep-alive", "|") {
		k, v, _ := strings.Cut(f, ": ")
		req.Header.Set(k, v)
	}
	b.ReportAllocs()
	for b.Loop() {
		requestHeader(req, peer{ip: "192.0.2.7", port: "8080"}, "http", "id", "", false)
	}
}
