package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

const (
	maxAttempts  = 5               // tries of one work step
	firstBackoff = 2 * time.Second // doubles with each try
	storeBackoff = time.Second     // after a database error, which does not count as a try
)

// worker executes one claimed operation. Only the worker's goroutine reads and
// writes op.
type worker struct {
	*Engine
	op      slipway.Operation
	id      string        // of op; never changes once the worker is started
	fence   int64         // of op, likewise
	nudge   chan struct{} // rows changed that a wait step may read
	renew   chan struct{} // somebody cancelled the operation
	log     *slog.Logger
	pending *Step  // the work or wait step that advanceClaimed stopped at; next takes it
	waiting string // what the current wait step reported missing last
	killed  bool   // Checkpoint returned an error: write nothing more

	at atomic.Pointer[stepTime] // of op's step; keepLease reads it too
}

// stepTime says since when a step is executed: in this process, less what others have spent
// on it before. It holds a reading of the monotonic clock.
type stepTime struct {
	status slipway.OperationStatus
	step   string
	began  time.Time
}

// set makes op the worker's operation.
func (w *worker) set(op slipway.Operation) {
	if at := w.at.Load(); at == nil || at.step != op.Step || at.status != op.Status {
		w.at.Store(&stepTime{op.Status, op.Step, time.Now().Add(-op.Spent)})
	}
	w.op = op
}

// spent returns how long the worker's current step has been executed.
func (w *worker) spent() time.Duration {
	if at := w.at.Load(); at != nil {
		return time.Since(at.began)
	}
	return w.op.Spent // it was claimed just now
}

// errDamaged ends an operation that nobody knows any more what to do of.
var errDamaged = errors.New("what was asked for cannot be read any more, since its row in the server's database is damaged: make the call again")

// failure is an error that a step returned. Other errors come from the database.
type failure struct {
	step string
	err  error
}

