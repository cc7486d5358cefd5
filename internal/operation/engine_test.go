package operation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// fixture is a store and engines over a plan, in a bubble.
type fixture struct {
	t     *testing.T
	store *store.Store
	plan  operation.Plan
	limit int          // of the engines; their default when 0
	log   slog.Handler // of the engines; nil: none
	now   func() time.Time
	wg    sync.WaitGroup
}

func inBubble(t *testing.T, plan operation.Plan, f func(b *fixture)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := storetest.Memory(t)
		defer s.Close()
		if plan.FailedStatus == nil {
			plan.FailedStatus = func(slipway.Operation) slipway.OperationStatus { return slipway.OperationFailed }
		}
		b := &fixture{t: t, store: s, plan: plan}
		defer b.wg.Wait()
		f(b)
	})
}

// start runs an engine until stop is called; stop waits for its end.
func (b *fixture) start(owner string) (stop func()) {
	b.t.Helper()
	log := slog.DiscardHandler
	if b.log != nil {
		log = b.log
	}
	e, err := operation.New(operation.Config{
		Store: b.store, Owner: owner, Log: slog.New(log), Limit: b.limit, Now: b.now,
		Plan: func(slipway.OperationKind) (operation.Plan, bool) { return b.plan, true },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.wg.Go(func() { defer close(done); e.Run(ctx) })
	return func() { cancel(); <-done }
}

func (b *fixture) ask() string {
	b.t.Helper()
	op := slipway.Operation{ID: slipway.NewID(), ServiceID: slipway.NewID(), Kind: slipway.UpdateService, CreatedAt: time.Now()}
	if err := b.store.Update(context.Background(), func(tx *store.Tx) error { return tx.InsertOperation(op) }); err != nil {
		b.t.Fatal(err)
	}
	return op.ID
}

func (b *fixture) read(id string) (op slipway.Operation) {
	b.t.Helper()
	err := b.store.View(context.Background(), func(tx *store.Tx) (err error) { op, err = tx.Operation(id); return err })
	if err != nil {
		b.t.Fatal(err)
	}
	return op
}

func (b *fixture) expect(id string, status slipway.OperationStatus, cause string) {
	b.t.Helper()
	if op := b.read(id); op.Status != status || !strings.Contains(op.Cause, cause) {
		b.t.Errorf("operation is %s at %q with cause %q, want %s with %q", op.Status, op.Step, op.Cause, status, cause)
	}
}

func never(*store.Tx, *slipway.Operation, time.Time) (bool, string, error) {
	return false, "nothing comes", nil
}

func TestWorkIsTriedFiveTimes(t *testing.T) {
	var tries atomic.Int32
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(context.Context, *slipway.Operation) error {
		tries.Add(1)
		return errors.New("connection reset")
	}}}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(2*time.Second + 4*time.Second + 8*time.Second)
		synctest.Wait()
		if n := tries.Load(); n != 4 {
			t.Errorf("%d tries within 14 s, want 4", n)
		}
		time.Sleep(17 * time.Second)
		b.expect(id, slipway.OperationFailed, "connection reset")
		if n := tries.Load(); n != 5 {
			t.Errorf("%d tries, want 5", n)
		}
	})
}

func TestUsersMistakeIsNotTriedAgain(t *testing.T) {
	var tries atomic.Int32
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(context.Context, *slipway.Operation) error {
		tries.Add(1)
		return slipway.Errorf(slipway.InvalidRequest, "No such image.")
	}}}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(time.Second)
		b.expect(id, slipway.OperationFailed, "No such image.")
		if n := tries.Load(); n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
	})
}

func TestRestartDoesNotExtendADeadline(t *testing.T) {
	plan := operation.Plan{Forward: []operation.Step{{Name: "healthy", Wait: never, Limit: time.Minute}}}
	inBubble(t, plan, func(b *fixture) {
		stop := b.start("a")
		id := b.ask()
		time.Sleep(50 * time.Second)
		stop()
		b.expect(id, slipway.OperationInProgress, "")
		defer b.start("b")()
		time.Sleep(11 * time.Second)
		b.expect(id, slipway.OperationFailed, "it took longer than 1m0s: nothing comes")
	})
}

