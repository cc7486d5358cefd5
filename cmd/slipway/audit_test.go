package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeTrail answers LookupEvents, newest first.
type fakeTrail struct {
	mu     sync.Mutex
	events []map[string]any
}

// add records a call that began at a time, in seconds since 1970.
func (f *fakeTrail) add(id string, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, map[string]any{"EventId": id, "EventTime": at, "CloudTrailEvent": id})
	slices.SortStableFunc(f.events, func(a, b map[string]any) int { return int(b["EventTime"].(int64) - a["EventTime"].(int64)) })
}

func (f *fakeTrail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in struct{ StartTime int64 }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found := slices.DeleteFunc(slices.Clone(f.events), func(e map[string]any) bool { return e["EventTime"].(int64) < in.StartTime })
	json.NewEncoder(w).Encode(map[string]any{"Events": found})
}

// Following continues after the lines that were shown, and misses no call that is
// recorded late.
func TestAuditFollow(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	trail := &fakeTrail{}
	s.server.Config.Handler = trail
	now := epoch.Unix()
	trail.add("one", now)
	trail.add("two", now+1)
	trail.add("three", now+2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, code := make(lineWriter), make(chan int)
	// The server's clock may be behind by any time.
	m := &Main{Stdout: out, Stderr: io.Discard, Getenv: func(n string) string { return s.env[n] }, Now: func() time.Time { return epoch.Add(time.Hour) }}
	go func() { code <- m.Run(ctx, []string{"audit", "-f", "-n", "1", "--json"}) }()
	for _, want := range []string{"three", "four", "late"} {
		if got := <-out; got != want+"\n" {
			t.Errorf("got %q, want %s", got, want)
		}
		switch want {
		case "three":
			trail.add("four", now+4)
		case "four":
			trail.add("late", now+3)
		}
	}
	cancel() // Ctrl-C
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}
