package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
)

// looped returns how many clients are at rest in the loops, and how many requests they have.
func (w *fixture) looped() (resting, asking int) {
	w.proxy.loops.mu.Lock()
	defer w.proxy.loops.mu.Unlock()
	for _, l := range w.proxy.loops.list {
		l.mu.Lock()
		for p := l.resting.first; p != nil; p = p.next {
			resting++
		}
		for p := l.asking.first; p != nil; p = p.next {
			asking++
		}
		l.mu.Unlock()
	}
	return resting, asking
}

// atRest returns a connection that has had a response and is at rest in a loop.
func (w *fixture) atRest() *client {
	before, _ := w.looped()
	c := w.kept()
	eventually(w.t, "it is at rest in a loop", func() bool { n, _ := w.looped(); return n > before })
	return c
}

// held is an instance that answers the requests for /hold when it is told to.
func (w *fixture) held(id string) (answer chan<- string) {
	answers := make(chan string)
	w.addRaw(id, func(c net.Conn, r *bufio.Reader) {
		for {
			m := readMessage(r)
			switch {
			case m == "":
				return
			case strings.HasPrefix(m, "GET /hold "):
				a := <-answers
				if io.WriteString(c, a); a == "" {
					return
				}
			default:
				io.WriteString(c, okResponse)
			}
		}
	})
	return answers
}

const holdGet = "GET /hold HTTP/1.1\r\nHost: shop.test\r\n\r\n"

func (w *fixture) awaitAsking(n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprint(n, " requests are in the loops"), func() bool { _, k := w.looped(); return k == n })
}

// A loop has the connection between requests, and while the instance has one.
func TestLoopServes(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	answer := w.held("a")
	c := w.atRest()
	for range 3 {
		c.send(holdGet)
		w.awaitAsking(1)
		if n, _ := w.looped(); n != 0 {
			t.Errorf("%d connections are at rest with a request under way", n)
		}
		answer <- okResponse
		if _, body := c.response("GET"); body != "ok" {
			t.Fatalf("got %q", body)
		}
		eventually(t, "it is at rest again", func() bool { n, k := w.looped(); return n == 1 && k == 0 })
	}
}

var maskRE = regexp.MustCompile(`X-Request-Id: [0-9a-f-]{36}|Date: [^\r]*|X-Forwarded-Port: \d+|shop=\d+|"request_id":"[^"]*"`)

