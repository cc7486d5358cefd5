package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/openslipway/slipway/internal/router"
)

// serveH2 serves HTTP/2 with TLS and returns a client of it.
func (w *fixture) serveH2() (c *http.Client, addr string) {
	w.t.Helper()
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	w.t.Cleanup(secure.Close)
	conf := secure.TLS.Clone()
	conf.NextProtos = []string{"h2", "http/1.1"}
	addr = w.serve(router.Listener{TLS: conf})
	return clientOfH2(w.t, addr), addr
}

func clientOfH2(t testing.TB, addr string) *http.Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", addr) },
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute} // protects against hanging; not a limit
}

// What an application gets of a request, and a client of the response, is the same by HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("Cookie"), " ", len(b)))
		switch r.URL.Path {
		case "/trailer":
			rw.Header().Set("Trailer", "X-After")
			io.WriteString(rw, "body")
			rw.(http.Flusher).Flush()
			rw.Header().Set("X-After", r.Trailer.Get("X-Behind"))
		case "/large":
			rw.Write(bytes.Repeat([]byte("x"), 3<<20))
		case "/chunked":
			for range 3 {
				io.WriteString(rw, "piece")
				rw.(http.Flusher).Flush()
			}
		case "/204":
			rw.WriteHeader(204)
		case "/early":
			rw.WriteHeader(103)
		default:
			rw.Write(b)
		}
	}))
	c, _ := w.serveH2()
	for _, tc := range []struct {
		method, path, body string
		chunked            bool
		status             int
		want               string
	}{
		{"GET", "/a?b=c", "", false, 200, ""},
		{"HEAD", "/large", "", false, 200, ""},
		{"POST", "/echo", "hello", false, 200, "hello"},
		{"POST", "/echo", "hello", true, 200, "hello"},
		{"PUT", "/echo", strings.Repeat("y", 1<<20), false, 200, strings.Repeat("y", 1<<20)},
		{"PUT", "/echo", strings.Repeat("z", 1<<20), true, 200, strings.Repeat("z", 1<<20)},
		{"POST", "/empty", "", false, 200, ""},
		{"GET", "/large", "", false, 200, strings.Repeat("x", 3<<20)},
		{"GET", "/chunked", "", false, 200, "piecepiecepiece"},
		{"GET", "/204", "", false, 204, ""},
		{"GET", "/early", "", false, 200, ""},
	} {
		var body io.Reader
		if tc.body != "" {
			body = strings.NewReader(tc.body)
			if tc.chunked {
				body = io.MultiReader(body) // of a length that is not known
			}
		}
		req, err := http.NewRequest(tc.method, "https://"+testHost+tc.path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "a=b; c=d")
		resp, err := c.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.path, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		seen := fmt.Sprint(tc.method, " ", tc.path, " ", testHost, " https a=b; c=d ", len(tc.body))
		if resp.ProtoMajor != 2 || resp.StatusCode != tc.status || string(b) != tc.want || err != nil || resp.Header.Get("X-Seen") != seen {
			t.Errorf("%s %s: %s %s, %d bytes, %v, %q", tc.method, tc.path, resp.Proto, resp.Status, len(b), err, resp.Header.Get("X-Seen"))
		}
	}
	req, err := http.NewRequest("POST", "https://"+testHost+"/trailer", io.MultiReader(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Behind": {"late"}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil || resp.Trailer.Get("X-After") != "late" {
		t.Errorf("%q, %v, trailer %v", b, err, resp.Trailer)
	}
	resp.Body.Close()
	resp, err = c.Get("https://other.test/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("an unknown host: %s", resp.Status)
	}
}

// Many requests at once on one connection, with bodies both ways, are not mixed up.
func TestHTTP2AtOnce(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.apply(func(r *router.Route) { r.MaxConcurrency = 1000 })
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex() // the response begins before the request has ended
		io.Copy(rw, r.Body)
	}))
	c, _ := w.serveH2()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			want := strings.Repeat(string(rune('a'+i%26)), 1000*(i+1))
			resp, err := c.Post("https://"+testHost+"/", "text/plain", strings.NewReader(want))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil {
				t.Errorf("%d: %d bytes of %d, %v", i, len(b), len(want), err)
			}
		})
	}
	all.Wait()
}

// h2spec is the public conformance suite. It runs as a program, so that what it needs is no
// dependency of this module.
const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

