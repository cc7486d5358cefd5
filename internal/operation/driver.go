package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

const (
	maxAttempts  = 5               // tries of one work step
	firstBackoff = 2 * time.Second // doubles with each try
	storeBackoff = time.Second     // database trouble is not a try
)

// driver takes one claimed operation as far as it can. It alone holds op while
// it lives.
type driver struct {
	*Engine
	op      slipway.Operation
	nudge   chan struct{}
	log     *slog.Logger
	stop    *Step  // the work or wait that begin stopped at; nil once next has seen it
	waiting string // what the current wait last said it misses
	killed  bool   // by Checkpoint: write nothing more
}

// failure is an error of a step, apart from trouble with the database.
type failure struct {
	step string
	err  error
}

func (f *failure) Error() string { return f.step + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (d *driver) drive(parent context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	go d.keepLease(ctx, cancel, d.op.ID, d.op.Fence)
	for d.op.Status.Live() {
		err := d.next(ctx)
		if d.killed {
			return
		}
		if err == nil {
			continue
		}
		switch cause := context.Cause(ctx); {
		case errors.Is(err, errLeaseLost) || errors.Is(cause, errLeaseLost):
			d.log.Warn("operation was taken over", "step", d.op.Step)
			return
		case parent.Err() != nil:
			d.handBack()
			return
		default:
			d.recover(ctx, err)
		}
	}
	if err := d.cfg.Store.Sync(); err != nil { // an end that was seen stays one
		d.log.Error("end of an operation may be lost with the machine", "err", err)
	}
}

// recover decides what an error means: a failure turns the operation back or
// is tried again, anything else is trouble with the database that passes.
func (d *driver) recover(ctx context.Context, err error) {
	if c, ok := errors.AsType[cancelled](context.Cause(ctx)); ok {
		err = &failure{step: d.op.Step, err: Fatal(c)}
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		d.log.Error("operation could not be saved; it goes on when the database answers", "step", d.op.Step, "err", err)
		pause(ctx, storeBackoff)
		return
	}
	if err := d.fail(ctx, f); err != nil && !errors.Is(err, errLeaseLost) {
		d.log.Error("failure of an operation could not be saved", "step", f.step, "err", err)
		pause(ctx, storeBackoff)
	}
}

// next advances over edits and answered waits, then works or waits for a nudge.
func (d *driver) next(ctx context.Context) error {
	step := d.stop
	if d.stop = nil; step == nil {
		var err error
		if step, err = d.advance(); err != nil || step == nil {
			return err
		}
	}
	if step.Work != nil {
		return d.work(ctx, *step)
	}
	return d.wait(ctx, *step)
}

// advance takes, in one transaction, every step that needs nothing but the
// database. It returns the work or the unanswered wait it stopped at, or nil
// when the operation has ended.
func (d *driver) advance() (stop *Step, err error) {
	op := d.op
	// Ctx does not reach here: an edit is short and ends whole.
	err = d.update(op, func(tx *store.Tx) error {
		op, stop, err = d.steps(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.op.Step != op.Step || d.op.Status != op.Status {
		d.log.Debug("operation advanced", "from", d.op.Step, "to", op.Step, "status", op.Status)
	}
	d.op = op
	return stop, nil
}

// begin is advance in the transaction of the claim.
func (d *driver) begin(tx *store.Tx) error {
	if err := d.checkpoint("before commit at " + d.op.Step); err != nil {
		return err
	}
	op, stop, err := d.steps(tx)
	if err == nil {
		d.op, d.stop = op, stop
	}
	return err
}

// steps begins the operation if it has not, and takes its steps as far as the
// database alone goes. It returns the operation as saved.
func (d *driver) steps(tx *store.Tx) (op slipway.Operation, stop *Step, err error) {
	op = d.op
	plan, known := d.cfg.Plan(op.Kind)
	if !known {
		return op, nil, &failure{step: op.Step, err: Fatal(errUnknownStep)}
	}
	now, changed := time.Now(), false
	if op.Status == slipway.OperationPending {
		changed = true
		op.Status, op.StartedAt = slipway.OperationInProgress, now
		if err := call(plan.Begin, tx, &op); err != nil {
			return op, nil, err
		}
		enter(plan, &op, 0, now)
	}
	moved, err := d.run(tx, plan, &op, &stop, now)
	if err != nil || !changed && !moved {
		return op, stop, err
	}
	op.UpdatedAt = now
	return op, stop, tx.SaveOperation(op)
}

// run takes steps inside a transaction until one needs the world outside.
func (d *driver) run(tx *store.Tx, plan Plan, op *slipway.Operation, stop **Step, now time.Time) (moved bool, err error) {
	for {
		list, i, err := plan.at(*op)
		if err != nil {
			return moved, &failure{step: op.Step, err: Fatal(err)}
		}
		if i == len(list) || op.Step == "" {
			return true, d.finish(tx, plan, op, now)
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
				d.waiting, *stop = waiting, &step
				return moved, nil
			}
		default:
			skip, err := skipped(step, tx, op)
			if err != nil {
				return moved, &failure{step: step.Name, err: err}
			}
			if !skip {
				*stop = &step
				return moved, nil
			}
		}
		enter(plan, op, i+1, now)
		moved = true
	}
}

func skipped(step Step, tx *store.Tx, op *slipway.Operation) (bool, error) {
	if step.Skip == nil {
		return false, nil
	}
	return step.Skip(tx, op)
}

// enter makes the i-th step of the current list the one op is at. Past the last
// one the step's name is "".
func enter(plan Plan, op *slipway.Operation, i int, now time.Time) {
	list := plan.Forward
	if op.Status == slipway.OperationRollbackInProgress {
		list = plan.Back
	}
	op.Step, op.Attempt, op.Deadline = "", 0, time.Time{}
	if i < len(list) {
		op.Step = list[i].Name
		if list[i].Limit > 0 {
			op.Deadline = now.Add(list[i].Limit)
		}
	}
}

// finish ends the operation in the transaction of its last step.
func (d *driver) finish(tx *store.Tx, plan Plan, op *slipway.Operation, now time.Time) error {
	if op.Status == slipway.OperationRollbackInProgress {
		op.Status = plan.Failed(*op)
	} else {
		op.Status = slipway.OperationSucceeded
	}
	op.EndedAt, op.LeaseUntil = now, time.Time{}
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

// work does a work step and saves what it left in op.State together with the
// step that follows.
func (d *driver) work(ctx context.Context, step Step) error {
	if err := d.checkpoint("before work " + step.Name); err != nil {
		return err
	}
	wctx := ctx
	if !d.op.Deadline.IsZero() {
		limit := fmt.Errorf("it took longer than %s", step.Limit)
		var cancel context.CancelFunc
		wctx, cancel = context.WithDeadlineCause(ctx, d.op.Deadline, Fatal(limit))
		defer cancel()
	}
	op := d.op
	if err := step.Work(wctx, &op); err != nil {
		if ctx.Err() == nil && wctx.Err() != nil {
			err = context.Cause(wctx)
		}
		return &failure{step: step.Name, err: err}
	}
	if err := d.checkpoint("after work " + step.Name); err != nil {
		return err
	}
	plan, _ := d.cfg.Plan(op.Kind)
	_, i, err := plan.at(op)
	if err != nil {
		return &failure{step: step.Name, err: Fatal(err)}
	}
	err = d.update(op, func(tx *store.Tx) error {
		now := time.Now()
		enter(plan, &op, i+1, now)
		op.UpdatedAt = now
		return tx.SaveOperation(op)
	})
	if err == nil {
		d.op = op
	}
	return err
}

// wait sleeps until a nudge or the poll interval, or fails past the deadline.
// The question itself is asked by advance; asking it in a read first spares the
// writer while the answer is no.
func (d *driver) wait(ctx context.Context, step Step) error {
	poll := time.NewTimer(d.cfg.Poll)
	defer poll.Stop()
	for {
		if !d.op.Deadline.IsZero() && !time.Now().Before(d.op.Deadline) {
			return &failure{step: step.Name, err: Fatal(fmt.Errorf("it took longer than %s: %s", step.Limit, d.waiting))}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.nudge:
		case <-poll.C:
			poll.Reset(d.cfg.Poll)
		}
		ready := false
		err := d.cfg.Store.View(ctx, func(tx *store.Tx) error {
			op := d.op
			done, waiting, err := step.Wait(tx, &op, time.Now())
			ready, d.waiting = done || err != nil, waiting
			return nil // advance meets the error again, in its transaction
		})
		if err != nil || ready {
			return err
		}
	}
}

// fail notes the failure of a step: another try later, or turning back.
func (d *driver) fail(ctx context.Context, f *failure) error {
	plan, known := d.cfg.Plan(d.op.Kind)
	final := isFatal(f.err) || d.op.Attempt+1 >= maxAttempts
	if !final {
		op := d.op
		op.Attempt++
		d.log.Warn("step failed and will be tried again", "step", f.step, "attempt", op.Attempt, "err", f.err)
		if err := d.update(op, func(tx *store.Tx) error { return tx.SaveOperation(op) }); err != nil {
			return err
		}
		d.op = op
		pause(ctx, firstBackoff<<(op.Attempt-1))
		return nil
	}
	op := d.op
	err := d.update(op, func(tx *store.Tx) error {
		op = d.op
		now := time.Now()
		op.UpdatedAt = now
		if op.Cause == "" {
			op.Cause = f.err.Error()
		}
		if op.Status == slipway.OperationRollbackInProgress || !known {
			// Turning back failed: end here, the cause says why it began.
			op.Status, op.EndedAt, op.Step = slipway.OperationRollbackFailed, now, ""
			if err := call(plan.Finish, tx, &op); err != nil {
				return err
			}
			return tx.SaveOperation(op)
		}
		op.Status, op.Step = slipway.OperationRollbackInProgress, f.step
		if err := call(plan.Turn, tx, &op); err != nil {
			return err
		}
		enter(plan, &op, 0, now)
		if len(plan.Back) == 0 {
			if err := d.finish(tx, plan, &op, now); err != nil {
				return err
			}
		}
		return tx.SaveOperation(op)
	})
	if err != nil {
		return err
	}
	d.log.Info("operation failed", "step", f.step, "cause", op.Cause, "status", op.Status)
	d.op = op
	return nil
}

// update is a transaction with the test's points of death around it.
func (d *driver) update(op slipway.Operation, f func(*store.Tx) error) error {
	if err := d.checkpoint("before commit at " + op.Step); err != nil {
		return err
	}
	if err := d.cfg.Store.UpdateUnsynced(context.Background(), f); err != nil {
		return err
	}
	return d.checkpoint("after commit at " + op.Step)
}

func (d *driver) checkpoint(point string) error {
	if d.cfg.Checkpoint == nil {
		return nil
	}
	err := d.cfg.Checkpoint(d.op, point)
	d.killed = d.killed || err != nil
	return err
}

// keepLease renews the lease at a third of its time. It ends the work on the
// operation when the lease is lost or somebody cancelled it.
func (d *driver) keepLease(ctx context.Context, cancel context.CancelCauseFunc, id string, fence int64) {
	tick := time.NewTicker(d.cfg.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var reason string
		err := d.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
			reason, err = tx.RenewLease(id, fence, time.Now().Add(d.cfg.Lease))
			return err
		})
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			cancel(errLeaseLost)
			return
		case reason != "":
			cancel(cancelled{reason})
		}
	}
}

// handBack makes the operation claimable at once: this process is stopping.
func (d *driver) handBack() {
	err := d.cfg.Store.UpdateUnsynced(context.Background(), func(tx *store.Tx) error {
		_, err := tx.RenewLease(d.op.ID, d.op.Fence, time.Now())
		return err
	})
	if err != nil {
		d.log.Warn("lease could not be handed back; it runs out by itself", "err", err)
	}
}

// pause waits, or not as long when ctx ends.
func pause(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
