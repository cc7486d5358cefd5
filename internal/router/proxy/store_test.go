package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

var t0 = time.Unix(1_800_000_000, 0).UTC()

// storeFixture is a store with one service and a proxy of a router that follows it,
// in a synctest bubble. There are no instances.
type storeFixture struct {
	t       *testing.T
	store   *store.Store
	router  *router.Router
	proxy   *Proxy
	service slipway.Service
}

// unreachable is a Dialer that fails.
type unreachable struct{}

func (unreachable) Dial(context.Context, string, int) (net.Conn, error) {
	return nil, errors.New("no such instance")
}

func newStoreFixture(t *testing.T) *storeFixture {
	s := storetest.Memory(t)
	t.Cleanup(func() { s.Close() })
	b := &storeFixture{t: t, store: s}
	log := slog.New(slog.DiscardHandler)
	var err error
	if b.router, err = router.New(router.Config{Store: s, Log: log, Suffix: "us-east-1.slipway.test"}); err != nil {
		t.Fatal(err)
	}
	if b.proxy, err = New(Config{Router: b.router, Dialer: unreachable{}, Log: log}); err != nil {
		t.Fatal(err)
	}
	b.service = slipway.Service{
		ID: slipway.NewID(), Name: "shop", ARN: "arn", Label: "abcdefghij",
		Wanted: slipway.WantedRunning, CreatedAt: t0, UpdatedAt: t0,
	}
	b.update(func(tx *store.Tx) error { return tx.InsertService(b.service) })
	return b
}

// run follows the store until the test ends.
func (b *storeFixture) run() {
	go b.router.Run(b.t.Context())
	synctest.Wait()
}

func (b *storeFixture) update(f func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *storeFixture) release(id string) {
	b.update(func(tx *store.Tx) error {
		return tx.InsertRelease(slipway.Release{
			ID: id, ServiceID: b.service.ID, Desired: slipway.DesiredRun, Size: 1, Workload: slipway.Workload{Port: 8080},
			Scaling: slipway.Scaling{MaxConcurrency: 2, MinSize: 1, MaxSize: 5}, CreatedAt: t0,
		})
	})
}

func (b *storeFixture) host() string { return b.service.Label + ".us-east-1.slipway.test" }

// status returns the status of the response to a request.
func (b *storeFixture) status(host string) int {
	b.t.Helper()
	c, far := net.Pipe()
	f := b.proxy.newFront(router.Listener{})
	f.serving.Add(1)
	go f.serve(far, Origin{}, nil)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	c.Close()
	f.serving.Wait()
	return resp.StatusCode
}

func TestAnswersByState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.run()
		if got := b.status(b.host()); got != 503 {
			t.Errorf("without any version: %d, want 503", got)
		}
		op := slipway.Operation{ID: slipway.NewID(), ServiceID: b.service.ID, Kind: slipway.CreateService, Status: slipway.OperationPending, CreatedAt: t0}
		b.update(func(tx *store.Tx) error {
			return errors.Join(tx.InsertOperation(op), tx.SetStatus(b.service.ID, "", t0))
		})
		start := time.Now()
		if got := b.status(b.host()); got != 504 || time.Since(start) != 2*time.Minute {
			t.Errorf("while it is created: %d after %v; want to wait for 120 s", got, time.Since(start))
		}
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedPaused, t0) })
		if got := b.status(b.host()); got != 503 {
			t.Errorf("paused: %d, want 503", got)
		}
		if got := b.status("other.us-east-1.slipway.test"); got != 404 {
			t.Errorf("unknown: %d, want 404", got)
		}
		b.update(func(tx *store.Tx) error { return tx.SetStatus(b.service.ID, slipway.StatusDeleted, t0) })
		if got := b.status(b.host()); got != 404 {
			t.Errorf("deleted: %d, want 404", got)
		}
	})
}

// domain adds a domain to the service in a state.
func (b *storeFixture) domain(name string, www bool, state slipway.DomainStatus) slipway.CustomDomain {
	b.t.Helper()
	d := slipway.CustomDomain{ID: slipway.NewID(), ServiceID: b.service.ID, Name: name, WWW: www, CreatedAt: t0, State: state}
	b.update(func(tx *store.Tx) error {
		if err := tx.InsertCustomDomain(d); err != nil {
			return err
		}
		return tx.SaveCustomDomain(d)
	})
	return d
}

// Active domains are answered like the service URL, all others as unknown.
func TestCustomDomains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newStoreFixture(t)
		b.run()
		b.release("rel")
		b.update(func(tx *store.Tx) error { return tx.SetActiveRelease(b.service.ID, "rel") })
		d := b.domain("Example.com", true, slipway.DomainActive)
		b.domain("pending.example", false, slipway.DomainPending)
		b.domain("binding.example", false, slipway.DomainBinding)
		b.domain("*.example.net", false, slipway.DomainActive)
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedPaused, t0) })
		for host, want := range map[string]int{
			b.host(): 503, "example.com": 503, "WWW.example.com:80": 503, "a.example.net": 503,
			"a.example.com": 404, "example.net": 404, "pending.example": 404, "binding.example": 404,
		} {
			if got := b.status(host); got != want {
				t.Errorf("%s of a paused service: %d, want %d", host, got, want)
			}
		}
		b.update(func(tx *store.Tx) error { return tx.RemoveCustomDomain(d, t0) })
		for _, host := range []string{"example.com", "www.example.com"} {
			if got := b.status(host); got != 404 {
				t.Errorf("%s, which was asked to go: %d, want 404", host, got)
			}
		}
		b.update(func(tx *store.Tx) error { return tx.SetWanted(b.service.ID, slipway.WantedDeleted, time.Now()) })
		if got := b.status("a.example.net"); got != 404 {
			t.Errorf("a domain of a deleted service: %d, want 404", got)
		}
	})
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	r, err := router.New(router.Config{Log: log, Suffix: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"nothing":   {},
		"no router": {Log: log, Dialer: unreachable{}},
		"no dialer": {Log: log, Router: r},
		"no log":    {Router: r, Dialer: unreachable{}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
