package ingress

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

var t0 = time.Unix(1_800_000_000, 0).UTC()

func TestDecide(t *testing.T) {
	t.Parallel()
	endpoints := map[string]observed{"open": {}, "bound": {vpc: "vpc-1"}, "shut": {problem: "VPC endpoint shut can't listen: no"}}
	type outcome struct {
		seen      int
		failure   string
		serving   string
		available bool
		status    slipway.IngressStatus
	}
	for _, c := range []struct {
		name string
		in   slipway.VPCIngressConnection
		want outcome
	}{
		{"new", slipway.VPCIngressConnection{Endpoint: "open", Version: 1}, outcome{1, "", "open", true, slipway.IngressAvailable}},
		{"of the VPC", slipway.VPCIngressConnection{Endpoint: "bound", VPC: "vpc-1", Version: 1}, outcome{1, "", "bound", true, slipway.IngressAvailable}},
		{"of another VPC", slipway.VPCIngressConnection{Endpoint: "bound", VPC: "vpc-2", Version: 1}, outcome{1, "VPC endpoint bound is in vpc-1, not in vpc-2", "", false, slipway.IngressFailedCreation}},
		{"unknown", slipway.VPCIngressConnection{Endpoint: "none", Version: 1}, outcome{1, "VPC endpoint none is not configured", "", false, slipway.IngressFailedCreation}},
		{"shut", slipway.VPCIngressConnection{Endpoint: "shut", Version: 1}, outcome{1, "VPC endpoint shut can't listen: no", "", false, slipway.IngressFailedCreation}},
		{
			"mended",
			slipway.VPCIngressConnection{Endpoint: "open", Version: 1, Seen: 1, Failure: "it was shut"},
			outcome{1, "", "open", true, slipway.IngressAvailable},
		},
		{
			"updated",
			slipway.VPCIngressConnection{Endpoint: "open", Version: 2, Seen: 1, Serving: "bound", Available: true},
			outcome{2, "", "open", true, slipway.IngressAvailable},
		},
		{
			"not updated: serves on",
			slipway.VPCIngressConnection{Endpoint: "none", Version: 2, Seen: 1, Serving: "open", Available: true},
			outcome{2, "VPC endpoint none is not configured", "open", true, slipway.IngressFailedUpdate},
		},
		{
			"lost",
			slipway.VPCIngressConnection{Endpoint: "shut", Version: 1, Seen: 1, Serving: "shut", Available: true},
			outcome{1, "VPC endpoint shut can't listen: no", "", true, slipway.IngressFailedUpdate},
		},
	} {
		got := decide(c.in, endpoints, t0)
		if f := (outcome{got.Seen, got.Failure, got.Serving, got.Available, got.Status()}); f != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, f, c.want)
		}
		if again := decide(got, endpoints, t0.Add(time.Hour)); again != got {
			t.Errorf("%s: the second time it becomes %+v", c.name, again)
		}
	}
	gone := decide(slipway.VPCIngressConnection{Endpoint: "open", Version: 1, Seen: 1, Serving: "open", Available: true, RemovedAt: t0}, endpoints, t0)
	if gone.DeletedAt != t0 || gone.Serving != "" || gone.Status() != slipway.IngressDeleted {
		t.Errorf("deleted: %+v", gone)
	}
}

// greet answers every request with the id of the endpoint.
func greet(ctx context.Context, l net.Listener, endpoint string) error {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, endpoint) })}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// fixture is a store with one service, and an ingress.
type fixture struct {
	*testing.T
	store   *store.Store
	ingress *Ingress
	service slipway.Service
	log     *lockedBuilder
}

type lockedBuilder struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newFixture(t *testing.T, endpoints map[string]Endpoint) *fixture {
	t.Helper()
	st := storetest.Memory(t)
	t.Cleanup(func() { st.Close() })
	s := &fixture{T: t, store: st, service: slipway.Service{ID: "shop", Name: "shop", ARN: "shop", Label: "shop", CreatedAt: t0}, log: &lockedBuilder{}}
	s.update(func(tx *store.Tx) error { return tx.InsertService(s.service) })
	var err error
	s.ingress, err = New(Config{
		Store: st, Serve: greet, Endpoints: endpoints, Retry: 10 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs the ingress until the test ends or the returned function is called.
func (s *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.ingress.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Errorf("Run: %v", err)
		}
	})
	s.Cleanup(stop)
	<-s.ingress.Ready()
	return stop
}

