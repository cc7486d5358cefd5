package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

const testHost = "shop.test"

// fixture is a router on a real socket with one service, which has the
// instances that were added.
type fixture struct {
	t      testing.TB
	router *router.Router
	proxy  *Proxy
	addr   string // of the router
	stop   context.CancelFunc
	served chan error

	loop    sync.Mutex // stands for the router's loading loop; guards route and version
	route   router.Route
	version int64

	mu      sync.Mutex // guards the rest
	addrs   map[string]string
	dialErr map[string]error
	dials   map[string]int
	conns   map[string]int  // open connections to each instance
	retired map[string]bool // instances without requests, as of the last apply
	nudges  int

	bare     bool // instances' connections are not wrapped: they are not counted either
	lateEnds bool // the end of a connection is seen only after the next write
}

// newFixture starts a router; configure may be nil.
func newFixture(t testing.TB, configure func(*router.Config, *Config)) *fixture {
	w := &fixture{
		t: t, addrs: map[string]string{}, dialErr: map[string]error{}, dials: map[string]int{},
		conns: map[string]int{}, retired: map[string]bool{}, served: make(chan error, 1),
	}
	log := slog.New(slog.DiscardHandler)
	rcfg := router.Config{Log: log, Suffix: "test", OnWait: func(string) { w.mu.Lock(); w.nudges++; w.mu.Unlock() }}
	cfg := Config{Dialer: w, Log: log}
	if configure != nil {
		configure(&rcfg, &cfg)
	}
	var err error
	if w.router, err = router.New(rcfg); err != nil {
		t.Fatal(err)
	}
	w.router.Attach(w)
	cfg.Router = w.router
	if w.proxy, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	w.route = router.Route{Service: "svc", Name: "shop", Keys: public(testHost), MaxConcurrency: 100, Settings: slipway.RoutingSettings{SlowStart: -1}}
	w.apply(func(*router.Route) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() { w.served <- w.proxy.Serve(ctx, l, router.Listener{}) }()
	t.Cleanup(func() {
		stop()
		if err := <-w.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return w
}

// Dial connects to the fake of an instance.
func (w *fixture) Dial(ctx context.Context, id string, _ int) (net.Conn, error) {
	w.mu.Lock()
	w.dials[id]++
	addr, err := w.addrs[id], w.dialErr[id]
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if addr == "" {
		return nil, errors.New("no such instance")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if w.bare {
		return c, nil
	}
	w.count(id, 1)
	cc := &countedConn{TCPConn: c.(*net.TCPConn), closed: func() { w.count(id, -1) }, late: w.lateEnds, wrote: make(chan struct{}, 1), ended: make(chan struct{})}
	if w.lateEnds {
		return cc, nil
	}
	return directConn{cc}, nil
}

// directConn is a countedConn whose TCP connection may be used by its descriptor.
type directConn struct{ *countedConn }

func (c directConn) TCP() *net.TCPConn { return c.TCPConn }

func (w *fixture) count(id string, d int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[id] += d
}

func (w *fixture) connections(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns[id]
}

type countedConn struct {
	*net.TCPConn
	once   sync.Once
	closed func()

	late  bool          // see fixture.lateEnds
	wrote chan struct{} // gets a value with each write; only if late
	ended chan struct{} // closed by Close
}

// Read hides the end of the stream until something is written: the instance has
// closed the connection, and the router learns it too late.
func (c *countedConn) Read(p []byte) (int, error) {
	select {
	case <-c.wrote: // a write before this read
	default:
	}
	n, err := c.TCPConn.Read(p)
	if err == io.EOF && c.late {
		select {
		case <-c.wrote:
		case <-c.ended:
		}
	}
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	select {
	case c.wrote <- struct{}{}:
	default:
	}
	return n, err
}

func (c *countedConn) Close() error {
	c.once.Do(func() { close(c.ended); c.closed() })
	return c.TCPConn.Close()
}

// apply changes the service.
func (w *fixture) apply(change func(*router.Route)) {
	w.loop.Lock()
	defer w.loop.Unlock()
	change(&w.route)
	rt := w.route
	rt.Instances = append([]router.Endpoint(nil), w.route.Instances...)
	w.version++
	w.mu.Lock()
	clear(w.retired)
	w.mu.Unlock()
	w.router.Apply([]router.Route{rt}, w.version)
}

// add adds an instance served by h.
func (w *fixture) add(id string, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	w.addAt(id, s.Listener.Addr().String())
	return s
}

func (w *fixture) addAt(id, addr string) {
	w.mu.Lock()
	w.addrs[id] = addr
	w.mu.Unlock()
	w.apply(func(r *router.Route) {
		r.Instances = append(r.Instances, router.Endpoint{ID: id, Release: "rel", Port: 8080, Open: true})
	})
}

// addRaw adds an instance whose connections are passed to serve.
func (w *fixture) addRaw(id string, serve func(c net.Conn, r *bufio.Reader)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	var conns sync.WaitGroup
	w.t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				serve(c, bufio.NewReader(c))
			})
		}
	})
	w.addAt(id, l.Addr().String())
}