// What a client gets and what an instance gets do not depend on whether a loop serves the
// request, whatever makes it leave the loop.
func TestLoopChangesNothing(t *testing.T) {
	t.Parallel()
	get := func(more string) string { return "GET /x HTTP/1.1\r\nHost: shop.test\r\n" + more + "\r\n" }
	ok := func(more string) []string {
		return []string{"HTTP/1.1 200 OK\r\n" + more + "Content-Length: 5\r\n\r\nhello"}
	}
	large := strings.Repeat("0123456789abcdef", 2048)
	for _, k := range []struct {
		name     string
		request  []string // in pieces
		answer   []string // in pieces; "" ends the connection
		settings slipway.RoutingSettings
	}{
		{"plain", []string{get("")}, ok(""), slipway.RoutingSettings{}},
		{"head", []string{"HEAD /x HTTP/1.1\r\nHost: shop.test\r\n\r\n"}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}, slipway.RoutingSettings{}},
		{"no content", []string{get("")}, []string{"HTTP/1.1 204 No Content\r\n\r\n"}, slipway.RoutingSettings{}},
		{"not modified", []string{get("")}, []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"}, slipway.RoutingSettings{}},
		{"a body in the packet", []string{"POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc"}, ok(""), slipway.RoutingSettings{}},
		{"a body behind it", []string{"POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\na", "bc"}, ok(""), slipway.RoutingSettings{}},
		{"a head in pieces", []string{get("")[:11], get("")[11:]}, ok(""), slipway.RoutingSettings{}},
		{"expect", []string{"POST /x HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"}, ok(""), slipway.RoutingSettings{}},
		{"upgrade", []string{get("Connection: upgrade\r\nUpgrade: websocket\r\n")}, ok(""), slipway.RoutingSettings{}},
		{"refused", []string{"GET /x HTTP/1.1\r\nHost: shop.test\r\nHost: shop.test\r\n\r\n"}, ok(""), slipway.RoutingSettings{}},
		{"no service", []string{"GET /x HTTP/1.1\r\nHost: nobody.test\r\n\r\n"}, ok(""), slipway.RoutingSettings{}},
		{"close", []string{get("Connection: close\r\n")}, ok(""), slipway.RoutingSettings{}},
		{"version 1.0", []string{"GET /x HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n"}, ok(""), slipway.RoutingSettings{}},
		{"the instance closes", []string{get("")}, ok("Connection: close\r\n"), slipway.RoutingSettings{}},
		{"interim", []string{get("")}, append([]string{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"}, ok("")...), slipway.RoutingSettings{}},
		{"chunks", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}, slipway.RoutingSettings{}},
		{"chunks with a trailer", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-End: 1\r\n\r\n"}, slipway.RoutingSettings{}},
		{"chunks to 1.0", []string{"GET /x HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n"}, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}, slipway.RoutingSettings{}},
		{"broken chunks", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno\r\n"}, slipway.RoutingSettings{}},
		{"to the end", []string{get("")}, []string{"HTTP/1.1 200 OK\r\n\r\nhello", ""}, slipway.RoutingSettings{}},
		{"larger than a buffer", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 32768\r\n\r\n" + large}, slipway.RoutingSettings{}},
		{"spliced", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 131072\r\n\r\n" + large + large, large + large}, slipway.RoutingSettings{}},
		{"a head alone", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "he", "llo"}, slipway.RoutingSettings{}},
		{"half a head", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nConte", "nt-Length: 5\r\n\r\nhello"}, slipway.RoutingSettings{}},
		{"surplus", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world"}, slipway.RoutingSettings{}},
		{"too short", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", ""}, slipway.RoutingSettings{}},
		{"nothing", []string{get("")}, []string{""}, slipway.RoutingSettings{}},
		{"no HTTP", []string{get("")}, []string{"220 smtp\r\n\r\n"}, slipway.RoutingSettings{}},
		{"a large head", []string{get("")}, []string{"HTTP/1.1 200 OK\r\nX-Large: " + large + "\r\nContent-Length: 5\r\n\r\nhello"}, slipway.RoutingSettings{}},
		{"forbidden", []string{get("")}, ok(""), slipway.RoutingSettings{MaxHead: 60}},
		{"a short time", []string{get("")}, ok(""), slipway.RoutingSettings{RequestTime: 900 * time.Millisecond}},
		{"sticky", []string{get("")}, ok(""), slipway.RoutingSettings{Sticky: true}},
		{"sticky with a cookie", []string{get("Cookie: slipway-sticky=x\r\n")}, ok(""), slipway.RoutingSettings{Sticky: true}},
		{"two at once", []string{get("") + get("X-Second: 1\r\n")}, ok(""), slipway.RoutingSettings{}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			var outcomes [2]string
			for i, loops := range []int{-1, 1} {
				outcomes[i] = exchangeOnKept(t, loops, k.request, k.answer, k.settings)
			}
			if outcomes[0] != outcomes[1] {
				t.Errorf("with a loop:\n%q\nwithout:\n%q", outcomes[1], outcomes[0])
			}
			if !strings.Contains(outcomes[0], "HTTP/1.1 ") {
				t.Errorf("there is no response: %q", outcomes[0])
			}
		})
	}
}

// exchangeOnKept sends a request on a kept connection, and one on another connection that ends
// after it. It returns what the clients and the instance got.
func exchangeOnKept(t *testing.T, loops int, request, answer []string, s slipway.RoutingSettings) string {
	var log lines
	s.AccessLog = true
	w := with(t, s, func(_ *router.Config, c *Config) { c.Loops, c.Access = loops, &log })
	var mu sync.Mutex
	var seen strings.Builder
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		for {
			m := readMessage(r)
			if m == "" {
				return
			}
			mu.Lock()
			seen.WriteString(m)
			mu.Unlock()
			if !strings.Contains(m, " /x ") {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			for _, piece := range answer {
				if piece == "" {
					return
				}
				io.WriteString(c, piece)
				<-time.After(20 * time.Millisecond) // so that it comes by itself, as a rule
			}
		}
	})
	c := w.kept()
	if loops > 0 {
		eventually(t, "it is at rest", func() bool { n, _ := w.looped(); return n == 1 })
	}
	for i, piece := range request {
		if i > 0 {
			<-time.After(20 * time.Millisecond)
		}
		c.send(piece)
	}
	eventually(t, "it is answered", func() bool { return c.arrived() })
	eventually(t, "nothing is in flight", func() bool { return w.inFlight() == 0 })
	io.WriteString(c, "GET /last HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n") // if it still can
	got, _ := io.ReadAll(c.r)
	w.get("/after")
	eventually(t, "all are logged", func() bool { log.mu.Lock(); defer log.mu.Unlock(); return log.last })
	mu.Lock()
	defer mu.Unlock()
	all := fmt.Sprintf("%s\n%s\n%s", got, seen.String(), log.outcomes())
	return maskRE.ReplaceAllString(all, "")
}

// arrived reports whether something can be read.
func (c *client) arrived() bool {
	return c.r.Buffered() > 0 || leaving(c.TCPConn) != present || look(c.TCPConn) != open
}

func look(c *net.TCPConn) (l lookup) {
	control(c, func(fd int) { l = lookAt(uintptr(fd)) })
	return l
}

// lines is an access log that remembers how requests ended.
type lines struct {
	mu   sync.Mutex
	all  []string
	last bool // that of /after is there
}

var outcomeRE = regexp.MustCompile(`"status":.*"bytes_out":\d+`)

func (l *lines) Add(_ string, _ time.Time, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(outcomeRE.Find(line)))
	l.last = l.last || bytes.Contains(line, []byte(`"/after"`))
}

func (l *lines) outcomes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// A request that its instance does not answer leaves the loop, and is answered.
func TestSlowRequestLeavesTheLoop(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	answer := w.held("a")
	c := w.atRest()
	c.send(holdGet)
	w.awaitAsking(1)
	w.awaitAsking(0)
	answer <- okResponse
	if _, body := c.response("GET"); body != "ok" {
		t.Fatalf("got %q", body)
	}
	eventually(t, "it is at rest in the loop again", func() bool { n, _ := w.looped(); return n == 1 })
}

// A client that leaves while a loop has its request frees the slot of the instance.
func TestClientLeavesALoop(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*client){
		"reset":      func(c *client) { c.SetLinger(0); c.Close() },
		"closed":     func(c *client) { c.Close() },
		"half-ended": func(c *client) { c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, func(_ *router.Config, c *Config) { c.HalfClosed = 10 * time.Millisecond })
			answer := w.held("a")
			defer close(answer)
			c := w.atRest()
			c.send(holdGet)
			w.awaitAsking(1)
			leave(c)
			eventually(t, "its slot is free", func() bool { return w.inFlight() == 0 })
			eventually(t, "it has gone", func() bool { return w.accepted() == 0 })
		})
	}
}

// A client at rest in a loop that leaves, or stays for too long, is let go.
func TestRestInALoopEnds(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.IdleTimeout = 5 * time.Second })
	w.add("a", text("ok"))
	stays, half := w.kept(), w.kept()
	half.CloseWrite()
	half.rest()
	stays.rest()
	for range 100 {
		w.kept().Close()
	}
	eventually(t, "all have gone", func() bool { return w.accepted() == 0 })
	if n, k := w.looped(); n != 0 || k != 0 {
		t.Errorf("the loop has %d clients and %d requests", n, k)
	}
}