// Limits count the time in which a process executes the step: a step of the clock neither
// ends nor extends them, in the process and between two.
func TestClockStepsDuringALimit(t *testing.T) {
	plan := operation.Plan{Forward: []operation.Step{{Name: "healthy", Wait: never, Limit: time.Minute}}}
	for name, by := range map[string]time.Duration{"forward": 6 * time.Hour, "back": -6 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plan, func(b *fixture) {
				var off atomic.Int64
				b.now = func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
				stop := b.start("a")
				id := b.ask()
				time.Sleep(20 * time.Second)
				off.Add(int64(by))
				time.Sleep(20 * time.Second)
				b.expect(id, slipway.OperationInProgress, "")
				stop()
				off.Add(int64(by))
				time.Sleep(time.Hour) // nobody executes it
				defer b.start("b")()
				time.Sleep(15 * time.Second)
				b.expect(id, slipway.OperationInProgress, "")
				time.Sleep(6 * time.Second)
				b.expect(id, slipway.OperationFailed, "it took longer than 1m0s: nothing comes")
			})
		})
	}
}

// A process that is silent for as long as its lease has lost its operations to others,
// whatever the clock does meanwhile; one that renews its lease has not.
func TestClockStepsDuringALease(t *testing.T) {
	for name, by := range map[string]time.Duration{"forward": 6 * time.Hour, "back": -6 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var begun atomic.Int32
			plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(ctx context.Context, _ *slipway.Operation) error {
				begun.Add(1)
				<-ctx.Done()
				return ctx.Err()
			}}}}
			inBubble(t, plan, func(b *fixture) {
				var off atomic.Int64
				b.now = func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
				defer b.start("a")()
				b.ask()
				time.Sleep(time.Second)
				defer b.start("b")()
				off.Add(int64(by))
				time.Sleep(10 * time.Minute)
				if n := begun.Load(); n != 1 {
					t.Errorf("the step began %d times while its process renewed the lease", n)
				}
				// A process that nobody hears of again claims an operation.
				id := slipway.NewID()
				if err := b.store.Update(context.Background(), func(tx *store.Tx) error {
					err := tx.InsertOperation(slipway.Operation{ID: id, ServiceID: slipway.NewID(), Kind: slipway.UpdateService, CreatedAt: b.now()})
					if err == nil {
						_, err = tx.ClaimOperation("dead", b.now().Add(30*time.Second))
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
				off.Add(int64(by))
				time.Sleep(20 * time.Second)
				if op := b.read(id); op.Owner != "dead" {
					t.Errorf("%s claims an operation whose lease is not over", op.Owner)
				}
				time.Sleep(20 * time.Second)
				if op := b.read(id); op.Owner == "dead" {
					t.Error("nobody claims the operation of a process that died 40 s ago")
				}
			})
		})
	}
}

func TestWorkIsEndedAtItsLimit(t *testing.T) {
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Limit: time.Minute, Work: func(ctx context.Context, _ *slipway.Operation) error {
		<-ctx.Done()
		return ctx.Err()
	}}}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(61 * time.Second)
		b.expect(id, slipway.OperationFailed, "it took longer than 1m0s")
	})
}

func TestShutdownCountsNoTryAndHandsBack(t *testing.T) {
	var tries atomic.Int32
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(ctx context.Context, _ *slipway.Operation) error {
		if tries.Add(1) > 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}}}
	inBubble(t, plan, func(b *fixture) {
		stop := b.start("a")
		id := b.ask()
		time.Sleep(time.Second)
		stop()
		if op := b.read(id); op.Attempt != 0 || op.Cause != "" {
			t.Errorf("shutdown left attempt %d and cause %q", op.Attempt, op.Cause)
		}
		defer b.start("b")()
		time.Sleep(time.Second) // no lease to wait for
		b.expect(id, slipway.OperationSucceeded, "")
	})
}

func TestLeaseIsKeptThroughLongWork(t *testing.T) {
	var running, most atomic.Int32
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(ctx context.Context, _ *slipway.Operation) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(10 * time.Minute)
		return ctx.Err()
	}}}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		defer b.start("b")()
		id := b.ask()
		time.Sleep(11 * time.Minute)
		b.expect(id, slipway.OperationSucceeded, "")
		if most.Load() != 1 {
			t.Errorf("%d engines worked on one operation", most.Load())
		}
	})
}

// A lease that was renewed during a long step is not taken back by the end of the step.
func TestLongStepKeepsTheLease(t *testing.T) {
	var begun atomic.Int32
	plan := operation.Plan{Forward: []operation.Step{
		{Name: "build", Work: func(context.Context, *slipway.Operation) error {
			time.Sleep(10*time.Minute + 5*time.Second) // between two renewals
			return nil
		}},
		{Name: "start", Work: func(ctx context.Context, _ *slipway.Operation) error {
			begun.Add(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Second):
				return nil
			}
		}},
	}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		defer b.start("b")()
		id := b.ask()
		time.Sleep(11 * time.Minute)
		b.expect(id, slipway.OperationSucceeded, "")
		if n := begun.Load(); n != 1 {
			t.Errorf("the step after the long one began %d times", n)
		}
	})
}