func TestH2Spec(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		rw.Write(bytes.Repeat([]byte("x"), 200))
	}))
	w.apply(func(r *router.Route) { r.Keys = append(r.Keys, public("127.0.0.1")...) })
	_, addr := w.serveH2()
	host, port, _ := net.SplitHostPort(addr)
	program := filepath.Join(t.TempDir(), "h2spec")
	install := exec.CommandContext(t.Context(), "go", "install", h2spec)
	install.Env = append(os.Environ(), "GOBIN="+filepath.Dir(program), "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("install h2spec: %v\n%s", err, out)
		}
		t.Skipf("h2spec can't be installed: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-h", host, "-p", port, "-t", "-k", "--timeout", "10").CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte(" 0 failed")) {
		t.Errorf("h2spec: %v", err)
	}
}

// A WebSocket over HTTP/2 (RFC 8441) is one of HTTP/1.1 to the instance.
func TestHTTP2WebSocket(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.PriorHTTP2 = true })
	heads := make(chan string, 1)
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		heads <- readMessage(r)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
		io.Copy(c, r)
	})
	c := w.dial()
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/chat?a=b"}, {":authority", testHost}, {"sec-websocket-version", "13"}, {"sec-websocket-protocol", "chat"}, {"origin", "http://shop.test"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	var got []byte
	status, ends := "", false
	for !ends {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status = f.PseudoValue("status")
			if f.StreamEnded() || strings.Contains(fmt.Sprint(f.RegularFields()), "sec-websocket-accept") {
				t.Errorf("the answer is %v", f)
			}
			fr.WriteData(1, false, frameOf("hello"))
			fr.WriteData(1, false, frameOf("again"))
		case *http2.DataFrame:
			got = append(got, f.Data()...)
			if want := append(frameOf("hello"), frameOf("again")...); len(got) == len(want) {
				if !bytes.Equal(got, want) {
					t.Errorf("the echo is %q", got)
				}
				fr.WriteData(1, true, nil)
			}
			ends = f.StreamEnded()
		}
	}
	head := <-heads
	if status != "200" || !strings.HasPrefix(head, "GET /chat?a=b HTTP/1.1\r\n") || !strings.Contains(head, "Upgrade: websocket\r\n") || !strings.Contains(head, "Sec-WebSocket-Key: ") {
		t.Errorf("status %s, the instance got %q", status, head)
	}
}

// frameOf returns a frame of text, masked with zeros.
func frameOf(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// Without TLS, HTTP/2 is spoken to who begins with it, if that is allowed.
func TestPriorKnowledge(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{true, false} {
		w := newFixture(t, func(_ *router.Config, c *Config) { c.PriorHTTP2 = allowed })
		w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Header.Get("X-Forwarded-Proto")) }))
		tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", w.addr) }}
		tr.Protocols.SetUnencryptedHTTP2(true)
		resp, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Get("http://" + testHost + "/")
		if !allowed {
			if err == nil {
				t.Errorf("not allowed: %s", resp.Status)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); resp.ProtoMajor != 2 || string(b) != "http" || err != nil {
			t.Errorf("%s %q, %v", resp.Proto, b, err)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		if r := ask(t, w.addr, nil, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); r.StatusCode != 200 {
			t.Errorf("HTTP/1.1 beside it: %s", r.Status)
		}
	}
}

// A deployment of the server loses no request of a client of HTTP/2: what it has asked is
// answered, also what the former server gets too late.
func TestYieldHTTP2(t *testing.T) {
	t.Parallel()
	elder, heir := newFixture(t, nil), newFixture(t, nil)
	for _, w := range []*fixture{elder, heir} {
		w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(rw, r.Header.Get("X-Forwarded-Proto"), len(b))
		}))
	}
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	defer secure.Close()
	conf := secure.TLS.Clone()
	conf.NextProtos = []string{"h2", "http/1.1"}
	addr, stop := elder.serveUntil(router.Listener{TLS: conf})
	after := heir.serve(router.Listener{TLS: conf})
	c := clientOfH2(t, addr)
	stopped := make(chan struct{})
	c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		select {
		case <-stopped:
			return net.Dial("tcp", after) // it has the listener now
		default:
			return net.Dial("tcp", addr)
		}
	}
	var all sync.WaitGroup
	until := make(chan struct{})
	for range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-until:
					return
				default:
				}
				resp, err := c.Post("https://"+testHost+"/", "text/plain", strings.NewReader(strings.Repeat("x", i)))
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := fmt.Sprint("https", i); string(b) != want || err != nil || resp.StatusCode != 200 {
					t.Errorf("request %d: %s %q, %v", i, resp.Status, b, err)
				}
			}
		})
	}
	<-time.After(200 * time.Millisecond)
	close(stopped)
	elder.yieldTo(heir)
	stop()
	<-time.After(2 * time.Second)
	close(until)
	all.Wait()
}
