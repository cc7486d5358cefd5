package life

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestRestartHoldsConnections restarts a server whose sockets somebody else holds, by
// SIGTERM and by SIGKILL, while requests keep coming. None is refused, to services or
// to the API, and only those that a killed server had accepted fail.
func TestRestartHoldsConnections(t *testing.T) {
	t.Parallel()
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t))
	s.Hold("http", "api")
	s.Start()
	svc := s.RunningService("steady", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "steady:1"), Health: harness.QuickHealthCheck()})

	l := &traffic{client: s.HTTPClient, api: s.API, http: s.HTTP, host: *svc.ServiceUrl}
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { l.requests(ctx) })
	}
	workers.Go(func() { l.calls(ctx) })
	for range 3 {
		l.await(t, 20)
		s.Stop()
		s.Start()
	}
	for range 3 {
		l.await(t, 20)
		begun := time.Now()
		s.Kill()
		l.killed(begun, time.Now())
		s.Start()
	}
	l.await(t, 20)
	stop()
	workers.Wait()
	for _, f := range l.failures() {
		t.Error(f)
	}
}

// traffic is what clients saw of a server.
type traffic struct {
	client          *http.Client
	api, http, host string

	mu       sync.Mutex // guards what follows
	answered int
	failed   []mishap
	kills    [][2]time.Time
}

// mishap is a request that was not answered as it should be.
type mishap struct {
	what       string
	begun, end time.Time
	err        error
}

// requests sends requests to the service until ctx ends.
func (l *traffic) requests(ctx context.Context) {
	for ctx.Err() == nil {
		l.send("request", l.http, l.host, http.StatusOK)
	}
}

// calls asks the API's address for its health until ctx ends. A server that is not
// up yet answers 503.
func (l *traffic) calls(ctx context.Context) {
	for ctx.Err() == nil {
		l.send("call", l.api+"/healthz", "", http.StatusOK, http.StatusServiceUnavailable)
	}
}

// send sends a request, which must be answered by one of the statuses.
func (l *traffic) send(what, url, host string, statuses ...int) {
	begun := time.Now()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err == nil {
		req.Host = host
		var r *http.Response
		if r, err = l.client.Do(req); err == nil {
			r.Body.Close()
			if !slices.Contains(statuses, r.StatusCode) {
				err = fmt.Errorf("status %d", r.StatusCode)
			}
		}
	}
	l.note(what, begun, err)
}

func (l *traffic) note(what string, begun time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.answered++
		return
	}
	l.failed = append(l.failed, mishap{what, begun, time.Now(), err})
}

// killed says when a server was killed.
func (l *traffic) killed(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills = append(l.kills, [2]time.Time{from, to})
}

// await waits for more answers.
func (l *traffic) await(t *testing.T, more int) {
	t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.answered }
	want := count() + more
	harness.Eventually(t, "answers", func() (bool, string) { n := count(); return n >= want, fmt.Sprint(n) })
}

// failures returns those that no kill excuses: a request that a process had accepted
// ends with it.
func (l *traffic) failures() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failed {
		cut := false
		for _, k := range l.kills {
			cut = cut || f.begun.Before(k[1]) && f.end.After(k[0])
		}
		if !cut || errors.Is(f.err, syscall.ECONNREFUSED) {
			list = append(list, fmt.Sprintf("%s of %s to %s: %v", f.what, f.begun.Format(time.StampMilli), f.end.Format(time.StampMilli), f.err))
		}
	}
	return list
}