// A failure of what a user deploys is no fault of the server: it logs no warning, however
// long the steps before it took.
func TestFailedOperationWarnsOfNothing(t *testing.T) {
	plan := operation.Plan{
		Forward: []operation.Step{
			{Name: "build", Work: func(context.Context, *slipway.Operation) error {
				time.Sleep(2 * time.Minute)
				return nil
			}},
			{Name: "healthy", Wait: never, Limit: 5 * time.Minute},
		},
		Rollback: []operation.Step{{Name: "restore", Edit: func(*store.Tx, *slipway.Operation, time.Time) error { return nil }}},
	}
	inBubble(t, plan, func(b *fixture) {
		var log strings.Builder
		b.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})
		stop := b.start("a")
		id := b.ask()
		time.Sleep(8 * time.Minute)
		b.expect(id, slipway.OperationFailed, "nothing comes")
		stop()
		if log.Len() > 0 {
			t.Errorf("the server warns:\n%s", log.String())
		}
	})
}

func TestLostLeaseStopsTheOldOwner(t *testing.T) {
	var ended atomic.Value
	plan := operation.Plan{Forward: []operation.Step{{Name: "build", Work: func(ctx context.Context, _ *slipway.Operation) error {
		<-ctx.Done()
		ended.Store(context.Cause(ctx))
		return ctx.Err()
	}}}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(time.Second)
		// Another node takes it over, as after a long silence of this one.
		err := b.store.Update(context.Background(), func(tx *store.Tx) error {
			leases, err := tx.Leases()
			if err != nil || len(leases) != 1 {
				return fmt.Errorf("leases %v: %w", leases, err)
			}
			if err := tx.EndLease(leases[0]); err != nil {
				return err
			}
			_, err = tx.ClaimOperation("b", time.Now().Add(2*time.Hour))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err, _ := ended.Load().(error); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("work ended with %v, want the lost lease", err)
		}
		b.expect(id, slipway.OperationInProgress, "")
	})
}

// cancel cancels an operation as the API does.
func (b *fixture) cancel(id string) {
	b.t.Helper()
	op := b.read(id)
	err := b.store.Update(context.Background(), func(tx *store.Tx) error {
		return tx.CancelOperation(op, slipway.Cancellation{By: "ann", At: time.Now()})
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Every step of an operation ends at once when the operation is cancelled.
func TestCancelRollsBackAtOnce(t *testing.T) {
	blocks := func(ctx context.Context, _ *slipway.Operation) error { <-ctx.Done(); return ctx.Err() }
	fails := func(context.Context, *slipway.Operation) error { return errors.New("connection reset") }
	for name, step := range map[string]operation.Step{
		"wait":                 {Name: "healthy", Wait: never},
		"work":                 {Name: "build", Work: blocks},
		"work with a limit":    {Name: "build", Work: blocks, Limit: time.Hour},
		"pause before a retry": {Name: "build", Work: fails},
	} {
		t.Run(name, func(t *testing.T) {
			var restored atomic.Bool
			plan := operation.Plan{
				Forward: []operation.Step{step},
				Rollback: []operation.Step{{Name: "restore", Edit: func(*store.Tx, *slipway.Operation, time.Time) error {
					restored.Store(true)
					return nil
				}}},
			}
			inBubble(t, plan, func(b *fixture) {
				defer b.start("a")()
				id := b.ask()
				time.Sleep(7 * time.Second) // in the third pause of the step that fails
				b.cancel(id)
				synctest.Wait()
				b.expect(id, slipway.OperationFailed, "cancelled by ann at 2000-01-01T00:00:07Z")
				if !restored.Load() {
					t.Error("it was not rolled back")
				}
			})
		})
	}
}

// A rollback keeps its pauses between attempts after a cancellation.
func TestCancelledRollbackIsTriedAgain(t *testing.T) {
	var tries atomic.Int32
	plan := operation.Plan{
		Forward: []operation.Step{{Name: "healthy", Wait: never}},
		Rollback: []operation.Step{{Name: "restore", Edit: func(*store.Tx, *slipway.Operation, time.Time) error {
			if tries.Add(1) < 3 {
				return errors.New("disk I/O error")
			}
			return nil
		}}},
	}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(time.Second)
		b.cancel(id)
		synctest.Wait()
		b.expect(id, slipway.OperationRollbackInProgress, "cancelled by ann")
		time.Sleep(time.Minute)
		b.expect(id, slipway.OperationFailed, "cancelled by ann")
	})
}

// A cancelled operation that was never claimed takes no step. It does not wait for
// a slot of the engine.
func TestCancelBeforeTheBeginning(t *testing.T) {
	var stepped, began atomic.Int32
	plan := operation.Plan{
		Forward: []operation.Step{{Name: "build", Work: func(ctx context.Context, _ *slipway.Operation) error {
			stepped.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}}},
		Begin: func(*store.Tx, *slipway.Operation) error { began.Add(1); return nil },
	}
	inBubble(t, plan, func(b *fixture) {
		id := b.ask()
		b.cancel(id)
		b.limit = 1
		defer b.start("a")()
		synctest.Wait()
		b.expect(id, slipway.OperationFailed, "cancelled by ann")
		if stepped.Load() != 0 || began.Load() == 0 {
			t.Errorf("%d steps, begun %d times", stepped.Load(), began.Load())
		}
		first := b.ask()
		synctest.Wait()
		second := b.ask()
		time.Sleep(time.Minute)
		b.expect(second, slipway.OperationPending, "")
		b.cancel(second)
		synctest.Wait()
		b.expect(second, slipway.OperationFailed, "cancelled by ann")
		b.expect(first, slipway.OperationInProgress, "")
		if stepped.Load() != 1 {
			t.Errorf("%d steps, want that of the first operation", stepped.Load())
		}
	})
}

func TestFailedWayBackEnds(t *testing.T) {
	plan := operation.Plan{
		Forward: []operation.Step{{Name: "healthy", Wait: never, Limit: time.Second}},
		Rollback: []operation.Step{{Name: "restore", Edit: func(*store.Tx, *slipway.Operation, time.Time) error {
			return operation.Fatal(errors.New("the old release is gone"))
		}}},
	}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(5 * time.Second)
		b.expect(id, slipway.OperationRollbackFailed, "it took longer than 1s")
	})
}

