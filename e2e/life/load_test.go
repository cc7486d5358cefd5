package life

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

	"github.com/openslipway/slipway/e2e/harness"
)

const (
	requests = 10_000
	pace     = 4 * time.Millisecond // between requests: 250 a second
)

// load sends requests to a service at a steady rate.
type load struct {
	s      *harness.Server
	svc    *types.Service
	client *http.Client

	work atomic.Int64 // milliseconds that the app spends on a request
	sent atomic.Int64

	mu    sync.Mutex // guards what follows
	wrong map[string]int
	by    map[string]int // answers by version and greeting
}

func newLoad(s *harness.Server, svc *types.Service) *load {
	return &load{
		s: s, svc: svc, wrong: map[string]int{}, by: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: harness.Timeout},
	}
}

// run sends until ctx ends, and returns when every request is answered.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 2 {
		wg.Go(func() { l.sendSlow(ctx) })
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

// sendSlow sends requests that take two seconds, one after the other, until ctx
// ends. An instance that is stopped is then rarely idle.
func (l *load) sendSlow(ctx context.Context) {
	for ctx.Err() == nil {
		l.sent.Add(1)
		l.note(l.one(2000))
	}
}

// one sends a request that the app works on for that many milliseconds.
func (l *load) one(ms int64) (harness.Reply, error) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/?ms=%d", l.s.HostPort(), ms), nil)
	if err != nil {
		return harness.Reply{}, err
	}
	req.Host = *l.svc.ServiceUrl
	r, err := l.client.Do(req)
	if err != nil {
		return harness.Reply{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return harness.Reply{}, err
	}
	if r.StatusCode != http.StatusOK {
		return harness.Reply{}, fmt.Errorf("%d %.100s", r.StatusCode, b)
	}
	var out harness.Reply
	return out, json.Unmarshal(b, &out)
}

func (l *load) note(r harness.Reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.wrong[err.Error()]++
		return
	}
	l.by["version "+r.Version+" greeting "+r.Greeting]++
}

// passes waits until the load has sent n more requests, so that a change has been
// under load.
func (l *load) passes(n int64) {
	l.s.T.Helper()
	want := l.sent.Load() + n
	harness.Eventually(l.s.T, "requests are sent", func() (bool, string) {
		now := l.sent.Load()
		return now >= want, fmt.Sprintf("%d of %d", now, want)
	})
}

// TestNoRequestIsLost changes a service in every way that moves traffic while
// requests come at a steady rate: each must be answered 200.
func TestNoRequestIsLost(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	client, ctx := s.Client(), t.Context()
	image := s.Push(harness.WebImage(t, "1"), "web:latest")
	one := map[string]string{"GREETING": "one"}
	svc := s.RunningService("steady", harness.Spec{Image: image, Env: one, Scaling: s.CreateAutoScaling("few-requests", 8, 1, 4), Health: harness.QuickHealthCheck()})

	l := newLoad(s, svc)
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); l.run(loading) }()
	defer func() { stop(); <-done }()
	l.passes(requests / 10)

	two := map[string]string{"GREETING": "two"}
	update, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: svc.ServiceArn, SourceConfiguration: harness.Spec{Image: image, Env: two}.Source()})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *update.OperationId)
	l.passes(requests / 10)

	s.Push(harness.WebImage(t, "2"), "web:latest")
	deployment, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *deployment.OperationId)
	l.passes(requests / 10)

	l.work.Store(100) // 250 a second for 100 ms each are 25 at once, of 8 an instance
	waitRunning(s, svc, "scale-out", func(n int) bool { return n >= 3 })
	l.passes(requests / 10)
	l.work.Store(0)
	waitRunning(s, svc, "scale-in", func(n int) bool { return n == 1 })
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

// waitRunning waits until the number of running instances satisfies holds.
func waitRunning(s *harness.Server, svc *types.Service, what string, holds func(n int) bool) {
	s.T.Helper()
	deadline := time.Now().Add(4 * harness.Timeout) // scaling in is slow on purpose
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := range tick.C {
		count := len(s.InstanceProcesses("app"))
		if holds(count) {
			return
		}
		if n.After(deadline) {
			s.T.Fatalf("%s of %s: still %d instances", what, *svc.ServiceName, count)
		}
	}
}
