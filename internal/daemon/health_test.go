package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/loop"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit  uint64
		asked  int
		want   budget
		warned bool
	}{
		{1 << 20, 10_000, budget{1 << 20, 10_000, 10_000, 10_483}, false},
		{math.MaxUint64, 10_000, budget{math.MaxUint64, 10_000, 10_000, 21_474_833}, false},
		{20_000, 10_000, budget{20_000, 7897, 1974, 197}, false},
		{1024, 10_000, budget{1024, 307, 76, 7}, true},
		{1024, 50, budget{1024, 50, 50, 7}, true},
		{64, 10_000, budget{64, 40, 10, 1}, true},
		{0, 1, budget{0, 1, 1, 1}, true},
	} {
		b := budgetOf(c.limit, c.asked)
		var log bytes.Buffer
		b.tell(slog.New(slog.NewTextHandler(&log, nil)))
		if b != c.want || strings.Contains(log.String(), "few files may be open at once") != c.warned {
			t.Errorf("limit %d, %d connections: %+v, log %q; want %+v", c.limit, c.asked, b, log.String(), c.want)
		}
	}
}

func TestLoopsTurn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	turning := loop.Status{Name: "routes", Most: time.Minute, Succeeded: now.Add(-time.Second)}
	busy := loop.Status{Name: "images", Most: time.Minute, Running: now.Add(-time.Minute), Succeeded: now.Add(-time.Hour)}
	hung, stale := busy, turning
	hung.Running = now.Add(-time.Minute - time.Second)
	stale.Succeeded = now.Add(-routesWithin - time.Second)
	for _, c := range []struct {
		name         string
		loops        []loop.Status
		stuck, route string
	}{
		{"all turn", []loop.Status{busy, turning}, "", ""},
		{"one is stuck", []loop.Status{hung, turning}, "the loop images has been in one pass for 1m1s", ""},
		{"routes are old", []loop.Status{stale}, "", "has not read its routes for 31s"},
		{"no router", nil, "", "does not run"},
	} {
		for err, want := range map[error]string{stuck(c.loops, now): c.stuck, routesRead(c.loops, now): c.route} {
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
	if err := errors.Join(fewDescriptors(100, 1024), fewDescriptors(960, 1024)); err != nil {
		t.Error(err)
	}
	if err := fewDescriptors(961, 1024); err == nil || !strings.Contains(err.Error(), "961 of 1024") {
		t.Errorf("nearly all descriptors are open: %v", err)
	}
}
