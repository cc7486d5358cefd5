package operation

import (
	"context"
	"errors"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Plan says how to execute operations of one kind.
type Plan struct {
	// Forward are the steps to take. When one fails, the engine takes the steps
	// of Rollback instead of the remaining ones. Rollback steps only edit.
	Forward, Rollback []Step

	// Begin runs once, in the transaction that makes the operation IN_PROGRESS.
	Begin func(tx *store.Tx, op *slipway.Operation) error

	// OnRollback runs once, in the transaction that records the failure.
	OnRollback func(tx *store.Tx, op *slipway.Operation) error

	// Waiting, if set, tells people what a wait step waits for: it runs in a transaction
	// of its own a few seconds after the step began, and again when that has changed.
	// It changes nothing of op. It may run twice, as the process may end.
	Waiting func(tx *store.Tx, op *slipway.Operation, waiting string) error

	// Finish runs in the transaction that ends the operation. The operation's
	// status is SUCCEEDED, what FailedStatus returns, or ROLLBACK_FAILED.
	Finish func(tx *store.Tx, op *slipway.Operation) error

	// FailedStatus returns the final status of an operation that rolled back.
	FailedStatus func(op slipway.Operation) slipway.OperationStatus
}

// Step is one step of a plan. Exactly one of Edit, Work and Wait is set. The
// name is stored with operations, so it never changes between versions.
type Step struct {
	Name string

	// Edit changes rows. It runs exactly once, in the transaction of its
	// checkpoint. now is the time of the transaction.
	Edit func(tx *store.Tx, op *slipway.Operation, now time.Time) error

	// Work does something expensive outside the database. It runs at least once
	// and stores in op.State what later steps need.
	Work func(ctx context.Context, op *slipway.Operation) error

	// Skip, if set, reports whether Work has nothing to do. It runs in the
	// transaction before Work. A skipped step needs no checkpoint of its own.
	Skip func(tx *store.Tx, op *slipway.Operation) (bool, error)

	// Wait reads rows, writes nothing, and reports whether its condition is met.
	// Until then waiting tells people what is missing.
	Wait func(tx *store.Tx, op *slipway.Operation, now time.Time) (done bool, waiting string, err error)

	// Limit bounds how long Work and Wait are executed, tries and the pauses between them
	// included. It counts the time that passes in the processes that execute the step, and
	// not that between them: neither a restart nor a step of the clock starts or ends it.
	// 0 means no limit. Wait finds the time so far in op.Spent.
	Limit time.Duration
}

// fatal is an error that a retry cannot fix.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks err as one that a retry cannot fix: the operation rolls back at
// once, with err's text as its cause. Fatal(nil) is nil.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return fatal{err}
}

// isFatal reports whether err is marked as fatal or is the user's mistake.
func isFatal(err error) bool {
	_, marked := errors.AsType[fatal](err)
	return marked || slipway.CodeOf(err) != ""
}

// errUnknownStep means that another version of the program, with other steps,
// began the operation.
var errUnknownStep = errors.New("this version of Slipway does not know the step the operation was at")

// at returns the list of steps that op's status selects, and the index in it
// of the step that op is at.
func (p Plan) at(op slipway.Operation) (list []Step, i int, err error) {
	list = p.Forward
	if op.Status == slipway.OperationRollbackInProgress {
		list = p.Rollback
	}
	if op.Step == "" {
		return list, 0, nil
	}
	for i, s := range list {
		if s.Name == op.Step {
			return list, i, nil
		}
	}
	return list, 0, errUnknownStep
}