func (f *failure) Error() string { return f.step + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (w *worker) execute(parent context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	forward, endSteps := context.WithCancelCause(ctx) // ends when somebody cancels the operation
	defer endSteps(nil)
	go w.keepLease(ctx, cancel, endSteps, w.op.ID, w.op.Fence)
	for w.op.Status.Live() {
		steps := forward
		if w.op.Status == slipway.OperationRollbackInProgress {
			steps = ctx
		}
		err := w.next(steps)
		if w.killed {
			return
		}
		if err == nil {
			continue
		}
		switch cause := context.Cause(ctx); {
		case errors.Is(err, errLeaseLost) || errors.Is(cause, errLeaseLost):
			w.log.Warn("lease lost: another process executes the operation", "step", w.op.Step)
			return
		case parent.Err() != nil:
			w.releaseLease()
			return
		default:
			w.handleError(ctx, steps, err)
		}
	}
	if err := w.cfg.Store.Sync(); err != nil { // who reads the end waits for that
		w.log.Error("end of the operation may not survive a power loss", "err", err)
	}
}

// handleError retries the step or rolls the operation back if the step failed.
// Any other error comes from the database: the worker waits for it to recover.
// steps is the context of the steps, which a cancellation of the operation ends.
func (w *worker) handleError(ctx, steps context.Context, err error) {
	f, ok := errors.AsType[*failure](err)
	if c, stopped := errors.AsType[cancelled](context.Cause(steps)); stopped && (ok || errors.Is(err, c)) {
		f, ok = &failure{step: w.op.Step, err: Fatal(c)}, true
	}
	if !ok {
		w.log.Error("cannot save operation, will retry", "step", w.op.Step, "err", err)
		loop.Pause(ctx, storeBackoff)
		return
	}
	if err := w.handleFailure(steps, f); err != nil && !errors.Is(err, errLeaseLost) {
		w.log.Error("cannot save failure of operation, will retry", "step", f.step, "err", err)
		loop.Pause(ctx, storeBackoff)
	}
}

// next takes edits and met waits, then does the work or wait step that follows.
func (w *worker) next(ctx context.Context) error {
	step := w.pending
	if w.pending = nil; step == nil {
		var err error
		if step, err = w.advance(); err != nil || step == nil {
			return err
		}
	}
	if step.Work != nil {
		return w.work(ctx, *step)
	}
	return w.wait(ctx, *step)
}

// advance takes, in one transaction, all steps up to the next work step or
// unmet wait. It returns that step, or nil when the operation has ended.
func (w *worker) advance() (pending *Step, err error) {
	op := w.op
	// The transaction ignores cancellation: an edit is short and completes.
	err = w.update(op, func(tx *store.Tx) error {
		if w.op.Cancel, err = tx.CancellationOf(op.ID); err != nil {
			return err
		}
		op, pending, err = w.advanceIn(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if w.op.Step != op.Step || w.op.Status != op.Status {
		w.log.Debug("operation advanced", "from", w.op.Step, "to", op.Step, "status", op.Status)
	}
	w.set(op)
	return pending, nil
}

// advanceClaimed is advance in the transaction that claims the operation.
func (w *worker) advanceClaimed(tx *store.Tx) error {
	if err := w.checkpoint("before commit at " + w.op.Step); err != nil {
		return err
	}
	op, stop, err := w.advanceIn(tx)
	if err == nil {
		w.set(op)
		w.pending = stop
	}
	return err
}

// advanceIn starts the operation if it is pending and takes steps until one
// needs more than the database. It returns the operation as saved. It takes no
// step forward of an operation that is cancelled: since it reads that in the
// transaction of the steps, no step overtakes a request.
func (w *worker) advanceIn(tx *store.Tx) (op slipway.Operation, pending *Step, err error) {
	op = w.op
	op.Spent = w.spent()
	plan, known := w.cfg.Plan(op.Kind)
	if !known {
		return op, nil, &failure{step: op.Step, err: Fatal(errUnknownStep)}
	}
	now, changed := w.cfg.Now(), false
	if op.Status == slipway.OperationPending {
		changed = true
		op.Status, op.StartedAt = slipway.OperationInProgress, now
		if err := call(plan.Begin, tx, &op); errors.Is(err, store.ErrDamagedRow) {
			return op, nil, &failure{step: op.Step, err: Fatal(err)} // or no other would be claimed
		} else if err != nil {
			return op, nil, err
		}
		startStep(plan, &op, 0)
		if op.Cancel.Requested() { // begun all the same, so that it can roll back
			op.UpdatedAt = now
			return op, nil, tx.SaveOperation(op)
		}
	}
	if op.Cancel.Requested() && op.Status == slipway.OperationInProgress {
		return op, nil, &failure{step: op.Step, err: Fatal(cancelled{op.Cancel})}
	}
	if op.Damaged != "" && op.Status == slipway.OperationInProgress { // begun all the same, as above
		if changed {
			op.UpdatedAt = now
			return op, nil, tx.SaveOperation(op)
		}
		return op, nil, &failure{step: op.Step, err: Fatal(errDamaged)}
	}
	moved, err := w.runSteps(tx, plan, &op, &pending, now)
	if err != nil || !changed && !moved {
		return op, pending, err
	}
	op.UpdatedAt = now
	return op, pending, tx.SaveOperation(op)
}

// runSteps takes steps in tx until one needs more than the database.
func (w *worker) runSteps(tx *store.Tx, plan Plan, op *slipway.Operation, pending **Step, now time.Time) (moved bool, err error) {
	for {
		list, i, err := plan.at(*op)
		if err != nil {
			return moved, &failure{step: op.Step, err: Fatal(err)}
		}
		if i == len(list) || op.Step == "" {
			return true, w.finish(tx, plan, op, now)
		}
		step := list[i]
		switch {
		case step.Edit != nil:
			if err := step.Edit(tx, op, now); err != nil {
				return moved, &failure{step: step.Name, err: err}
			}
		case step.Wait != nil:
			done, waiting, err := step.Wait(tx, op, now)
			if err != nil {
				return moved, &failure{step: step.Name, err: err}
			}
			if !done {
				w.waiting, *pending = waiting, &step
				return moved, nil
			}
		default:
			skip, err := skipped(step, tx, op)
			if err != nil {
				return moved, &failure{step: step.Name, err: err}
			}
			if !skip {
				*pending = &step
				return moved, nil
			}
		}
		startStep(plan, op, i+1)
		moved = true
	}
}

func skipped(step Step, tx *store.Tx, op *slipway.Operation) (bool, error) {
	if step.Skip == nil {
		return false, nil
	}
	return step.Skip(tx, op)
}

// startStep moves op to the i-th step of the current list. Past the last step,
// op.Step is "".
func startStep(plan Plan, op *slipway.Operation, i int) {
	list := plan.Forward
	if op.Status == slipway.OperationRollbackInProgress {
		list = plan.Rollback
	}
	op.Step, op.Attempt, op.Spent = "", 0, 0
	if i < len(list) {
		op.Step = list[i].Name
	}
}

// finish ends the operation in the transaction of its last step.
func (w *worker) finish(tx *store.Tx, plan Plan, op *slipway.Operation, now time.Time) error {
	if op.Status == slipway.OperationRollbackInProgress {
		op.Status = plan.FailedStatus(*op)
	} else {
		op.Status = slipway.OperationSucceeded
	}
	op.EndedAt = now
	if err := call(plan.Finish, tx, op); err != nil {
		return err
	}
	return nil
}

func call(f func(*store.Tx, *slipway.Operation) error, tx *store.Tx, op *slipway.Operation) error {
	if f == nil {
		return nil
	}
	return f(tx, op)
}

// work does a work step and then saves op.State and the next step together.
func (w *worker) work(ctx context.Context, step Step) error {
	if err := w.checkpoint("before work " + step.Name); err != nil {
		return err
	}
	wctx := ctx
	if step.Limit > 0 {
		limit := fmt.Errorf("it took longer than %s", step.Limit)
		var cancel context.CancelFunc
		wctx, cancel = context.WithTimeoutCause(ctx, step.Limit-w.spent(), Fatal(limit))
		defer cancel()
	}
	op := w.op
	if err := step.Work(wctx, &op); err != nil {
		if ctx.Err() == nil && wctx.Err() != nil {
			err = context.Cause(wctx)
		}
		return &failure{step: step.Name, err: err}
	}
	if err := w.checkpoint("after work " + step.Name); err != nil {
		return err
	}
	plan, _ := w.cfg.Plan(op.Kind)
	_, i, err := plan.at(op)
	if err != nil {
		return &failure{step: step.Name, err: Fatal(err)}
	}
	err = w.update(op, func(tx *store.Tx) error {
		now := w.cfg.Now()
		startStep(plan, &op, i+1)
		op.UpdatedAt = now
		return tx.SaveOperation(op)
	})
	if err == nil {
		w.set(op)
	}
	return err
}

// wait returns nil when the step's condition is met, and fails past its
// deadline. It checks at each nudge and poll interval in a read transaction,
// which does not hold up writers; advance then checks again in its own.
func (w *worker) wait(ctx context.Context, step Step) error {
	poll := time.NewTimer(w.cfg.Poll)
	defer poll.Stop()
	told := telling{next: time.Now().Add(tellAfter)}
	for {
		if step.Limit > 0 && w.spent() >= step.Limit {
			return &failure{step: step.Name, err: Fatal(fmt.Errorf("it took longer than %s: %s", step.Limit, w.waiting))}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.nudge:
		case <-poll.C:
			poll.Reset(w.cfg.Poll)
		}
		ready := false
		err := w.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
			op := w.op
			op.Spent = w.spent()
			done, waiting, err := step.Wait(tx, &op, w.cfg.Now())
			ready, w.waiting = done || err != nil, waiting
			return nil // advance gets the same error in its transaction
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || ready {
			return err
		}
		if err := w.tell(&told); err != nil {
			return err
		}
	}
}

const (
	tellAfter = 3 * time.Second  // a wait step waits before people are told what for
	tellEvery = 10 * time.Second // between two tellings
)

// telling is what people were told of a wait step.
type telling struct {
	next time.Time
	text string
}

// tell has the plan tell people what the step waits for, if that is news.
func (w *worker) tell(told *telling) error {
	plan, _ := w.cfg.Plan(w.op.Kind)
	if plan.Waiting == nil || w.waiting == told.text || time.Now().Before(told.next) {
		return nil
	}
	told.text, told.next = w.waiting, time.Now().Add(tellEvery)
	op := w.op
	op.Spent = w.spent()
	return w.update(op, func(tx *store.Tx) error {
		if err := plan.Waiting(tx, &op, w.waiting); err != nil {
			return err
		}
		return tx.SaveOperation(op) // fails if another process has the lease
	})
}

// handleFailure records the failure of a step: it retries the step after a
// pause, which ends early with ctx, or starts the rollback.
func (w *worker) handleFailure(ctx context.Context, f *failure) error {
	plan, known := w.cfg.Plan(w.op.Kind)
	final := isFatal(f.err) || w.op.Attempt+1 >= maxAttempts
	if !final {
		op := w.op
		op.Attempt, op.Spent = op.Attempt+1, w.spent()
		w.log.Warn("step failed, will retry", "step", f.step, "attempt", op.Attempt, "err", f.err)
		if err := w.update(op, func(tx *store.Tx) error { return tx.SaveOperation(op) }); err != nil {
			return err
		}
		w.op = op // at the same step
		loop.Pause(ctx, firstBackoff<<(op.Attempt-1))
		return nil
	}
	op := w.op
	err := w.update(op, func(tx *store.Tx) (err error) {
		op = w.op
		now := w.cfg.Now()
		op.UpdatedAt = now
		if op.Cancel, err = tx.CancellationOf(op.ID); err != nil {
			return err
		}
		switch {
		case op.Cause != "": // of the rollback that failed
		case op.Cancel.Requested():
			op.Cause = op.Cancel.String()
		default:
			op.Cause = f.err.Error()
		}
		if op.Status == slipway.OperationRollbackInProgress || !known {
			// The rollback failed. Cause keeps the reason why it started.
			op.Status, op.EndedAt, op.Step = slipway.OperationRollbackFailed, now, ""
			if err := call(plan.Finish, tx, &op); err != nil {
				return err
			}
			return tx.SaveOperation(op)
		}
		op.Status, op.Step = slipway.OperationRollbackInProgress, f.step
		if err := call(plan.OnRollback, tx, &op); err != nil {
			return err
		}
		startStep(plan, &op, 0)
		if len(plan.Rollback) == 0 {
			if err := w.finish(tx, plan, &op, now); err != nil {
				return err
			}
		}
		return tx.SaveOperation(op)
	})
	if err != nil {
		return err
	}
	w.log.Info("operation failed", "step", f.step, "cause", op.Cause, "status", op.Status)
	w.set(op)
	return nil
}

// update runs a transaction between two checkpoints.
func (w *worker) update(op slipway.Operation, f func(*store.Tx) error) error {
	if err := w.checkpoint("before commit at " + op.Step); err != nil {
		return err
	}
	if err := w.cfg.Store.UpdateUnsynced(context.Background(), f); err != nil {
		return err
	}
	return w.checkpoint("after commit at " + op.Step)
}

func (w *worker) checkpoint(point string) error {
	if w.cfg.Checkpoint == nil {
		return nil
	}
	err := w.cfg.Checkpoint(w.op, point)
	w.killed = w.killed || err != nil
	return err
}

// keepLease renews the lease after each third of it, and whenever somebody has
// cancelled the operation: renewing reads that, too, so that another process's
// request is seen after a third of the lease. It calls cancel when the lease is
// lost and endSteps when the operation is cancelled.
func (w *worker) keepLease(ctx context.Context, cancel, endSteps context.CancelCauseFunc, id string, fence int64) {
	tick := time.NewTicker(w.cfg.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.renew:
		}
		var request slipway.Cancellation
		err := w.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
			at := w.at.Load()
			request, err = tx.RenewLease(id, fence, w.cfg.Now().Add(w.cfg.Lease), at.step, time.Since(at.began))
			return err
		})
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			cancel(errLeaseLost)
			return
		case request.Requested():
			endSteps(cancelled{request})
		}
	}
}

// releaseLease makes the operation claimable at once, as this process stops.
func (w *worker) releaseLease() {
	err := w.cfg.Store.UpdateUnsynced(context.Background(), func(tx *store.Tx) error {
		_, err := tx.RenewLease(w.op.ID, w.op.Fence, time.Time{}, w.op.Step, w.spent())
		return err
	})
	if err != nil {
		w.log.Warn("cannot release lease, it will expire", "err", err)
	}
}