// An end of the stream that comes with a request is not told again. It ends the connection when
// the request is answered.
func TestEndWithARequestInALoop(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.IdleTimeout = time.Hour })
	w.held("a")
	for range 5 {
		c := w.atRest()
		control(c.TCPConn, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
		c.send(plainGet)
		c.CloseWrite()
		if _, body := c.response("GET"); body != "ok" {
			t.Fatalf("got %q", body)
		}
		c.rest()
		eventually(t, "it has gone", func() bool { return w.accepted() == 0 })
	}
}

// An instance that ends while a loop has a request to it fails this request, and no other.
func TestInstanceDiesInALoop(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	answer := w.held("a")
	c := w.atRest()
	c.send(holdGet)
	w.awaitAsking(1)
	answer <- "" // ends the connection
	if resp, _ := c.response("GET"); resp.StatusCode != 502 {
		t.Errorf("status %d, want 502: the instance has read the request", resp.StatusCode)
	}
	c.send(plainGet)
	if _, body := c.response("GET"); body != "ok" {
		t.Errorf("then %q", body)
	}
}

// A client that does not read gets all of its response once it does.
func TestSlowClientOfALoop(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	answer := w.held("a")
	c := w.atRest()
	c.send(holdGet)
	w.awaitAsking(1)
	const pieces = 3000
	piece := strings.Repeat("0123456789", 1000)
	answer <- "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("2710\r\n"+piece+"\r\n", pieces) + "0\r\n\r\n"
	w.awaitAsking(0) // the kernel takes no more
	if _, body := c.response("GET"); body != strings.Repeat(piece, pieces) {
		t.Fatalf("got %d bytes, not those that were sent", len(body))
	}
	c.send(plainGet)
	if _, body := c.response("GET"); body != "ok" {
		t.Errorf("then %q", body)
	}
}

