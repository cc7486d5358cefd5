// Package loop repeats a pass: at once, when something has changed, after a
// while without news, and again after a failure. It keeps how the last pass of
// every loop went, for metrics and for operators.
//
// It decides nothing and holds no queue: a pass reads what there is to do. The
// level-triggered parts of the product run on it. A loop that does different work
// for different news keeps its own select, and some tell a Set of their passes by Turns:
// the operation engine and the fleet, which start workers; hooks, which receives the ends
// of its attempts; scale, which reads on news and decides on a clock. Audit and logs, which
// write soon and clean up rarely, do not, nor does the embedded driver's network, which logs
// only the first of several failures.
package loop

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

// Config says when a loop makes its passes.
type Config struct {
	Name string       // of the loop, as a label in metrics: "domain-proofs"
	Log  *slog.Logger // gets one line for every pass that fails
	Set  *Set         // keeps the loop's status; nil keeps it nowhere

	// Watch and Nudge start a pass when something is received. Both may be nil.
	// What is sent while a pass runs starts one more pass, if the channel has
	// room for it: use a buffer of one.
	Watch, Nudge <-chan struct{}

	First   time.Duration // before the first pass; 0 for at once
	Every   time.Duration // from the end of a pass to the next one without news
	Backoff time.Duration // the same after a pass that failed; 0 for Every

	// Most is how long a pass may take until the loop counts as stuck; 0 for 10 minutes.
	Most time.Duration
}

// most is Config.Most unless that says otherwise. It is longer than any pass of most loops
// takes on a slow disk beside other work.
const most = 10 * time.Minute

// Run makes passes until ctx ends, one at a time, and then returns nil. A pass
// that fails is logged with its cause and repeated after cfg.Backoff, or
// earlier if there is news; an error after the end of ctx is dropped. Run fails
// at once if cfg lacks Name, Log or Every.
func Run(ctx context.Context, cfg Config, pass func(context.Context) error) error {
	return RunDue(ctx, cfg, func(ctx context.Context) (time.Time, error) { return time.Time{}, pass(ctx) })
}

// RunDue is Run for passes that know when more is due: the next pass starts at
// that time, or after cfg.Every if that is earlier or the time is zero.
func RunDue(ctx context.Context, cfg Config, pass func(context.Context) (due time.Time, err error)) error {
	if cfg.Name == "" || cfg.Log == nil || cfg.Every <= 0 {
		return errors.New("loop: Name, Log and Every are required")
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = cfg.Every
	}
	turns := cfg.Set.enter(cfg.Name, cmp.Or(cfg.Most, most))
	defer turns.Leave()
	timer := time.NewTimer(cfg.First)
	defer timer.Stop()
	if cfg.First > 0 && !cfg.wait(ctx, timer.C) {
		return nil
	}
	for ctx.Err() == nil {
		turns.begin()
		due, err := pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		turns.end(err)
		if err != nil {
			cfg.Log.Error("pass failed", "loop", cfg.Name, "err", err)
		}
		timer.Reset(cfg.pauseAfter(due, err, time.Now()))
		if !cfg.wait(ctx, timer.C) {
			return nil
		}
	}
	return nil
}

// pauseAfter returns how long to wait without news after a pass.
func (c Config) pauseAfter(due time.Time, err error, now time.Time) time.Duration {
	switch {
	case err != nil:
		return c.Backoff
	case due.IsZero():
		return c.Every
	}
	return min(c.Every, due.Sub(now))
}

// wait blocks until the next pass is due. It returns false when ctx has ended.
func (c Config) wait(ctx context.Context, timer <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-timer:
	case <-c.Watch:
	case <-c.Nudge:
	}
	return ctx.Err() == nil
}

// Pause blocks for d or until ctx ends, whichever comes first.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
