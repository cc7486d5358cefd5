package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// steadyClients send requests to a service until they are stopped: to each instance
// from inside its own network namespace, past the router, and to the service through
// the router.
type steadyClients struct {
	t    *testing.T
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex     // guards what follows
	direct map[string]int // answers of instances, by boot id
	routed map[string]int // answers through the router
	down   bool           // no router serves, or one is about to end
	missed int            // requests that failed for that
	wrong  []string
}

// newSteadyClients starts clients of the service loaded.
func newSteadyClients(t *testing.T, e *fixture) *steadyClients {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &steadyClients{t: t, stop: stop, direct: map[string]int{}, routed: map[string]int{}}
	t.Cleanup(func() { stop(); c.wg.Wait() })
	for _, p := range e.processes {
		client := clientInside(t, p)
		first, err := askInside(ctx, client)
		if err != nil {
			t.Fatalf("process %d: %v", p.Pid, err)
		}
		if slices.Contains(e.bootIDs, first.Boot) {
			c.wg.Go(func() { c.askDirectly(ctx, client) })
		}
	}
	c.wg.Go(func() { c.askRouter(ctx, e) })
	harness.Eventually(t, "two instances answer directly", func() (bool, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.direct) == 2 && len(c.routed) > 0, fmt.Sprint(c.direct, c.routed)
	})
	return c
}

// clientInside returns a client inside the network namespace of a process.
func clientInside(t *testing.T, p harness.Process) *http.Client {
	t.Helper()
	inside := harness.NetworkOf(t, p)
	return &http.Client{Timeout: harness.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return inside.Dial(ctx, "tcp", "127.0.0.1:8080")
		},
	}}
}

// askInside sends a request to the instance that a client is inside of.
func askInside(ctx context.Context, client *http.Client) (r harness.Reply, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://inside/", nil)
	if err != nil {
		return r, err
	}
	answer, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer answer.Body.Close()
	return r, json.NewDecoder(answer.Body).Decode(&r)
}

// askDirectly sends one request after the other to an instance. Every one must
// be answered: an instance serves whether or not a server runs.
func (c *steadyClients) askDirectly(ctx context.Context, client *http.Client) {
	for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		r, err := askInside(ctx, client)
		if ctx.Err() != nil {
			return
		}
		c.note(func() {
			if err != nil {
				c.wrong = append(c.wrong, "an instance does not answer: "+err.Error())
			}
			c.direct[r.Boot]++
		})
	}
}

// askRouter sends one request after the other to the service. Requests may fail
// while no router runs, and no others.
func (c *steadyClients) askRouter(ctx context.Context, e *fixture) {
	for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		var down bool
		c.note(func() { down = c.down })
		r, err := e.Ask(e.loaded, "/")
		if ctx.Err() != nil {
			return
		}
		c.note(func() {
			switch {
			case err == nil:
				c.routed[r.Boot]++
			case down || c.down:
				c.missed++
			default:
				c.wrong = append(c.wrong, "the router does not answer: "+err.Error())
			}
		})
	}
}

// routerDown says whether requests through the router may fail.
func (c *steadyClients) routerDown(yes bool) { c.note(func() { c.down = yes }) }

func (c *steadyClients) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// assertServedThroughout stops the clients and checks that the same instances
// answered all the time.
func (c *steadyClients) assertServedThroughout() {
	c.t.Helper()
	c.stop()
	c.wg.Wait()
	for _, w := range c.wrong {
		c.t.Error(w)
	}
	if len(c.direct) != 2 || len(c.routed) != 2 {
		c.t.Errorf("answered directly by %v and through the router by %v, want two instances each", c.direct, c.routed)
	}
	for id := range c.routed {
		if c.direct[id] == 0 {
			c.t.Errorf("%s answered through the router and is none of the instances", id)
		}
	}
	c.t.Logf("answered directly: %v; through the router: %v; without a router: %d", c.direct, c.routed, c.missed)
}