// Shutdown ends clients at rest at once, and the loops with their last listener.
func TestShutdownEmptiesTheLoops(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	answer := w.held("a")
	var clients []*client
	for range 10 {
		clients = append(clients, w.atRest())
	}
	busy := w.atRest()
	busy.send(holdGet)
	w.awaitAsking(1)
	w.stop()
	for _, c := range clients {
		if got := c.rest(); got != "" {
			t.Errorf("got %q", got)
		}
	}
	answer <- okResponse
	if resp, body := busy.response("GET"); body != "ok" || !resp.Close {
		t.Errorf("got %q, close %t", body, resp.Close)
	}
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	w.served <- nil // for the fixture's own end
	if n := len(w.proxy.loops.list); n != 0 {
		t.Errorf("%d loops are left", n)
	}
}

// Without loops requests are served, and it is said once.
func TestNoLoop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, err := router.New(router.Config{Log: slog.New(slog.DiscardHandler), Suffix: "test"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Router: r, Dialer: instant{}, Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p.loops.open = func() (*loop, error) { return nil, errors.New("too many open files") }
	p.startLoops()
	p.startLoops()
	if n := strings.Count(out.String(), "requests are served without an event loop"); n != 1 || len(p.loops.list) != 0 {
		t.Errorf("%d loops, and the log is %q", len(p.loops.list), out.String())
	}
	p.endLoops()
	p.endLoops()
}

// An event of a connection that has left says nothing of the one that has its seat.
func TestEventOfAConnectionThatLeft(t *testing.T) {
	t.Parallel()
	w := newFixture(t, func(_ *router.Config, c *Config) { c.Loops = -1 })
	f, err := w.proxy.frontOf(t.Context(), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoop() // nobody runs it
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var reads int
	join := func() *clientConn {
		_, conn := accepted(t)
		t.Cleanup(func() { conn.Close() })
		c := newClient(f, conn, Origin{})
		c.take = func() buffer { reads++; return takeHead() }
		if !l.enter(c) {
			t.Fatal("it does not enter")
		}
		return c
	}
	first := join()
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: first.seat.at, Pad: first.seat.generation}
	l.evict(first.seat)
	second := join()
	if second.seat.at != event.Fd {
		t.Fatal("it has another seat")
	}
	if l.handle(&event); reads != 0 {
		t.Error("it is read for an event of its predecessor")
	}
	event.Pad = second.seat.generation
	if l.handle(&event); reads != 1 || second.seat.queue == nil {
		t.Errorf("%d reads for an event of its own; at rest: %t", reads, second.seat.queue != nil)
	}
}

func TestQueueKeepsTheOrderOfTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var q queue
	var seats [200]seat
	for i := range seats {
		q.add(&seats[i], now.Add(time.Duration(rand.IntN(50))))
	}
	for i := 0; i < len(seats); i += 3 {
		seats[i].leave()
	}
	n, last := 0, (*seat)(nil)
	for p := q.first; p != nil; p = p.next {
		if p.prev != last || last != nil && p.until.Before(last.until) {
			t.Fatalf("the seat %d is not behind the one before", n)
		}
		last = p
		n++
	}
	if want := len(seats) - (len(seats)+2)/3; n != want || q.last != last {
		t.Errorf("%d seats, want %d", n, want)
	}
}

