package router

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines is a writer that keeps what it is given.
type lines struct {
	mu     sync.Mutex // guards the rest
	text   strings.Builder
	writes int
	fail   error
	block  chan struct{} // a write waits for it when set
}

func (l *lines) Write(p []byte) (int, error) {
	if l.block != nil {
		<-l.block
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	if l.fail != nil {
		return 0, l.fail
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var out lines
	access := NewAccessLog(&out, slog.New(slog.DiscardHandler))
	w := newWorld(t, func(c *Config) { c.AccessLog = access })
	w.add("a", text("hello"))
	c := w.dial()
	c.send("POST /p\xff\"x?token=secret HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: \"agent\xff\"\r\nContent-Length: 3\r\n\r\nabc")
	c.response("POST")
	c.send("GET /none HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
	c.response("GET")
	ctx, cancel := context.WithCancel(t.Context())
	eventually(t, "both logged", func() bool {
		access.mu.Lock()
		defer access.mu.Unlock()
		return strings.Count(string(access.buf), "\n") == 2
	})
	cancel()
	access.run(ctx)
	if strings.Contains(out.String(), "secret") {
		t.Errorf("the query is in the log: %s", out.String())
	}
	type entry struct {
		Time                            time.Time
		Request, Service, Instance      string
		Client, Method, Host, Path      string
		Agent, Protocol                 string
		Status, Received, Sent, Took_us int
	}
	var got []entry
	for line := range strings.Lines(out.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Time.IsZero() || len(e.Request) != 36 || e.Took_us <= 0 {
			t.Errorf("entry %+v", e)
		}
		e.Time, e.Request, e.Took_us = time.Time{}, "", 0
		got = append(got, e)
	}
	want := []entry{
		{
			Service: "svc", Instance: "a", Client: "127.0.0.1", Method: "POST", Host: "shop.test", Path: "/p\ufffd\"x",
			Agent: "\"agent\ufffd\"", Protocol: "HTTP/1.1", Status: 200, Received: 3, Sent: 5,
		},
		{Client: "127.0.0.1", Method: "GET", Host: "nobody.test", Path: "/none", Protocol: "HTTP/1.1", Status: 404},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func testExchange() *exchange {
	x := &exchange{req: parseRequest("GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\nHost: a\r\n\r\n"), status: 200}
	x.id = newUUID()
	return x
}

func TestAccessLogWritesBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out lines
		l := NewAccessLog(&out, slog.New(slog.DiscardHandler))
		go l.run(t.Context())
		x := testExchange()
		l.add(x, time.Second)
		synctest.Wait()
		if out.String() != "" {
			t.Error("a single line is written at once")
		}
		time.Sleep(logEvery + 1)
		synctest.Wait()
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines after %v, want 1", n, logEvery)
		}
		for n := 0; n < logBatch; n += 300 {
			l.add(x, time.Second)
		}
		synctest.Wait()
		if out.writes != 2 || !strings.HasSuffix(out.String(), "}\n") {
			t.Errorf("%d writes after a full batch, want 2", out.writes)
		}
	})
}

func TestSlowAccessLogDropsLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := lines{block: make(chan struct{})}
		var told lines
		l := NewAccessLog(&out, slog.New(slog.NewTextHandler(&told, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx); close(done) }()
		x := testExchange()
		for range 3 * logMost / 300 {
			l.add(x, time.Second)
		}
		if len(l.buf) > logMost+1000 {
			t.Errorf("the buffer grew to %d bytes", len(l.buf))
		}
		close(out.block)
		cancel()
		<-done
		if !strings.Contains(told.String(), "lines dropped") {
			t.Errorf("nothing was told: %s", told.String())
		}
		if n := strings.Count(out.String(), "\n"); n < 1000 {
			t.Errorf("only %d lines came through", n)
		}
	})
}

func TestFailingAccessLogIsTold(t *testing.T) {
	t.Parallel()
	out := lines{fail: errors.New("disk full")}
	var told lines
	l := NewAccessLog(&out, slog.New(slog.NewTextHandler(&told, nil)))
	l.add(testExchange(), time.Second)
	l.flush(nil)
	if !strings.Contains(told.String(), "disk full") {
		t.Errorf("nothing was told: %s", told.String())
	}
}
