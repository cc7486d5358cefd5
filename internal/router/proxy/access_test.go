package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

// accessLines is an AccessLog that keeps the lines.
type accessLines struct {
	mu    sync.Mutex
	lines []string
}

func (a *accessLines) Add(service string, at time.Time, line []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if service != "svc" || time.Since(at) > time.Hour {
		line = fmt.Appendf(nil, "of %s at %v: %s", service, at, line)
	}
	a.lines = append(a.lines, string(line))
}

// accessEntry is a line of the access log.
type accessEntry struct {
	Time     time.Time
	Client   string
	Host     string
	Method   string
	Path     string
	Protocol string
	Upgrade  string
	Scheme   string
	Route    string
	Instance string
	Status   int
	Outcome  string
	In       int      `json:"bytes_in"`
	Out      int      `json:"bytes_out"`
	Queue    float64  `json:"queue_ms"`
	Upstream *float64 `json:"upstream_ms"`
	Total    float64  `json:"total_ms"`
	ID       string   `json:"request_id"`
	Agent    *string  `json:"user_agent"`
	Referer  *string
}

// take waits for n lines and returns them.
func (a *accessLines) take(t *testing.T, n int) (list []accessEntry) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d lines of the access log", n), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.lines) >= n
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, line := range a.lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var e accessEntry
		if err := d.Decode(&e); err != nil || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
			t.Fatalf("line %q: %v", line, err)
		}
		if e.Total < e.Queue || e.Upstream != nil && e.Total < *e.Upstream || time.Since(e.Time).Abs() > time.Hour || e.Host != "shop.test" {
			t.Errorf("line %q", line)
		}
		list = append(list, e)
	}
	if len(list) != n {
		t.Errorf("%d lines, want %d", len(list), n)
	}
	a.lines = nil
	return list
}

// logged returns a fixture whose service has an access log.
func logged(t *testing.T, s slipway.RoutingSettings, configure func(*router.Config, *Config)) (*fixture, *accessLines) {
	s.AccessLog = true
	log := &accessLines{}
	return with(t, s, func(r *router.Config, c *Config) {
		c.Access = log
		if configure != nil {
			configure(r, c)
		}
	}), log
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	w, log := logged(t, slipway.RoutingSettings{MaxBody: 100}, nil)
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		rw.WriteHeader(201)
		fmt.Fprintf(rw, "%d", len(b))
	}))
	c := w.dial()
	sent := "POST /cart/items?token=hunter2 HTTP/1.1\r\nHost: SHOP.test:80\r\nUser-Agent: test/1 \"x\"\r\nReferer: http://shop.test/a?secret=hunter2\r\nContent-Length: 5\r\n\r\nhello"
	// A second request comes with the first; its bytes are its own.
	next := "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	c.send(sent + next)
	resp, body := c.response("POST")
	if resp.StatusCode != 201 || body != "5" {
		t.Fatalf("%d %q", resp.StatusCode, body)
	}
	c.response("GET")
	// A line comes after its response: those of different connections have no order.
	list := log.take(t, 2)
	chunked := "POST /up HTTP/1.0\r\nHost: shop.test\r\nContent-Length: 50\r\n\r\n" + strings.Repeat("x", 50)
	c2 := w.dial()
	c2.send(chunked)
	got := c2.rest()
	list = append(list, log.take(t, 1)...)
	big := "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 101\r\nConnection: close\r\n\r\n"
	c3 := w.dial()
	c3.send(big)
	if resp, _ := c3.response("POST"); resp.StatusCode != 413 {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
	list = append(list, log.take(t, 1)...)
	first := list[0]
	if first.Method != "POST" || first.Path != "/cart/items" || first.Protocol != "HTTP/1.1" || first.Scheme != "http" || first.Route != "public" ||
		first.Instance != "a" || first.Status != 201 || first.Outcome != "complete" || first.Client != "127.0.0.1" || first.ID != resp.Header.Get("X-Request-Id") && len(first.ID) != 36 ||
		first.Agent == nil || *first.Agent != `test/1 "x"` || first.Referer == nil || *first.Referer != "http://shop.test/a" || first.Upstream == nil || first.Queue != 0 {
		t.Errorf("line %+v", first)
	}
	for i, in := range []int{len(sent), len(next), len(chunked), len(big)} {
		if list[i].In != in {
			t.Errorf("request %d came with %d bytes, want %d", i, list[i].In, in)
		}
	}
	if list[1].Agent != nil || list[1].Referer != nil {
		t.Errorf("line without fields: %+v", list[1])
	}
	if list[2].Protocol != "HTTP/1.0" || list[2].Out != len(got) {
		t.Errorf("%d bytes were sent, want %d: %+v", list[2].Out, len(got), list[2])
	}
	if list[3].Status != 413 || list[3].Instance != "" || list[3].Upstream != nil {
		t.Errorf("a refused request: %+v", list[3])
	}
}

