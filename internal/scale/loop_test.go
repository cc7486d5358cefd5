package scale

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// load is a demand that a test sets; it integrates itself over time.
type load struct {
	mu       sync.Mutex
	n        int
	integral float64
	at       time.Time
}

func (l *load) set(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance()
	l.n = n
}

func (l *load) advance() {
	now := time.Now()
	if !l.at.IsZero() {
		l.integral += float64(l.n) * now.Sub(l.at).Seconds()
	}
	l.at = now
}

func (l *load) Demand(string) (int, int, float64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance()
	return l.n, 0, l.integral, true
}

func TestLoopFollowsDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storetest.Memory(t)
		defer st.Close()
		r := slipway.Release{
			ID: "r", ServiceID: "s", Desired: slipway.DesiredRun, Size: 1,
			Scaling: slipway.Scaling{MaxConcurrency: 10, MinSize: 1, MaxSize: 5},
		}
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(
				tx.InsertService(slipway.Service{ID: "s", Name: "shop", ARN: "arn", Label: "l", Wanted: slipway.WantedRunning, ActiveRelease: "r"}),
				tx.InsertRelease(r))
		})
		if err != nil {
			t.Fatal(err)
		}
		demand := &load{}
		s, err := New(Config{Store: st, Demand: demand, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() { s.Run(ctx) })
		expect := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			var got slipway.Release
			if err := st.View(ctx, func(tx *store.Tx) (err error) { got, err = tx.Release("r"); return err }); err != nil {
				t.Fatal(err)
			}
			if got.Size != want {
				t.Errorf("%s: size %d, want %d", when, got.Size, want)
			}
		}
		synctest.Wait()
		demand.set(45)
		s.Nudge("s")
		expect("at once with a nudge", 5)
		time.Sleep(30 * time.Second)
		demand.set(3)
		time.Sleep(50 * time.Second)
		expect("50 s after the peak", 5)
		time.Sleep(15 * time.Second)
		expect("65 s after the peak", 4)
		time.Sleep(5 * time.Minute)
		expect("minutes later", 1)
		demand.set(25)
		time.Sleep(2 * time.Second)
		expect("without a nudge", 3)

		err = st.Update(ctx, func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
		if err != nil {
			t.Fatal(err)
		}
		demand.set(1000)
		s.Nudge("s")
		expect("of a release that is stopped", 3)
	})
}
