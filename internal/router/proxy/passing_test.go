package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/router"
)

// yieldTo has a router pass its connections to another one, as to another process: the
// receiver has a descriptor of its own.
func (w *fixture) yieldTo(heir *fixture) (passed *atomic.Int32) {
	passed = &atomic.Int32{}
	w.proxy.Yield(func(c *net.TCPConn, from Origin, received []byte) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		fd := -1
		if cerr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
			return cerr
		}
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "client")
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			return err
		}
		passed.Add(1)
		return heir.proxy.Resume(w.t.Context(), conn, from, append([]byte(nil), received...))
	})
	w.router.Seal()
	w.stop()
	return passed
}

// accepted returns how many clients' connections the router serves.
func (w *fixture) accepted() int {
	f, err := w.proxy.frontOf(w.t.Context(), Origin{})
	if err != nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients)
}

// Connections go on at the next process without a client noticing: those at rest, one
// that has sent nothing yet, one whose request waits for an instance, and one whose
// response is under way, once that has ended.
func TestYield(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan bool, 1), make(chan bool)
	elder := newFixture(t, nil)
	elder.apply(func(r *router.Route) { r.MaxConcurrency = 1 })
	elder.add("a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- true
			<-finish
		}
		io.WriteString(w, "elder")
	}))
	heir := newFixture(t, nil)
	heir.add("b", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, "heir "+string(b))
	}))
	const get = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	expect := func(c *client, want string) {
		t.Helper()
		resp, body := c.response("GET")
		if body != want || resp.Close {
			t.Errorf("%q, closed %t; want %q on a connection that stays", body, resp.Close, want)
		}
	}
	idle, fresh, busy, waiting, half := elder.dial(), elder.dial(), elder.dial(), elder.dial(), elder.dial()
	idle.send(get)
	expect(idle, "elder")
	busy.send(strings.Replace(get, "/", "/slow", 1))
	<-begun
	// Its body comes with the head in part, and a request behind it.
	waiting.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nab")
	eventually(t, "a request waits", func() bool { return elder.waiting() == 1 })
	half.send("GET / HTT")
	// Here the listener's queue is not the heir's, too.
	eventually(t, "all are accepted", func() bool { return elder.accepted() == 5 })

	passed := elder.yieldTo(heir)
	waiting.send("cde" + get)
	expect(waiting, "heir abcde")
	expect(waiting, "heir ")
	for range 2 {
		idle.send(get)
		expect(idle, "heir ")
	}
	fresh.send(get)
	expect(fresh, "heir ")
	half.send("P/1.1\r\nHost: shop.test\r\n\r\n")
	expect(half, "heir ")
	if loads := elder.router.InFlight(); len(loads) != 1 || loads["a"] != 1 {
		t.Errorf("the elder has %v in flight", loads)
	}
	finish <- true
	expect(busy, "elder")
	busy.send(get)
	expect(busy, "heir ")
	if n := passed.Load(); n != 5 {
		t.Errorf("%d connections were passed on", n)
	}
	if err := <-elder.served; err != nil {
		t.Error(err)
	}
	elder.served <- nil // for the end of the test
}

// A client that sends one request after the other on a connection sees no failure, however
// often its router is replaced.
func TestYieldUnderLoad(t *testing.T) {
	t.Parallel()
	const routers, clients, each = 6, 8, 400
	make1 := func() *fixture {
		w := newFixture(t, nil)
		w.add("a", text("hello"))
		return w
	}
	first := make1()
	var answered atomic.Int64
	failed := make(chan error, clients)
	for range clients {
		conn, err := net.Dial("tcp", first.addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			for range each {
				if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); err != nil {
					failed <- err
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					failed <- err
					return
				}
				io.Copy(io.Discard, resp.Body)
				answered.Add(1)
			}
			failed <- nil
		}()
	}
	eventually(t, "all are accepted", func() bool { return first.accepted() == clients })
	for elder, n := first, 1; n < routers; n++ {
		eventually(t, "requests are answered", func() bool { return answered.Load() >= int64(n*clients*each/routers) })
		heir := make1()
		elder.yieldTo(heir)
		elder = heir
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Errorf("after %d requests: %v", answered.Load(), err)
		}
	}
}

// A connection for a listener that is not served is given back.
func TestResumeNowhere(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := w.proxy.Resume(ctx, a, Origin{Listener: "vpce-1"}, nil); err == nil {
		t.Error("it is served")
	}
}

// A connection that is passed on early waits until requests may be served.
func TestResumeBeforeStart(t *testing.T) {
	t.Parallel()
	start := make(chan struct{})
	w := newFixture(t, func(_ *router.Config, c *Config) { c.Start = start })
	w.add("a", text("hello"))
	client, passed := accepted(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	const get = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	if err := w.proxy.Resume(ctx, passed, Origin{}, []byte(get)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("before the start: %v", err)
	}
	close(start)
	if err := w.proxy.Resume(t.Context(), passed, Origin{}, []byte(get)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}
