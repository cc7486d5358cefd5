package proxy

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// parse parses the head of a request.
func parse(fields string) *http1.Request {
	var r http1.Request
	if status := r.Parse([]byte("GET / HTTP/1.1\r\nHost: Shop.Test:80\r\n" + fields + "\r\n")); status != 0 {
		panic(status) // a mistake in a test
	}
	return &r
}

// outgoing returns the lines of the head that an instance receives.
func outgoing(w forwarding, r *http1.Request) []string {
	b := string(w.appendRequest(nil, r))
	return strings.Split(strings.TrimSuffix(b, "\r\n\r\n"), "\r\n")
}

func TestOutgoingHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fields string
		trusted      bool
		want         string   // the lines between Host and the router's own
		ours         []string // nil for the usual ones
	}{
		{"nothing", "", false, "", nil},
		{
			"passed on as it came", "accept: a\r\nACCEPT: b\r\nCookie: c=d\r\nAuthorization: e\r\nX-Own:f\r\nUser-Agent: g \r\nSec-WebSocket-Key: h\r\n", false,
			"accept: a|ACCEPT: b|Cookie: c=d|Authorization: e|X-Own: f|User-Agent: g|Sec-WebSocket-Key: h", nil,
		},
		{
			"hop by hop", "Connection: keep-alive, X-Own\r\nConnection: x-other\r\nKeep-Alive: a\r\nProxy-Connection: b\r\n" +
				"Proxy-Authorization: c\r\nProxy-Authenticate: d\r\nUpgrade: h2c\r\nX-Own: e\r\nX-Other: f\r\nX-Stays: g\r\n", false,
			"X-Stays: g", nil,
		},
		{"te trailers", "TE: gzip, trailers\r\n", false, "TE: trailers", nil},
		{"te named by connection", "te: trailers\r\nConnection: TE\r\n", false, "te: trailers", nil},
		{"te other", "TE: gzip\r\n", false, "", nil},
		{"expect without a body", "Expect: 100-continue\r\n", false, "", nil},
		{"trailer without a body", "Trailer: X-A\r\n", false, "", nil},
		{"forged", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n" +
			"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Ssl: on\r\nForwarded: for=evil\r\nX-Real-IP: 10.0.0.1\r\nX-Request-ID: evil\r\n", false, "", nil},
		{
			"forged with underscores", "X_Forwarded_For: 10.0.0.1\r\nx-forwarded_proto: https\r\nX_Real_IP: a\r\nX_Request_Id: b\r\nX_Own: c\r\nApi_Key: d\r\n", false, "", nil,
		},
		{"ours named by connection", "Connection: X-Forwarded-For, X-Request-Id, Host\r\n", false, "", nil},
		{
			"trusted", "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n" +
				"X-Forwarded-Port: 443\r\nForwarded: for=b\r\nX-Real-IP: c\r\n", true,
			"X-Forwarded-Proto: https|X-Forwarded-Host: a|X-Forwarded-Port: 443|Forwarded: for=b|X-Real-IP: c",
			[]string{"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.7", "X-Request-Id: id"},
		},
		{"of other platforms", "Proxy: http://evil\r\nTrue-Client-IP: a\r\nCF-Connecting-IP: a\r\nCF-Visitor: a\r\nFly-Client-IP: a\r\nFastly-Client-IP: a\r\n" +
			"Client-IP: a\r\nX-Client-IP: a\r\nX-Cluster-Client-IP: a\r\nX-Envoy-External-Address: a\r\nX-Appengine-User-IP: a\r\nX-Azure-ClientIP: a\r\n" +
			"X-Vercel-Forwarded-For: a\r\nX-Original-Forwarded-For: a\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nFront-End-Https: on\r\nX-Scheme: https\r\n", false, "", nil},
		{"trusted, of other platforms", "Proxy: http://evil\r\nCF-Connecting-IP: a\r\nX-Original-URL: /b\r\n", true, "CF-Connecting-IP: a|X-Original-URL: /b", nil},
		{"of an application", "Clientid: a\r\nCfg: b\r\nX-Clients: c\r\nReferer: d\r\n~odd: e\r\n", false, "Clientid: a|Cfg: b|X-Clients: c|Referer: d|~odd: e", nil},
		{"trusted, with underscores", "X_Forwarded_For: 10.0.0.1\r\n", true, "", nil},
		{
			"trusted, named by connection", "X-Forwarded-Proto: https\r\nConnection: x-forwarded-proto\r\n", true, "X-Forwarded-Proto: https",
			[]string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: Shop.Test:80", "X-Forwarded-Port: 8080", "X-Request-Id: id"},
		},
		{
			"websocket", "Connection: keep-alive, Upgrade, X-Own\r\nupgrade: websocket\r\nX-Own: a\r\nsec-websocket-Key: b\r\n", false,
			"sec-websocket-Key: b|Connection: Upgrade|Upgrade: websocket", nil,
		},
	} {
		w := forwarding{peer: &peer{ip: "192.0.2.7", port: "8080", trusted: c.trusted}, scheme: "http", id: []byte("id")}
		want := []string{"GET / HTTP/1.1", "Host: Shop.Test:80"}
		if c.want != "" {
			want = append(want, strings.Split(c.want, "|")...)
		}
		if c.ours == nil {
			c.ours = []string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: Shop.Test:80", "X-Forwarded-Port: 8080", "X-Request-Id: id"}
		}
		if d := cmp.Diff(append(want, c.ours...), outgoing(w, parse(c.fields))); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestUnderscores has a server that lets fields with underscores pass, except those that a
// CGI program would take for others.
func TestUnderscores(t *testing.T) {
	t.Parallel()
	r := parse("Api_Key: a\r\nX_Real_IP: b\r\nContent_Length: 9\r\nX_Own: c\r\nX-Own: d\r\nPro_xy: e\r\nProxy_: f\r\nTransfer_Encoding: g\r\nAuthorization_: h\r\nCF_Connecting_IP: i\r\n_Proxy: j\r\n")
	for _, trusted := range []bool{false, true} {
		w := forwarding{peer: &peer{trusted: trusted}, scheme: "http", id: []byte("id"), underscores: true}
		got := strings.Join(outgoing(w, r)[2:], "|")
		want := "Api_Key: a|X-Own: d|Pro_xy: e|Proxy_: f|Authorization_: h|_Proxy: j|X-Forwarded-Proto: http|X-Forwarded-Host: Shop.Test:80|X-Request-Id: id"
		if got != want {
			t.Errorf("trusted %v:\n%s, want\n%s", trusted, got, want)
		}
	}
}

// TestRoles compares the short way to a role with the table.
func TestRoles(t *testing.T) {
	t.Parallel()
	for k, want := range roles {
		if got := roleOf([]byte(strings.ToUpper(k))); got != want {
			t.Errorf("%s has role %d, want %d", k, got, want)
		}
		if len(k) > maxName {
			t.Errorf("%s is longer than maxName", k)
		}
	}
	for _, p := range platformPrefixes {
		if got := roleOf([]byte(p + strings.Repeat("a", 50))); got != platform {
			t.Errorf("a field that begins with %s has role %d", p, got)
		}
		if c := p[0]; c != 'x' && c != 'c' && c != 'f' || len(p) > maxName {
			t.Errorf("roleOf does not look for %s", p)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[[36]byte]bool{}
	for range 1000 {
		var id [36]byte
		if putUUID(&id); !uuid.Match(id[:]) || seen[id] {
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
		x := exchange{c: &clientConn{peer: peer{trusted: c.trusted}}, req: *parse(c.fields)}
		x.setID()
		id := string(x.forward.id)
		if c.want == "" && !uuid.MatchString(id) || c.want != "" && id != c.want {
			t.Errorf("%s: %q, want %q", c.name, id, c.want)
		}
	}
}

func TestIncomingHeader(t *testing.T) {
	t.Parallel()
	var r http1.Response
	if err := r.Parse([]byte("HTTP/1.1 200 OK\r\nconnection: close, X-Hop\r\nKeep-Alive: a\r\nx-hop: b\r\nUpgrade: c\r\nProxy-Authenticate: d\r\n" +
		"Set-Cookie: e\r\nset-cookie: f\r\nServer: g\r\nX-Request-Id: h\r\nContent-Length: 3\r\nTrailer: i\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	got := string(appendResponseFields(nil, &r, false))
	if want := "Set-Cookie: e\r\nset-cookie: f\r\nServer: g\r\nX-Request-Id: h\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
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
	r := parse("Accept: */*\r\nAccept-Language: en\r\nUser-Agent: x\r\nCookie: a=b\r\nConnection: keep-alive\r\n")
	w := forwarding{peer: &peer{ip: "192.0.2.7", port: "8080"}, scheme: "http", id: []byte("id")}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = w.appendRequest(out[:0], r)
	}
}
