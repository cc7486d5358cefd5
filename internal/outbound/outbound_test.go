package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func policyOf(t testing.TB, allow ...string) *Policy {
	t.Helper()
	p, err := New(allow...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	own := []netip.Addr{netip.MustParseAddr("8.8.4.4"), netip.MustParseAddr("2a00::7")}
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "8.8.4.4",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.4.4", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
		"fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2a00::7", "2a00::5efe:7f00:1", "2a00::200:5efe:a00:1",
	} {
		if policyOf(t).allows(netip.AddrPortFrom(netip.MustParseAddr(text), 80), own) {
			t.Errorf("%s is allowed", text)
		}
	}
	for _, text := range []string{
		"8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255",
		"198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111", "2a00::5efe:808:808",
	} {
		if !(*Policy)(nil).allows(netip.AddrPortFrom(netip.MustParseAddr(text), 80), own) {
			t.Errorf("%s is not allowed", text)
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allow, at string
		want      bool
	}{
		{"10.0.0.0/8", "10.1.2.3:80", true},
		{"10.0.0.0/8", "[::ffff:10.1.2.3]:80", true},
		{"10.0.0.0/8", "[64:ff9b::a01:203]:80", true},
		{"10.0.0.0/8", "11.1.2.3:80", true}, // public
		{"10.0.0.0/8", "192.168.0.1:80", false},
		{"10.1.2.3/8", "10.9.9.9:80", true},
		{"10.1.2.3", "10.1.2.3:80", true},
		{"10.1.2.3", "10.1.2.4:80", false},
		{"10.1.2.3:5000", "10.1.2.3:5000", true},
		{"10.1.2.3:5000", "10.1.2.3:5001", false},
		{"[fd00::1]:443", "[fd00::1]:443", true},
		{"fd00::1", "[fd00::1]:80", true},
		{"[fd00::1]", "[fd00::1]:80", true},
		{"127.0.0.0/8", "127.0.0.1:80", true},
		{"8.8.4.4", "8.8.4.4:80", true}, // the host's own
		{"0.0.0.0/0", "10.0.0.1:80", true},
		{"0.0.0.0/0", "169.254.169.254:80", false},
		{"100.64.0.0/10", "100.64.0.1:80", true},
		{"100.64.0.0/10", "100.100.100.200:80", false},
		{"100.100.100.200", "100.100.100.200:80", true},
		{"169.254.0.0/16", "169.254.169.254:80", true},
		{"169.254.169.254", "169.254.169.254:80", true},
		{"::/0", "[fe80::1%eth0]:80", false},
		{"::/0", "[fd00:ec2::254]:80", false},
		{"::/0", "[fd00::254]:80", true},
		{"registry.internal", "10.0.0.1:80", false}, // a name allows no address by itself
	} {
		own := []netip.Addr{netip.MustParseAddr("8.8.4.4")}
		if got := policyOf(t, c.allow).allows(netip.MustParseAddrPort(c.at), own); got != c.want {
			t.Errorf("with %s, %s is allowed: %v", c.allow, c.at, got)
		}
	}
}

func TestWrongAllowances(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "http://10.0.0.1", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:x", "a b", "2130706433", "0x7f.1", "name:0", "name:99999", "10.0.0.0/8:80", "*"} {
		if _, err := New(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCheckHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"example.com": true, "example.com:443": true, "8.8.8.8": true, "8.8.8.8:80": true, "[2606:4700::1]:80": true, "2606:4700::1": true,
		"127.0.0.1": false, "127.0.0.1:80": false, "[::1]:80": false, "::1": false, "localhost": false, "LOCALHOST.:80": false, "a.localhost": false,
		"2130706433": false, "0x7f000001": false, "0x7f.0.0.1": false, "017700000001": false, "0177.0.0.1": false, "127.1": false, "127.1:80": false, "127.0.0.1.": false,
		"": false, "a.0x": false, "registry.internal": true, "listed.localhost:5000": true, "listed.localhost:5001": false,
	} {
		err := policyOf(t, "listed.localhost:5000").CheckHost(host)
		if (err == nil) != want {
			t.Errorf("%q: %v", host, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--allow-address") {
			t.Errorf("%q: the error does not say how to allow it: %v", host, err)
		}
	}
}

// TestDial connects to a listener of this host by its addresses and names. The refusal is
// the same whether somebody listens.
func TestDial(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		c, err := policyOf(t, "127.0.0.0/8", "0.0.0.0").Dial(t.Context(), "tcp", host+":"+port)
		if err != nil {
			t.Errorf("%s: the control fails: %v", host, err)
			continue
		}
		c.Close()
		var texts []string
		for _, port := range []string{port, "1"} {
			c, err := (*Policy)(nil).Dial(t.Context(), "tcp", host+":"+port)
			if err == nil {
				c.Close()
			}
			forbidden, ok := errors.AsType[*ForbiddenError](err)
			if !ok {
				t.Errorf("%s:%s: %v", host, port, err)
				continue
			}
			texts = append(texts, strings.Replace(forbidden.Error(), ":"+port+" ", " ", 1))
		}
		if len(texts) == 2 && texts[0] != texts[1] {
			t.Errorf("the refusals differ: %q", texts)
		}
	}
	c, err := policyOf(t, "localhost:"+port).Dial(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal("a listed name: ", err)
	}
	c.Close()
}

// TestRedirect follows a redirect from an allowed address to a forbidden one.
func TestRedirect(t *testing.T) {
	t.Parallel()
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inner") }))
	defer inner.Close()
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusFound))
	defer outer.Close()
	for allow, want := range map[string]bool{outer.Listener.Addr().String(): false, "127.0.0.1": true} {
		tr := policyOf(t, allow).Transport(&http.Transport{})
		res, err := (&http.Client{Transport: tr}).Get(outer.URL)
		if err == nil {
			res.Body.Close()
		}
		if _, forbidden := errors.AsType[*ForbiddenError](err); forbidden == want || want != (err == nil) {
			t.Errorf("with %s: %v", allow, err)
		}
		tr.CloseIdleConnections()
	}
}

