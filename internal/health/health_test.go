package health_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/health"
)

// get returns the status and the text of an answer.
func get(h http.Handler, query string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var vital, other error
	look := func(err *error) func(context.Context) error { return func(context.Context) error { return *err } }
	for _, c := range []struct {
		name         string
		vital, other error
		live, ready  int
		text         string // of Ready
	}{
		{"well", nil, nil, 200, 200, "ok\n"},
		{"a check fails", nil, errors.New("the disk is full"), 200, 503, "other: the disk is full\n"},
		{"a vital check fails", errors.New("it does not answer"), nil, 503, 503, "vital: it does not answer\n"},
	} {
		vital, other = c.vital, c.other
		h := health.New(slog.New(slog.DiscardHandler), health.Check{Name: "vital", Vital: true, Look: look(&vital)}, health.Check{Name: "other", Look: look(&other)})
		if code, _ := get(h.Live(), ""); code != c.live {
			t.Errorf("%s: Live answers %d, want %d", c.name, code, c.live)
		}
		if code, text := get(h.Ready(), ""); code != c.ready || text != c.text {
			t.Errorf("%s: Ready answers %d %q, want %d %q", c.name, code, text, c.ready, c.text)
		}
		if _, text := get(h.Ready(), "?verbose"); strings.Count(text, "\n") != 2 {
			t.Errorf("%s: verbose answers %q", c.name, text)
		}
	}
}

// Many who ask cost one look a second, and are told what has changed after it.
func TestFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		var broken atomic.Bool
		var log strings.Builder
		h := health.New(slog.New(slog.NewTextHandler(&log, nil)), health.Check{Name: "disk", Look: func(context.Context) error {
			looks.Add(1)
			time.Sleep(time.Second / 2)
			if broken.Load() {
				return errors.New("broken")
			}
			return nil
		}})
		ask := func(want int) {
			t.Helper()
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if code, text := get(h.Ready(), ""); code != want {
						t.Errorf("answered %d %q, want %d", code, text, want)
					}
				})
			}
			all.Wait()
		}
		ask(200)
		broken.Store(true)
		ask(200) // as a moment ago
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
		time.Sleep(time.Second)
		ask(503)
		broken.Store(false)
		time.Sleep(time.Second)
		ask(200)
		if n := looks.Load(); n != 3 {
			t.Errorf("%d looks", n)
		}
		if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "unhealthy") || !strings.Contains(log.String(), "healthy again") {
			t.Errorf("the log is %s", log.String())
		}
	})
}

// A check that hangs has failed, is not asked again, and holds up nobody for long.
func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		hang := make(chan struct{})
		h := health.New(slog.New(slog.DiscardHandler),
			health.Check{Name: "good", Look: func(context.Context) error { return nil }},
			health.Check{Name: "disk", Look: func(context.Context) error { looks.Add(1); <-hang; return nil }})
		for n := range 3 {
			began := time.Now()
			code, text := get(h.Ready(), "?verbose")
			if code != 503 || text != "good: ok\ndisk: no answer within 2s\n" {
				t.Errorf("answered %d %q", code, text)
			}
			if took := time.Since(began); n == 0 && took != 2*time.Second || n > 0 && took != 0 {
				t.Errorf("ask %d took %v", n, took)
			}
			time.Sleep(time.Minute)
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
		close(hang)
		synctest.Wait()
		time.Sleep(time.Second)
		if code, text := get(h.Ready(), ""); code != 200 {
			t.Errorf("afterwards it answers %d %q", code, text)
		}
	})
}