func (s *fixture) update(f func(*store.Tx) error) {
	s.Helper()
	if err := s.store.Update(s.Context(), f); err != nil {
		s.Fatal(err)
	}
}

func (s *fixture) connect(name, endpoint string) {
	s.Helper()
	s.update(func(tx *store.Tx) error {
		return tx.InsertVPCIngress(slipway.VPCIngressConnection{
			ARN: name, Name: name, Label: name, ServiceID: s.service.ID, VPC: "vpc-1", Endpoint: endpoint, Version: 1, CreatedAt: t0,
		})
	})
}

func (s *fixture) change(name string, f func(*slipway.VPCIngressConnection)) {
	s.Helper()
	s.update(func(tx *store.Tx) error {
		c, err := tx.VPCIngress(name)
		if err != nil {
			return err
		}
		f(&c)
		return tx.SaveVPCIngressIntent(c)
	})
}

// becomes waits until the connection has the status.
func (s *fixture) becomes(name string, want slipway.IngressStatus) {
	s.Helper()
	s.eventually(name+" is "+string(want), func() bool {
		var c slipway.VPCIngressConnection
		err := s.store.View(s.Context(), func(tx *store.Tx) (err error) { c, err = tx.VPCIngress(name); return err })
		return err == nil && c.Status() == want
	})
}

// eventually waits for a condition. Only a broken program reaches its deadline.
func (s *fixture) eventually(what string, holds func() bool) {
	s.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			s.Fatal("not in time: ", what)
		}
		<-tick.C
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newFixture(t, map[string]Endpoint{
		"vpce-1": {Addr: "127.0.0.1:0"}, "vpce-2": {Addr: "127.0.0.1:0", VPC: "vpc-2"}, "vpce-taken": {Addr: taken.Addr().String()},
	})
	s.connect("early", "vpce-1")
	stop := s.run()
	s.becomes("early", slipway.IngressAvailable) // by the first pass
	s.connect("wrong", "vpce-2")
	s.connect("lost", "vpce-none")
	s.connect("taken", "vpce-taken")
	s.becomes("wrong", slipway.IngressFailedCreation)
	s.becomes("lost", slipway.IngressFailedCreation)
	s.becomes("taken", slipway.IngressFailedCreation)

	addrs := s.ingress.Addrs()
	if len(addrs) != 2 || s.ingress.Port("vpce-taken") != 0 || s.ingress.Port("vpce-1") != addrs["vpce-1"].(*net.TCPAddr).Port {
		t.Errorf("open are %v", addrs)
	}
	for id, addr := range addrs {
		r, err := http.Get("http://" + addr.String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if string(b) != id || err != nil {
			t.Errorf("at %s answers %q (%v), want %s", addr, b, err, id)
		}
	}

	s.change("lost", func(c *slipway.VPCIngressConnection) { c.Endpoint, c.Version = "vpce-1", 2 })
	s.becomes("lost", slipway.IngressAvailable)
	s.change("lost", func(c *slipway.VPCIngressConnection) { c.Endpoint, c.Version = "vpce-none", 3 })
	s.becomes("lost", slipway.IngressFailedUpdate)
	s.change("early", func(c *slipway.VPCIngressConnection) { c.RemovedAt = t0 })
	s.becomes("early", slipway.IngressDeleted)

	taken.Close() // its retries find the address free
	s.becomes("taken", slipway.IngressAvailable)
	s.log.mu.Lock()
	text := s.log.b.String()
	s.log.mu.Unlock()
	if n := strings.Count(text, `msg="VPC endpoint not open"`); n != 1 {
		t.Errorf("the log tells %d times of the taken address, want once:\n%s", n, text)
	}
	stop()
	if d := cmp.Diff(map[string]net.Addr{}, s.ingress.Addrs()); d != "" {
		t.Errorf("open after the end (-want +got):\n%s", d)
	}
}

// A listener that ends by itself is reopened.
func TestReopens(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]Endpoint{"vpce-1": {Addr: "127.0.0.1:0"}})
	s.connect("a", "vpce-1")
	s.run()
	s.becomes("a", slipway.IngressAvailable)
	s.ingress.mu.Lock()
	first := s.ingress.listeners["vpce-1"]
	s.ingress.mu.Unlock()
	first.Close()
	s.eventually("the endpoint is opened again", func() bool {
		s.ingress.mu.Lock()
		defer s.ingress.mu.Unlock()
		l := s.ingress.listeners["vpce-1"]
		return l != nil && l != first
	})
	s.becomes("a", slipway.IngressAvailable)
}
