package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/router"
)

// tracked is an instance that may be removed once it has nothing in flight.
type tracked struct {
	*httptest.Server
	busy atomic.Int64
	over *atomic.Int64 // counts requests above the limit
}

const churnLimit = 5

func newTracked(over *atomic.Int64) *tracked {
	i := &tracked{over: over}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.busy.Add(1) > churnLimit {
			i.over.Add(1)
		}
		defer i.busy.Add(-1)
		io.Copy(w, r.Body)
		io.WriteString(w, "ok")
	}))
	return i
}

// Ten thousand requests while instances start, drain and end: each request is
// answered, none reaches an instance that is gone, and no instance exceeds its
// limit.
func TestNoRequestIsLostInChurn(t *testing.T) {
	t.Parallel()
	const requests, clients = 10_000, 20
	w := newFixture(t, func(c *router.Config, _ *Config) { c.QueueLeast = clients })
	w.apply(func(r *router.Route) { r.MaxConcurrency = churnLimit })
	var over atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	churn.Go(func() { w.churn(ctx, &over) })
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	var work sync.WaitGroup
	for n := range clients {
		work.Go(func() {
			for k := range requests / clients {
				body := strings.Repeat("x", (n+k)%100)
				req, _ := http.NewRequest("POST", "http://"+w.addr, strings.NewReader(body))
				req.Host = testHost
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Errorf("request %d of client %d: %v", k, n, err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(b) != body+"ok" {
					t.Errorf("request %d of client %d: %d %q, %v", k, n, resp.StatusCode, b, err)
					return
				}
			}
		})
	}
	work.Wait()
	cancel()
	churn.Wait()
	if over.Load() > 0 {
		t.Errorf("%d requests above an instance's limit", over.Load())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dials) < 10 {
		t.Errorf("only %d instances had requests: the churn tried nothing", len(w.dials))
	}
}

// churn replaces instances until ctx ends: it adds one, drains the oldest and
// removes it. At times there is none at all.
func (w *fixture) churn(ctx context.Context, over *atomic.Int64) {
	instances := map[string]*tracked{}
	defer func() {
		for _, i := range instances {
			i.Close()
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		id := fmt.Sprint("i", n)
		instances[id] = newTracked(over)
		w.addAt(id, instances[id].Listener.Addr().String())
		if n%7 == 0 {
			continue // one more from time to time
		}
		for range 1 + n%7/3 {
			w.retire(instances)
		}
	}
}

// retire drains the oldest instance and removes it once it is idle.
func (w *fixture) retire(instances map[string]*tracked) {
	var id string
	w.apply(func(r *router.Route) {
		for n := range r.Instances {
			if r.Instances[n].Open {
				r.Instances[n].Open, r.Instances[n].Draining = false, true
				id = r.Instances[n].ID
				return
			}
		}
	})
	if id == "" {
		return
	}
	eventually(w.t, id+" has drained", func() bool { return !w.busy(id) })
	if n := instances[id].busy.Load(); n > 0 {
		// Its handler may still be returning; it must not be serving.
		eventually(w.t, id+" is idle", func() bool { return instances[id].busy.Load() == 0 })
	}
	w.apply(func(r *router.Route) {
		for n, e := range r.Instances {
			if e.ID == id {
				r.Instances = append(r.Instances[:n:n], r.Instances[n+1:]...)
				return
			}
		}
	})
	instances[id].Close()
	delete(instances, id)
}

// Scaling in lets requests finish, however long they take.
func TestDrainingInstanceFinishesItsRequests(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	release := make(chan struct{})
	w.add("old", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		io.WriteString(rw, "begin ")
		rw.(http.Flusher).Flush()
		<-release
		io.WriteString(rw, "end")
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	resp := c.head("GET")
	w.apply(func(r *router.Route) { r.Instances[0].Open, r.Instances[0].Draining = false, true })
	w.add("new", text("new"))
	for range 5 {
		if _, body := w.get("/"); body != "new" {
			t.Errorf("a new request got %q", body)
		}
	}
	if !w.busy("old") {
		t.Error("the draining instance counts as drained with a request in flight")
	}
	close(release)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "begin end" {
		t.Errorf("the old request got %q, %v", b, err)
	}
	eventually(t, "drained", func() bool { return !w.busy("old") })
	w.apply(func(r *router.Route) { r.Instances = r.Instances[1:] })
	eventually(t, "connections closed", func() bool { return w.connections("old") == 0 })
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("lets requests finish", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, nil)
		release := make(chan struct{})
		w.add("a", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			<-release
			io.WriteString(rw, "done")
		}))
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		eventually(t, "in flight", func() bool { return w.inFlight() == 1 })
		w.stop()
		eventually(t, "listener closed", func() bool {
			c, err := http.Get("http://" + w.addr)
			if err == nil {
				c.Body.Close()
			}
			return err != nil
		})
		close(release)
		if _, body := c.response("GET"); body != "done" {
			t.Errorf("got %q", body)
		}
	})
	t.Run("cuts what does not", func(t *testing.T) {
		t.Parallel()
		w := newFixture(t, func(_ *router.Config, c *Config) { c.ShutdownTimeout = 50 * time.Millisecond })
		w.addRaw("a", echo)
		tunnel := w.dial()
		tunnel.send(upgrade)
		tunnel.head("GET")
		w.stop()
		if rest := tunnel.rest(); rest != string(goingAway) {
			t.Errorf("got %q, want a close frame and the end", rest)
		}
	})
}
