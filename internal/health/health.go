// Package health says whether a server is well: it asks checks that others have written,
// and answers /healthz and /readyz with what they say.
//
// It looks and tells. It mends nothing, restarts nothing, and knows nothing of the health of
// instances, which package fleet probes.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Check is one thing that is looked at.
type Check struct {
	Name string // one word

	// Vital says that a process that fails the check is of no use, and that another may be:
	// /healthz has it, too, so that a supervisor starts the server again.
	Vital bool

	// Look returns what is wrong in a sentence, nil if nothing is. Whoever reaches the
	// address reads it, so it names no paths. It should return when ctx ends.
	Look func(ctx context.Context) error
}

const (
	// fresh is how long results are told again before the checks are asked anew: nobody
	// may ask them more often, whoever asks.
	fresh = time.Second

	// patience is how long a check may take. One that takes longer has failed.
	patience = 2 * time.Second
)

// Health asks checks. It is safe for concurrent use.
type Health struct {
	checks []*check
	log    *slog.Logger
}

// New returns the health of a server with these checks. They are asked when somebody asks,
// all at once. log gets a line when a check begins to fail and when it no longer does.
func New(log *slog.Logger, checks ...Check) *Health {
	h := &Health{log: log}
	for _, c := range checks {
		h.checks = append(h.checks, &check{Check: c})
	}
	return h
}

// Live answers 200 unless a vital check fails, and otherwise 503.
func (h *Health) Live() http.Handler { return h.handler(func(c Check) bool { return c.Vital }) }

// Ready answers 200 unless a check fails, and otherwise 503.
func (h *Health) Ready() http.Handler { return h.handler(func(Check) bool { return true }) }

// handler answers "ok", or a line for each check that fails. With the query verbose it
// answers a line for each check.
func (h *Health) handler(asks func(Check) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all, failed strings.Builder
		for _, c := range h.checks {
			if asks(c.Check) {
				c.begin(h.log)
			}
		}
		for _, c := range h.checks {
			if !asks(c.Check) {
				continue
			}
			err := c.result()
			if err == nil {
				fmt.Fprintf(&all, "%s: ok\n", c.Name)
				continue
			}
			fmt.Fprintf(&all, "%s: %v\n", c.Name, err)
			fmt.Fprintf(&failed, "%s: %v\n", c.Name, err)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		text := "ok\n"
		if failed.Len() > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = failed.String()
		}
		if r.URL.Query().Has("verbose") {
			text = all.String()
		}
		fmt.Fprint(w, text)
	})
}

// check is a Check and what it said last.
type check struct {
	Check

	mu     sync.Mutex    // guards what follows
	looks  chan struct{} // closed when the look ends that goes on; nil if none does
	began  time.Time     // that look
	ended  time.Time     // the last look that has ended
	err    error         // its result
	failed bool          // that the log was told last
}

var errNoAnswer = fmt.Errorf("no answer within %v", patience)

// begin looks, unless that goes on or was done a moment ago. A look that hangs is the only
// one until it ends.
func (c *check) begin(log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looks != nil || !c.ended.IsZero() && time.Since(c.ended) < fresh {
		return
	}
	done := make(chan struct{})
	c.looks, c.began = done, time.Now()
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		late := time.AfterFunc(patience, func() { c.tell(log, errNoAnswer) })
		err := c.Look(ctx)
		late.Stop()
		c.mu.Lock()
		c.looks, c.ended, c.err = nil, time.Now(), err
		c.mu.Unlock()
		c.tell(log, err)
	}()
}

// result waits for the look that goes on, and returns what is wrong.
func (c *check) result() error {
	c.mu.Lock()
	looks, left := c.looks, patience-time.Since(c.began)
	c.mu.Unlock()
	if looks != nil {
		late := time.NewTimer(left)
		defer late.Stop()
		select {
		case <-looks:
		case <-late.C:
			return errNoAnswer
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// tell logs what has changed.
func (c *check) tell(log *slog.Logger, err error) {
	c.mu.Lock()
	changed := c.failed != (err != nil)
	c.failed = err != nil
	c.mu.Unlock()
	switch {
	case changed && err != nil:
		log.Warn("unhealthy", "check", c.Name, "err", err)
	case changed:
		log.Info("healthy again", "check", c.Name)
	}
}