func TestUnknownStepTurnsBack(t *testing.T) {
	plan := operation.Plan{Forward: []operation.Step{{Name: "old name", Wait: never}}}
	inBubble(t, plan, func(b *fixture) {
		stop := b.start("a")
		id := b.ask()
		time.Sleep(time.Second)
		stop()
		b.plan.Forward = []operation.Step{{Name: "new name", Wait: never}}
		defer b.start("b")()
		time.Sleep(2 * time.Second)
		b.expect(id, slipway.OperationFailed, "does not know the step")
	})
}

func TestEditsAreUndoneWithTheirCheckpoint(t *testing.T) {
	plan := operation.Plan{Forward: []operation.Step{
		{Name: "first", Edit: func(tx *store.Tx, op *slipway.Operation, now time.Time) error {
			return tx.InsertEvent(slipway.Event{ServiceID: op.ServiceID, Stream: "events", At: now, Text: "edited"})
		}},
		{Name: "second", Edit: func(*store.Tx, *slipway.Operation, time.Time) error {
			return operation.Fatal(errors.New("refused"))
		}},
	}}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		id := b.ask()
		time.Sleep(time.Second)
		b.expect(id, slipway.OperationFailed, "refused")
		op := b.read(id)
		b.store.View(context.Background(), func(tx *store.Tx) error {
			lines, err := tx.EventsByTime(store.EventQuery{ServiceID: op.ServiceID, Stream: "events"})
			if err != nil || len(lines) != 0 {
				t.Errorf("lines %v, err %v: an edit outlived its transaction", lines, err)
			}
			return nil
		})
	})
}

// While a step waits, people are told what for: once, and again when it changes.
func TestWaitingIsTold(t *testing.T) {
	var text atomic.Value
	text.Store("port 8080")
	var mu sync.Mutex
	var lines []string
	plan := operation.Plan{
		Forward: []operation.Step{{Name: "healthy", Limit: time.Minute, Wait: func(*store.Tx, *slipway.Operation, time.Time) (bool, string, error) {
			return false, text.Load().(string), nil
		}}},
		Waiting: func(_ *store.Tx, _ *slipway.Operation, waiting string) error {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, waiting)
			return nil
		},
	}
	inBubble(t, plan, func(b *fixture) {
		defer b.start("a")()
		b.ask()
		time.Sleep(2 * time.Second)
		mu.Lock()
		if len(lines) > 0 {
			t.Errorf("told %q at once", lines)
		}
		mu.Unlock()
		time.Sleep(8 * time.Second)
		text.Store("port 3000")
		time.Sleep(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(lines, ", "); got != "port 8080, port 3000" {
			t.Errorf("told %q", got)
		}
	})
}