// Clients at rest have no goroutine. The test is not parallel: it counts those of the process.
func TestRestTakesNoGoroutine(t *testing.T) {
	w := newFixture(t, nil)
	w.add("a", text("ok"))
	w.kept()
	const clients = 300
	before, mem := runtime.NumGoroutine(), memoryInUse()
	for range clients {
		w.kept()
	}
	eventually(t, "all are at rest", func() bool { n, _ := w.looped(); return n == clients+1 })
	eventually(t, "they have no goroutines", func() bool { return runtime.NumGoroutine() < before+clients/2 })
	t.Logf("%d bytes for each connection, both ends", (int64(memoryInUse())-int64(mem))/clients)
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// Requests of all kinds, from clients that come and go, on connections to instances that close
// at times: each client gets the response to its own request.
func TestLoopsInChurn(t *testing.T) {
	t.Parallel()
	const clients, each = 16, 400
	w := newFixture(t, nil)
	for _, id := range []string{"a", "b"} {
		w.add(id, http.HandlerFunc(churnAnswer))
	}
	var work sync.WaitGroup
	var requests atomic.Int64
	for n := range clients {
		work.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			for done := 0; done < each && !t.Failed(); {
				done += churnClient(t, w.addr, r, &requests)
			}
		})
	}
	work.Wait()
	eventually(t, "all have gone", func() bool { n, k := w.looped(); return w.accepted() == 0 && n == 0 && k == 0 && w.inFlight() == 0 })
}

// churnAnswer answers with what the request asks for.
func churnAnswer(rw http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	token := r.Header.Get("X-Token") + string(b)
	switch r.URL.Path {
	case "/chunks":
		for range 3 {
			io.WriteString(rw, token)
			rw.(http.Flusher).Flush()
		}
	case "/large":
		io.WriteString(rw, strings.Repeat(token, 4000))
	case "/close":
		rw.Header().Set("Connection", "close")
		io.WriteString(rw, token)
	case "/slow":
		<-time.After(5 * time.Millisecond)
		io.WriteString(rw, token)
	default:
		io.WriteString(rw, token)
	}
}

// churnClient is a client from its connection to its end. It returns how many requests it sent.
func churnClient(t *testing.T, addr string, r *rand.Rand, requests *atomic.Int64) (n int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 1
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	in := bufio.NewReader(conn)
	paths := []string{"/", "/", "/", "/chunks", "/large", "/close", "/slow"}
	for n = 1; ; n++ {
		token := fmt.Sprintf("<%d>", requests.Add(1))
		path, body := paths[r.IntN(len(paths))], strings.Repeat("b", r.IntN(2)*r.IntN(100))
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop.test\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s", path, token, len(body), body)
		cut := len(request)
		if r.IntN(5) == 0 {
			cut = 1 + r.IntN(len(request)-1)
		}
		io.WriteString(conn, request[:cut])
		if r.IntN(30) == 0 {
			return n // it leaves before the response
		}
		io.WriteString(conn, request[cut:])
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return n
		}
		got, err := io.ReadAll(resp.Body)
		want := token + body
		switch path {
		case "/chunks":
			want = strings.Repeat(want, 3)
		case "/large":
			want = strings.Repeat(want, 4000)
		}
		if err != nil || resp.StatusCode != 200 || string(got) != want {
			t.Errorf("%s: status %d, %d bytes %.40q, %v; want %d bytes %.40q", path, resp.StatusCode, len(got), got, err, len(want), want)
			return n
		}
	}
}
