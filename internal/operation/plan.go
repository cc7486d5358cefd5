package operation

import (
	"context"
	"errors"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Plan says how operations of one kind are brought to their end.
type Plan struct {
	// Forward are the steps to take. When one of them fails, those of Back are
	// taken instead of the rest; they only edit.
	Forward, Back []Step

	// Begin runs once, in the transaction that makes the operation IN_PROGRESS.
	Begin func(tx *store.Tx, op *slipway.Operation) error

	// Turn runs once, in the transaction that notes the failure.
	Turn func(tx *store.Tx, op *slipway.Operation) error

	// Finish runs in the transaction that ends the operation, with its status
	// set to SUCCEEDED or to what Failed says.
	Finish func(tx *store.Tx, op *slipway.Operation) error

	// Failed is the final status after Back has been taken.
	Failed func(op slipway.Operation) slipway.OperationStatus
}

// Step is one step of a plan: exactly one of Edit, Work and Wait is set. Its
// name is saved, so it never changes between versions.
type Step struct {
	Name string

	// Edit changes rows. It runs in the transaction of its checkpoint: exactly
	// once. now is the transaction's time.
	Edit func(tx *store.Tx, op *slipway.Operation, now time.Time) error

	// Work does something expensive outside: at least once. What later steps
	// need of it goes into op.State.
	Work func(ctx context.Context, op *slipway.Operation) error

	// Skip, where it is set, says in the transaction before Work whether there
	// is nothing to do: then the work costs no checkpoint.
	Skip func(tx *store.Tx, op *slipway.Operation) (bool, error)

	// Wait asks observed rows a question and writes nothing. While the answer
	// is no, waiting says what is missing, for people.
	Wait func(tx *store.Tx, op *slipway.Operation, now time.Time) (done bool, waiting string, err error)

	// Limit bounds Work and Wait from the first time the step is entered; a
	// restart does not extend it. 0 is no limit.
	Limit time.Duration
}

// fatal is an error that trying again cannot mend.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks err as one that trying again cannot mend: the operation turns
// back at once, with err's text as its cause.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return fatal{err}
}

// isFatal reports whether err is final: marked so, or the user's mistake.
func isFatal(err error) bool {
	_, marked := errors.AsType[fatal](err)
	return marked || slipway.CodeOf(err) != ""
}

// errUnknownStep means that the program was changed under a running operation.
var errUnknownStep = errors.New("this version of Slipway does not know the step the operation was at")

// at returns the index of the step op is at in the list its status selects.
func (p Plan) at(op slipway.Operation) (list []Step, i int, err error) {
	list = p.Forward
	if op.Status == slipway.OperationRollbackInProgress {
		list = p.Back
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