// addScript adds an instance that reads one whole request on each connection,
// writes answer and closes. The requests are sent to the returned channel.
func (w *fixture) addScript(id, answer string) <-chan string {
	got := make(chan string, 100)
	w.addRaw(id, func(c net.Conn, r *bufio.Reader) {
		got <- readMessage(r)
		io.WriteString(c, answer)
	})
	return got
}

// readMessage reads a request with its framing.
func readMessage(r *bufio.Reader) string {
	var b strings.Builder
	chunked, length := false, 0
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String()
		}
		lower := strings.ToLower(line)
		if lower == "transfer-encoding: chunked\r\n" {
			chunked = true
		}
		fmt.Sscanf(lower, "content-length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	if chunked {
		for last := false; ; {
			line, err := r.ReadString('\n')
			b.WriteString(line)
			if err != nil || last && line == "\r\n" {
				return b.String()
			}
			last = last || line == "0\r\n"
		}
	}
	body := make([]byte, length)
	n, _ := io.ReadFull(r, body)
	b.Write(body[:n])
	return b.String()
}

// accepted returns the two ends of a TCP connection: a client's, and the accepted one.
func accepted(t testing.TB) (client *net.TCPConn, conn net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), conn
}

// dial connects to the router.
func (w *fixture) dial() *client {
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	return &client{TCPConn: c.(*net.TCPConn), t: w.t, r: bufio.NewReader(c)}
}

// client is a raw connection to the router.
type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// head reads the head of a response.
func (c *client) head(method string) *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	return resp
}

// response reads a response with its body.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp := c.head(method)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read body after %q: %v", b, err)
	}
	return resp, string(b)
}

// rest reads until the router closes.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("read rest after %q: %v", b, err)
	}
	return string(b)
}

// get sends a GET request on a connection of its own.
func (w *fixture) get(path string) (*http.Response, string) {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	c.send("GET " + path + " HTTP/1.1\r\nHost: " + testHost + "\r\nConnection: close\r\n\r\n")
	return c.response("GET")
}

// eventually waits for a condition, which must hold within a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// busy reports whether the router has requests on the instance, or may get some.
// It applies the route again: the router then retires the idle instances.
func (w *fixture) busy(id string) bool {
	w.apply(func(*router.Route) {})
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.retired[id]
}

// Retire implements router.Pool.
func (w *fixture) Retire(t *router.Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retired[t.Instance] = true
}

// Leave implements router.Pool.
func (w *fixture) Leave(*router.Target) {}

// public returns the keys of hosts at the public listener.
func public(hosts ...string) []router.RouteKey {
	list := make([]router.RouteKey, len(hosts))
	for i, h := range hosts {
		list[i] = router.RouteKey{Host: h}
	}
	return list
}

func (w *fixture) inFlight() int {
	f, _, _, _ := w.router.Demand("svc")
	return f
}

func (w *fixture) waiting() int {
	_, q, _, _ := w.router.Demand("svc")
	return q
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) })
}
