package scale

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
	busy     time.Time // when n was last above 0
	began    bool      // since the last call of Began
	asked    int       // calls of Demand
}

func (l *load) set(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance()
	if l.n > 0 || n > 0 {
		l.busy = time.Now()
	}
	l.began = l.began || l.n == 0 && n > 0
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
	l.asked++
	return l.n, 0, l.integral, true
}

func (l *load) Began() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began {
		ids = append(ids, "s")
	}
	l.began = false
	return ids
}

// asks returns how often Demand was called since the last call.
func (l *load) asks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.asked
	l.asked = 0
	return n
}

func (l *load) Idle(string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n > 0 {
		return 0
	}
	return time.Since(l.busy)
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
		if e, ok := s.Explain("s"); !ok || e.Last != e.Change || e.Change.Was != 1 || e.Change.Size != 5 || e.Change.Now != 45 || e.Change.Reason != "45 requests need 5 instances" {
			t.Errorf("explained by %+v, %v", e, ok)
		}
		time.Sleep(30 * time.Second)
		demand.set(3)
		time.Sleep(50 * time.Second)
		expect("50 s after the peak", 5)
		if e, _ := s.Explain("s"); e.Last.Now != 3 || e.Last.Size != 5 || e.Last.Reason != "enough" || e.Change.Now != 45 || time.Since(e.Last.At) > 2*time.Second {
			t.Errorf("50 s after the peak explained by %+v", e)
		}
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

// sleeper is a running scaler and a service that may have no instance.
type sleeper struct {
	t       *testing.T
	store   *store.Store
	demand  *load
	scaler  *Scaler
	release slipway.Release
}

const sleeperARN = "arn:aws:apprunner:us-east-1:000000000000:service/shop/s"

// sleeping runs a test of a service that is stopped after 20 seconds, with ready instances.
func sleeping(t *testing.T, size int, test func(b *sleeper)) {
	synctest.Test(t, func(t *testing.T) {
		b := &sleeper{t: t, store: storetest.Memory(t), demand: &load{}}
		defer b.store.Close()
		b.demand.set(1)
		b.release = slipway.Release{
			ID: "r", ServiceID: "s", Desired: slipway.DesiredRun, Size: size, CreatedAt: time.Now(),
			Scaling: slipway.Scaling{MaxConcurrency: 10, MinSize: 3, MaxSize: 5},
		}
		b.update(func(tx *store.Tx) error {
			return errors.Join(
				tx.InsertService(slipway.Service{ID: "s", Name: "shop", ARN: sleeperARN, Label: "l", Wanted: slipway.WantedRunning, ActiveRelease: "r"}),
				tx.SetTags(sleeperARN, []slipway.Tag{{Key: "slipway:min-size", Value: "0"}, {Key: "slipway:stop-after", Value: "20"}}),
				tx.InsertRelease(b.release))
		})
		b.instances(slipway.InstanceReady)
		var err error
		b.scaler, err = New(Config{Store: b.store, Demand: b.demand, Router: "own", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() { b.scaler.Run(ctx) })
		b.beat("own")
		test(b)
	})
}

func (b *sleeper) update(f func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

// instances writes the rows of the release's instances, as the fleet would.
func (b *sleeper) instances(state slipway.InstanceState) {
	b.update(func(tx *store.Tx) error {
		i := slipway.Instance{ID: "i", ServiceID: "s", ReleaseID: "r", State: state, CreatedAt: time.Now()}
		if state == slipway.InstanceReady {
			i.ReadyAt = time.Now()
		}
		return tx.PutInstance(i)
	})
}

func (b *sleeper) beat(router string) {
	b.update(func(tx *store.Tx) error { return tx.PutRouter(router, 1, time.Now()) })
}

func (b *sleeper) expect(when string, want int) {
	b.t.Helper()
	synctest.Wait()
	var got slipway.Release
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) { got, err = tx.Release("r"); return err }); err != nil {
		b.t.Fatal(err)
	}
	if got.Size != want {
		b.t.Errorf("%s: size %d, want %d", when, got.Size, want)
	}
}

func (b *sleeper) events() (texts []string) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		list, err := tx.LastEvents(store.EventQuery{ServiceID: "s"})
		for _, e := range list {
			texts = append(texts, e.Text)
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return texts
}

// All instances of an idle service go at once, a request has one started at once, and the
// service's log tells of both.
func TestLoopStopsAndStarts(t *testing.T) {
	t.Parallel()
	sleeping(t, 3, func(b *sleeper) {
		b.demand.set(25)
		time.Sleep(time.Minute)
		b.expect("with 25 requests", 3)
		b.demand.set(0)
		time.Sleep(19 * time.Second)
		b.expect("idle for 19 s", 3)
		time.Sleep(3 * time.Second)
		b.expect("idle for 22 s", 0)
		time.Sleep(time.Hour)
		b.expect("an hour later", 0)
		b.demand.set(1)
		b.scaler.Nudge("s")
		b.expect("a request", 1)
		b.instances(slipway.InstanceReady)
		b.demand.set(0)
		time.Sleep(22 * time.Second)
		b.expect("idle again", 0)
		want := []string{
			"No request came for 20s. All instances are stopped; the next request starts one.",
			"A request came after 1h0m2s without an instance. Starting 1.",
			"No request came for 20s. All instances are stopped; the next request starts one.",
		}
		if got := b.events(); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		for range 20 { // it wakes and sleeps every 24 s
			b.demand.set(1)
			b.scaler.Nudge("s")
			synctest.Wait()
			b.demand.set(0)
			time.Sleep(24 * time.Second)
			b.expect("idle again", 0)
		}
		if n := len(b.events()); n > 3+2*8 {
			t.Errorf("%d lines in the service's log after 8 minutes", n)
		}
		b.update(func(tx *store.Tx) error { return tx.DeleteTags(sleeperARN, []string{"slipway:min-size"}) })
		time.Sleep(2 * time.Second)
		b.expect("without the setting", 3)
	})
}

// A service without demand costs nothing: no decision is made about it until it has demand,
// is changed, or is to be stopped.
func TestLoopRests(t *testing.T) {
	t.Parallel()
	sleeping(t, 1, func(b *sleeper) {
		b.update(func(tx *store.Tx) error {
			return tx.SetTags(sleeperARN, []slipway.Tag{{Key: "slipway:stop-after", Value: "7200"}})
		})
		b.demand.set(0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		decided := func(when string, least, most int) {
			t.Helper()
			synctest.Wait()
			if n := b.demand.asks(); n < least || n > most {
				t.Errorf("%s: %d decisions, want %d to %d", when, n, least, most)
			}
		}
		b.demand.asks()
		time.Sleep(time.Hour)
		decided("an hour at rest", 0, 0)
		b.expect("an hour at rest", 1)
		if e, ok := b.scaler.Explain("s"); !ok || e.Last.At != time.Now() || e.Last.Idle.Round(time.Minute) != 62*time.Minute {
			t.Errorf("explained by %+v, %v after an hour at rest", e.Last, ok)
		}

		// Demand is seen without a nudge, and its average is that of the time since it began.
		b.demand.set(40)
		time.Sleep(3 * time.Second)
		b.expect("40 requests", 4)
		b.demand.set(0)
		time.Sleep(50 * time.Second)
		b.expect("50 s after them", 4)
		time.Sleep(2 * time.Minute)
		b.expect("3 minutes after them", 1)
		b.demand.asks()
		time.Sleep(time.Hour)
		decided("another hour at rest", 0, 2)

		// A setting that another process changes is seen within a minute.
		b.update(func(tx *store.Tx) error { return tx.DeleteTags(sleeperARN, []string{"slipway:min-size"}) })
		time.Sleep(time.Minute)
		b.expect("without the setting", 3)
		b.update(func(tx *store.Tx) error {
			return tx.SetTags(sleeperARN, []slipway.Tag{{Key: "slipway:min-size", Value: "0"}})
		})
		time.Sleep(3 * time.Hour)
		b.expect("three hours later", 0)
		b.demand.asks()
		time.Sleep(24 * time.Hour)
		decided("a day without an instance", 0, 2)
		b.demand.set(1)
		time.Sleep(2 * time.Second)
		b.expect("a request, without a nudge", 1)
	})
}

// What keeps an idle service from being stopped: each lasts a minute, and the service is
// stopped when it is over.
func TestLoopKeepsInstances(t *testing.T) {
	t.Parallel()
	operation := slipway.Operation{ID: "op", ServiceID: "s", Kind: slipway.UpdateService}
	for name, c := range map[string]struct{ begin, end func(b *sleeper) }{
		"another router lives": {func(b *sleeper) {
			for range 60 {
				b.beat("other")
				time.Sleep(time.Second)
			}
		}, func(*sleeper) {}},
		"an operation is live": {func(b *sleeper) {
			b.update(func(tx *store.Tx) error { return tx.InsertOperation(operation) })
			time.Sleep(time.Minute)
		}, func(b *sleeper) {
			b.update(func(tx *store.Tx) error {
				op, err := tx.Operation("op")
				op.Status = slipway.OperationSucceeded
				return errors.Join(err, tx.SaveOperation(op))
			})
		}},
		"an instance starts": {func(b *sleeper) {
			b.instances(slipway.InstanceStarting)
			time.Sleep(time.Minute)
		}, func(b *sleeper) {
			b.instances(slipway.InstanceReady)
			time.Sleep(18 * time.Second)
			b.expect("18 s after the instance is ready", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sleeping(t, 1, func(b *sleeper) {
				b.demand.set(0)
				c.begin(b)
				b.expect("a minute", 1)
				c.end(b)
				time.Sleep(40 * time.Second)
				b.expect("afterwards", 0)
			})
		})
	}
}
