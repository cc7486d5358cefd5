package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

const (
	requests = 10_000
	pace     = 4 * time.Millisecond // between requests: 250 a second
)

// load sends requests to a service at a steady rate, whatever becomes of them.
type load struct {
	s      *server
	svc    *types.Service
	client *http.Client

	work atomic.Int64 // milliseconds that the app spends on a request
	sent atomic.Int64

	mu    sync.Mutex // guards what follows
	wrong map[string]int
	by    map[string]int // answers by version and greeting
}

func newLoad(s *server, svc *types.Service) *load {
	return &load{
		s: s, svc: svc, wrong: map[string]int{}, by: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: within},
	}
}

// run sends until ctx ends, and returns when every request is answered.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 2 {
		wg.Go(func() { l.linger(ctx) })
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sent.Add(1)
			wg.Go(func() { l.note(l.one(l.work.Load())) })
		}
	}
}

// linger sends one request of two seconds after the other until ctx ends, so
// that an instance that is taken away hardly ever has nothing to do.
func (l *load) linger(ctx context.Context) {
	for ctx.Err() == nil {
		l.sent.Add(1)
		l.note(l.one(2000))
	}
}

// one sends a request that the app works on for that many milliseconds.
func (l *load) one(ms int64) (reply, error) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/?ms=%d", l.s.hostPort(), ms), nil)
	if err != nil {
		return reply{}, err
	}
	req.Host = *l.svc.ServiceUrl
	r, err := l.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return reply{}, err
	}
	if r.StatusCode != http.StatusOK {
		return reply{}, fmt.Errorf("%d %.100s", r.StatusCode, b)
	}
	var out reply
	return out, json.Unmarshal(b, &out)
}

func (l *load) note(r reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.wrong[err.Error()]++
		return
	}
	l.by["version "+r.Version+" greeting "+r.Greeting]++
}

// passes waits until the load has sent n more requests: what was just changed
// has then been under load.
func (l *load) passes(n int64) {
	l.s.t.Helper()
	want := l.sent.Load() + n
	eventually(l.s.t, "requests are sent", func() (bool, string) {
		now := l.sent.Load()
		return now >= want, fmt.Sprintf("%d of %d", now, want)
	})
}

// TestNoRequestIsLost changes a service in every way that moves traffic while
// requests come at a steady rate: each must be answered 200.
func TestNoRequestIsLost(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, ctx := s.client(), t.Context()
	image := s.push(web(t, "1"), "web:latest")
	one := map[string]string{"GREETING": "one"}
	svc := s.runningService("steady", spec{image: image, env: one, scaling: s.size("few-requests", 8, 1, 4), health: quick()})

	l := newLoad(s, svc)
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); l.run(loading) }()
	defer func() { stop(); <-done }()
	l.passes(requests / 10)

	two := map[string]string{"GREETING": "two"}
	update, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, SourceConfiguration: spec{image: image, env: two}.source()})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *update.OperationId)
	l.passes(requests / 10)

	s.push(web(t, "2"), "web:latest")
	deployment, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *deployment.OperationId)
	l.passes(requests / 10)

	l.work.Store(100) // 250 a second for 100 ms each are 25 at once, of 8 an instance
	s.runs(svc, "scale-out", func(n int) bool { return n >= 3 })
	l.passes(requests / 10)
	l.work.Store(0)
	s.runs(svc, "scale-in", func(n int) bool { return n == 1 })
	if rest := requests - l.sent.Load(); rest > 0 {
		l.passes(rest)
	}
	stop()
	<-done

	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d requests: %v", l.sent.Load(), l.by)
	for what, n := range l.wrong {
		t.Errorf("%d requests of %d were lost: %s", n, l.sent.Load(), what)
	}
	for _, who := range []string{"version 1 greeting one", "version 1 greeting two", "version 2 greeting two"} {
		if l.by[who] == 0 {
			t.Errorf("nobody was answered by %s", who)
		}
	}
}

// runs waits until a service runs a number of instances.
func (s *server) runs(svc *types.Service, what string, holds func(n int) bool) {
	s.t.Helper()
	deadline := time.Now().Add(4 * within) // scaling in is slow on purpose
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := range tick.C {
		count := len(s.instanceProcesses("app"))
		if holds(count) {
			return
		}
		if n.After(deadline) {
			s.t.Fatalf("%s of %s: still %d instances", what, *svc.ServiceName, count)
		}
	}
}