// What is off writes nothing, and what belongs to no service either.
func TestAccessLogIsOff(t *testing.T) {
	t.Parallel()
	log := &accessLines{}
	w := newFixture(t, func(_ *router.Config, c *Config) { c.Access = log })
	w.add("a", text("ok"))
	w.get("/")
	eventually(t, "counted", func() bool { return w.counter("slipway_router_requests_total", "2xx") == 1 })
	w.apply(func(r *router.Route) { r.Settings = slipway.RoutingSettings{AccessLog: true} })
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\nrubbish\r\n\r\n")
	c.rest()
	w.get("/on")
	if e := log.take(t, 1)[0]; e.Path != "/on" {
		t.Errorf("line %+v", e)
	}
}

// Requests that wait, and those whose clients leave.
func TestAccessLogOfWaiting(t *testing.T) {
	t.Parallel()
	w, log := logged(t, slipway.RoutingSettings{}, nil)
	release := make(chan struct{})
	w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		if r.URL.Path == "/cut" {
			rw.Header().Set("Content-Length", "10")
			io.WriteString(rw, "half")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	w.apply(func(r *router.Route) { r.MaxConcurrency = 1 })
	slow := w.dial()
	slow.send("GET /slow HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	eventually(t, "one in flight", func() bool { return w.inFlight() == 1 })
	leaves := w.dial()
	leaves.send("GET /leaves HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	eventually(t, "one waits", func() bool { return w.waiting() == 1 })
	leaves.SetLinger(0)
	leaves.Close()
	if e := log.take(t, 1)[0]; e.Path != "/leaves" || e.Status != router.StatusGone || e.Outcome != "gone" || e.Instance != "" || e.Queue <= 0 || e.Out != 0 {
		t.Errorf("a client that left: %+v", e)
	}
	waits := w.dial()
	waits.send("GET /waits HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	eventually(t, "one waits", func() bool { return w.waiting() == 1 })
	close(release)
	waits.response("GET")
	for _, e := range log.take(t, 2) {
		if e.Outcome != "complete" || (e.Queue > 0) != (e.Path == "/waits") || e.Upstream == nil || e.Path == "/waits" && e.Queue+*e.Upstream > e.Total+0.01 {
			t.Errorf("line %+v", e)
		}
	}
	if n := w.counter("slipway_router_queue_duration_seconds_count", "svc"); n != 3 {
		t.Errorf("%v requests in the histogram of the queue, want 3", n)
	}
	if n := w.counter("slipway_router_upstream_duration_seconds_count", "svc"); n != 2 {
		t.Errorf("%v requests in the histogram of instances, want 2", n)
	}
	cut := w.dial()
	cut.send("GET /cut HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	io.ReadAll(cut)
	if e := log.take(t, 1)[0]; e.Status != 200 || e.Outcome != "cut" {
		t.Errorf("a response that broke off: %+v", e)
	}
}

// A WebSocket has a line when it ends, with all of its bytes.
func TestAccessLogOfTunnel(t *testing.T) {
	t.Parallel()
	w, log := logged(t, slipway.RoutingSettings{}, func(_ *router.Config, c *Config) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	w.addRaw("a", echo)
	c := w.dial()
	head := strings.Replace(upgrade, "Connection", "X-Forwarded-For: 192.0.2.1, 192.0.2.7, 127.0.0.2\r\nConnection", 1)
	c.send(head)
	resp := c.head("GET")
	big := strings.Repeat("0123456789abcdef", 1<<12)
	go io.WriteString(c, big)
	c.expect(big)
	// Connections take the memory of those that end, which the line must not read.
	for range 10 {
		other := w.dial()
		other.send(strings.ReplaceAll(head, "/chat", "/xxxx"))
		other.head("GET")
		defer other.Close()
	}
	c.CloseWrite()
	rest := c.rest()
	e := log.take(t, 1)[0]
	var sent bytes.Buffer
	resp.Write(&sent)
	if e.Status != 101 || e.Upgrade != "websocket" || e.Path != "/chat" || e.Client != "192.0.2.7" || e.In != len(head)+len(big) || rest != "bye" ||
		e.Out < len(big)+len(rest)+50 || e.Out > len(big)+len(rest)+500 || e.Outcome != "complete" {
		t.Errorf("line %+v", e)
	}
}

// Whatever bytes come, a line is one JSON object of bounded length.
func FuzzAccessString(f *testing.F) {
	for _, s := range []string{"", "/a b", "\x00\x1f\x7f\"\\", "é\u2028\u202e\U000e0001\U0001f600", "\xff\xc3(", "a\u0300"} {
		f.Add([]byte(s), 100)
	}
	f.Fuzz(func(t *testing.T, value []byte, limit int) {
		limit = min(max(limit, 0), 1000)
		got := appendJSON(nil, value, limit)
		var s string
		if err := json.Unmarshal(got, &s); err != nil || !utf8.Valid(got) {
			t.Fatalf("%q became %q: %v", value, got, err)
		}
		if len(got) > limit+20 {
			t.Errorf("%d bytes with a limit of %d", len(got), limit)
		}
		if whole := strings.ToValidUTF8(string(value), "\uFFFD"); 12*len(value) < limit && len(whole) == len(value) && s != whole {
			t.Errorf("%q became %q", value, s)
		}
		for _, r := range string(got) {
			if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x202e || r == 0x85 {
				t.Errorf("%q became %q with %U", value, got, r)
			}
		}
	})
}

// The longest request makes a line that the log takes.
func TestAccessLineIsBounded(t *testing.T) {
	t.Parallel()
	w, log := logged(t, slipway.RoutingSettings{}, nil)
	w.add("a", text("ok"))
	c := w.dial()
	c.send("GET /" + strings.Repeat("\"", 20<<10) + " HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: " + strings.Repeat("\\", 10<<10) +
		"\r\nReferer: http://" + strings.Repeat("\xc2\x85", 10<<10) + "\r\n\r\n")
	c.response("GET")
	eventually(t, "a line", func() bool { log.mu.Lock(); defer log.mu.Unlock(); return len(log.lines) == 1 })
	if n := len(log.lines[0]); n > 6<<10 {
		t.Errorf("the line has %d bytes", n)
	}
	if e := log.take(t, 1)[0]; !strings.HasSuffix(e.Path, "\"…") {
		t.Errorf("path %q", e.Path)
	}
}

// BenchmarkAccess measures what the access log and the counts add to a request.
func BenchmarkAccess(b *testing.B) {
	w := newFixture(b, func(_ *router.Config, c *Config) { c.Access = nowhere{} })
	w.addRaw("a", func(net.Conn, *bufio.Reader) {})
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("log=%v", on), func(b *testing.B) {
			w.apply(func(r *router.Route) { r.Settings.AccessLog = on })
			c := &clientConn{front: w.proxy.newFront(router.Listener{}), socket: &socket{}, peer: peer{addr: netip.MustParseAddr("192.0.2.7")}}
			x := takeExchange(c)
			x.req.Parse([]byte("GET /path/of/usual/length?query HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nReferer: https://shop.test/start\r\n\r\n"))
			x.setID()
			x.service = c.find(x.req.Host)
			x.settings, x.start, x.status = x.service.Settings(), time.Now(), 200
			b.ReportAllocs()
			for b.Loop() {
				x.count()
			}
		})
	}
}

type nowhere struct{}

func (nowhere) Add(string, time.Time, []byte) {}