// TestProxy sends requests by way of a proxy at a loopback address, which is the
// operator's. What the proxy would connect to is checked.
func TestProxy(t *testing.T) {
	t.Parallel()
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = append(asked, r.Host) }))
	defer proxy.Close()
	at, _ := url.Parse(proxy.URL)
	tr := policyOf(t).Transport(&http.Transport{Proxy: http.ProxyURL(at)})
	defer tr.CloseIdleConnections()
	for to, want := range map[string]bool{
		"http://8.8.8.8/": true, "http://unresolvable.invalid/": true,
		"http://10.0.0.1/": false, "http://localhost/": false, "http://2130706433/": false, "http://[::ffff:7f00:1]/": false,
	} {
		asked = nil
		req, err := http.NewRequestWithContext(t.Context(), "GET", to, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != want || (len(asked) == 1) != want {
			t.Errorf("%s: %v, the proxy was asked for %q", to, err, asked)
		}
	}
}

// names is a resolver.
type names map[string]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if n[host] == "" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr(n[host])}, nil
}

func TestNamesOfProxiedRequests(t *testing.T) {
	t.Parallel()
	r := names{"inner.example": "10.0.0.1", "outer.example": "1.1.1.1", "listed.example": "10.0.0.2"}
	for name, want := range map[string]bool{"inner.example": false, "outer.example": true, "listed.example": true, "unknown.example": true} {
		if err := policyOf(t, "listed.example").checkProxied(t.Context(), r, name+":443"); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReason has errors whose texts tell what a user must not learn.
func TestReason(t *testing.T) {
	t.Parallel()
	local := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4567}
	op := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://x/?token=secret", Err: &net.OpError{Op: "read", Net: "tcp", Source: local, Addr: local, Err: err}}
	}
	for want, err := range map[string]error{
		"no address was found for a.example":              op(&net.DNSError{Err: "no such host", Name: "a.example", Server: "10.0.0.2:53", IsNotFound: true}),
		"the address of a.example could not be looked up": op(&net.DNSError{Err: "server misbehaving", Name: "a.example", Server: "10.0.0.2:53"}),
		"the connection was refused":                      op(syscall.ECONNREFUSED),
		"there is no route to it":                         op(syscall.EHOSTUNREACH),
		"the connection broke off":                        op(io.EOF),
		"it took too long":                                op(context.DeadlineExceeded),
		"the connection failed":                           op(errors.New("10.0.0.1 is odd")),
		"it does not speak TLS: first record":             op(tls.RecordHeaderError{Msg: "first record"}),
		(&ForbiddenError{"a.example:80"}).Error():         op(&ForbiddenError{"a.example:80"}),
		"malformed HTTP response":                         &url.Error{Op: "Get", URL: "https://x/?token=secret", Err: errors.New("malformed\x1b\n HTTP response")},
		strings.Repeat("é", 100) + "...":                  errors.New(strings.Repeat("é", 200)),
	} {
		if got := Reason(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := policyOf(t, "127.0.0.1").Dial(ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "registry.internal:5000", "0x7f.1", "[::1]:80", "fe80::1%lo:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := New(text)
		_ = (*Policy)(nil).CheckHost(text) // does not panic
		if err != nil {
			return
		}
		// What is allowed stays as narrow as it was written: the metadata service is never
		// among it by accident.
		meta := netip.MustParseAddrPort("169.254.169.254:80")
		if p.allows(meta, nil) && !strings.Contains(text, "169.254.") && !strings.Contains(strings.ToLower(text), "a9fe") {
			t.Errorf("%q allows %s", text, meta)
		}
	})
}
