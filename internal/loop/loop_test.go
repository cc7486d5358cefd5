package loop_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/loop"
)

// fixture is one loop in a synctest bubble and when its passes began.
type fixture struct {
	cfg    loop.Config
	log    strings.Builder
	start  time.Time
	passes []time.Duration // from start
	next   func() (time.Duration, error)
	takes  time.Duration
	watch  chan struct{}
	nudge  chan struct{}
}

func (b *fixture) pass(context.Context) (due time.Time, err error) {
	b.passes = append(b.passes, time.Since(b.start))
	time.Sleep(b.takes)
	if b.next == nil {
		return time.Time{}, nil
	}
	in, err := b.next()
	if in != 0 {
		due = time.Now().Add(in)
	}
	return due, err
}

// run runs the loop for d while during runs, and checks when its passes began.
func run(t *testing.T, b *fixture, d time.Duration, during func(), want ...time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b.cfg.Name = "test"
		b.cfg.Log = slog.New(slog.NewTextHandler(&b.log, nil))
		b.watch, b.nudge = make(chan struct{}, 1), make(chan struct{}, 1)
		b.cfg.Watch, b.cfg.Nudge = b.watch, b.nudge
		b.start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- loop.RunDue(ctx, b.cfg, b.pass) }()
		if during != nil {
			during()
		}
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if len(b.passes) != len(want) {
			t.Fatalf("passes at %v, want %v", b.passes, want)
		}
		for i := range want {
			if b.passes[i] != want[i] {
				t.Errorf("passes at %v, want %v", b.passes, want)
			}
		}
	})
}

const s = time.Second

func TestEvery(t *testing.T) {
	t.Parallel()
	run(t, &fixture{cfg: loop.Config{Every: 10 * s}, takes: s}, 25*s, nil, 0, 11*s, 22*s)
}

func TestFirst(t *testing.T) {
	t.Parallel()
	run(t, &fixture{cfg: loop.Config{First: 3 * s, Every: 10 * s}}, 15*s, nil, 3*s, 13*s)
	b := &fixture{cfg: loop.Config{First: 3 * s, Every: 10 * s}}
	run(t, b, 5*s, func() {
		time.Sleep(s)
		b.nudge <- struct{}{}
	}, s)
	run(t, &fixture{cfg: loop.Config{First: 3 * s, Every: 10 * s}}, s, nil)
}

func TestNews(t *testing.T) {
	t.Parallel()
	b := &fixture{cfg: loop.Config{Every: 10 * s}, takes: s}
	run(t, b, 20*s, func() {
		time.Sleep(4 * s)
		b.watch <- struct{}{}
		time.Sleep(s / 2) // a pass runs: one more follows it
		b.watch <- struct{}{}
		time.Sleep(3 * s)
		b.nudge <- struct{}{}
	}, 0, 4*s, 5*s, 7*s+s/2, 18*s+s/2)
}

func TestDue(t *testing.T) {
	t.Parallel()
	due := []time.Duration{3 * s, time.Hour, -s, 0}
	b := &fixture{cfg: loop.Config{Every: 10 * s}}
	b.next = func() (time.Duration, error) { return due[min(len(b.passes), len(due))-1], nil }
	run(t, b, 20*s, nil, 0, 3*s, 13*s, 13*s)
}

func TestFailure(t *testing.T) {
	t.Parallel()
	set := &loop.Set{}
	b := &fixture{cfg: loop.Config{Every: 10 * s, Backoff: 2 * s, Set: set}, takes: s}
	b.next = func() (time.Duration, error) {
		if len(b.passes) < 3 {
			return time.Hour, errors.New("no luck")
		}
		return 0, nil
	}
	run(t, b, 20*s, func() {
		time.Sleep(5 * s)
		got := set.Status()
		if len(got) != 1 || got[0].Name != "test" || got[0].Passes != 2 || got[0].Failures != 2 || got[0].Err == nil || got[0].Took != s || time.Since(got[0].Began) != 2*s {
			t.Errorf("after a failure the status is %+v", got)
		}
		time.Sleep(5 * s)
		if got := set.Status(); len(got) != 1 || got[0].Passes != 3 || got[0].Failures != 2 || got[0].Err != nil {
			t.Errorf("after a success the status is %+v", got)
		}
	}, 0, 3*s, 6*s, 17*s)
	if got := set.Status(); len(got) != 0 {
		t.Errorf("loops that have ended: %+v", got)
	}
	if n := strings.Count(b.log.String(), "no luck"); n != 2 {
		t.Errorf("%d lines tell of 2 failures:\n%s", n, b.log.String())
	}
}

func TestEndDuringAPass(t *testing.T) {
	t.Parallel()
	b := &fixture{cfg: loop.Config{Every: 10 * s, Backoff: s}, takes: 3 * s}
	b.next = func() (time.Duration, error) { return 0, context.DeadlineExceeded }
	run(t, b, 2*s, nil, 0)
	if b.log.Len() > 0 {
		t.Errorf("the end of the context was logged as a failure: %s", b.log.String())
	}
}

func TestRequired(t *testing.T) {
	t.Parallel()
	for _, cfg := range []loop.Config{
		{Log: slog.New(slog.DiscardHandler), Every: s},
		{Name: "test", Every: s},
		{Name: "test", Log: slog.New(slog.DiscardHandler)},
	} {
		if err := loop.Run(t.Context(), cfg, func(context.Context) error { return nil }); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		loop.Pause(t.Context(), s)
		if took := time.Since(start); took != s {
			t.Errorf("a pause of 1s took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), s)
		defer cancel()
		loop.Pause(ctx, time.Hour)
		if took := time.Since(start); took != 2*s {
			t.Errorf("the end of the context did not end the pause: %s", took)
		}
	})
}
