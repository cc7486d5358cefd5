package fleet_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/runtime"
)

// TestFullDisk: the events of a service say once whose disk is full, and that it no longer is.
func TestFullDisk(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		l.stop()
		var log bytes.Buffer
		l.bootWith(fleet.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		ids := l.machine.Running(r.ID)
		told := func(full runtime.Full, ids ...string) []string {
			before := l.events(r)
			for _, id := range ids {
				l.machine.SetFull(id, full, 3<<30)
			}
			l.passes(time.Minute)
			return l.events(r)[len(before):]
		}
		for _, c := range []struct {
			full  runtime.Full
			ids   []string
			want  []string
			count int
		}{
			{"", nil, nil, 0},
			{runtime.FullOwn, ids[:1], []string{ids[0], "3.0 GiB", "Have the application write less"}, 1},
			{"", ids[:1], []string{ids[0], "has room on its disk again"}, 1},
			{runtime.FullHost, ids, []string{"The disk of the server is full", "no fault of the application"}, 1},
			{"", ids, []string{"The disk of the server has room again"}, 1},
		} {
			events := told(c.full, c.ids...)
			if len(events) != c.count {
				l.Errorf("%q of %v: events %q", c.full, c.ids, events)
			}
			for _, part := range c.want {
				if !slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, part) }) {
					l.Errorf("%q of %v: events %q do not say %q", c.full, c.ids, events, part)
				}
			}
		}
		if n := strings.Count(log.String(), "the server's disk is full"); n != 2 {
			l.Errorf("the log tells %d times of the full disk of the server:\n%s", n, log.String())
		}
		if got := l.machine.Running(r.ID); !slices.Equal(got, ids) {
			l.Errorf("%v run, were %v", got, ids)
		}
	})
}
