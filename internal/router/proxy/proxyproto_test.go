package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/openslipway/slipway/internal/router"
)

// header2 returns a header of version 2.
func header2(t testing.TB, command proxyproto.ProtocolVersionAndCommand, from, to string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	h.Command = command
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A trusted proxy tells by a header who its client is, in front of a request or of TLS. Who is
// not trusted can't, and a trusted one must.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) {
		c.Trusted, c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, true
	})
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Port"))
	}))
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	withTLS := w.serve(router.Listener{TLS: secure.TLS})
	_, port, _ := net.SplitHostPort(w.addr)
	const proxied = "192.0.2.7 443"
	for name, tc := range map[string]struct {
		from, header string
		want         string // body; "" for none
	}{
		"version 1":           {"127.0.0.2", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n", proxied},
		"version 1, IPv6":     {"127.0.0.2", "PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", "2001:db8::7 443"},
		"version 1, unknown":  {"127.0.0.2", "PROXY UNKNOWN\r\n", "127.0.0.2 " + port},
		"version 2":           {"127.0.0.2", header2(t, proxyproto.PROXY, "192.0.2.7:5000", "192.0.2.1:443"), proxied},
		"version 2, local":    {"127.0.0.2", header2(t, proxyproto.LOCAL, "192.0.2.7:5000", "192.0.2.1:443"), "127.0.0.2 " + port},
		"none":                {"127.0.0.2", "", ""},
		"malformed":           {"127.0.0.2", "PROXY TCP4 192.0.2.7\r\n", ""},
		"endless":             {"127.0.0.2", "PROXY TCP4 " + strings.Repeat("1", 200), ""},
		"long version 2":      {"127.0.0.2", string(proxyproto.SIGV2) + "\x21\x11\xff\xff" + strings.Repeat("x", 1000), ""},
		"of a stranger":       {"127.0.0.1", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n", "400"},
		"a stranger has none": {"127.0.0.1", "", "127.0.0.1 " + port},
	} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tc.from)}}
		for _, addr := range []string{w.addr, withTLS} {
			if addr == withTLS && (tc.want == "" || tc.from == "127.0.0.1") {
				continue
			}
			c, err := d.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
			io.WriteString(c, tc.header)
			want, client := tc.want, c
			if addr == withTLS {
				client = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				_, secured, _ := net.SplitHostPort(withTLS)
				want = strings.Replace(want, port, secured, 1)
			}
			io.WriteString(client, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(client), nil)
			got := ""
			if err == nil {
				b, _ := io.ReadAll(resp.Body)
				if got = string(b); resp.StatusCode != 200 {
					got = resp.Status[:3]
				}
			}
			if got != want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, want)
			}
			c.Close()
		}
	}
}

// Whatever a proxy sends, no byte behind a header is taken with it, in whatever pieces it comes.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(header2(f, proxyproto.PROXY, "192.0.2.7:5000", "192.0.2.1:443")))
	f.Fuzz(func(t *testing.T, in []byte) {
		const rest = "GET / HTTP/1.1\r\n"
		r := strings.NewReader(string(in) + rest)
		b, err := proxyHeader(iotest.OneByteReader(r))
		if err != nil {
			return
		}
		if !bytes.HasPrefix([]byte(string(in)+rest), b) || len(in)+len(rest)-r.Len() != len(b) {
			t.Fatalf("%q is read of %q, and %d bytes are left", b, in, r.Len())
		}
		if len(b) > 16+maxProxyBytes {
			t.Fatalf("%d bytes are read", len(b))
		}
	})
}
