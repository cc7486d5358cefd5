package api

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// CancelOperationInput is the input of Slipway.CancelOperation. App Runner cannot
// cancel operations (apprunner-roadmap 49).
type CancelOperationInput struct {
	ServiceArn  *string // required
	OperationId *string // the operation in progress if absent
}

// CancelOperationOutput is its output.
type CancelOperationOutput struct {
	Operation OperationDescription // the rollback takes place afterwards
}

// cancelOperation asks the engine to roll an operation back. It succeeds again,
// without effect, for an operation that was cancelled.
func (a *API) cancelOperation(ctx context.Context, call *gateway.Call, in *CancelOperationInput) (*CancelOperationOutput, error) {
	if aws.ToString(in.ServiceArn) == "" {
		return nil, slipway.Errorf(slipway.InvalidRequest, "ServiceArn is required.")
	}
	var out CancelOperationOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		op, err := operationOf(tx, v, aws.ToString(in.OperationId))
		if err != nil {
			return err
		}
		if !op.Cancel.Requested() {
			if err := cancellable(tx, v, op); err != nil {
				return err
			}
			op.Cancel = slipway.Cancellation{By: call.Caller.ARN, At: a.now()}
			if err := tx.CancelOperation(op, op.Cancel); err != nil {
				return err
			}
		}
		out.Operation = describeOperation(op, v.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// operationOf returns the service's operation with this id, or the one in
// progress if id is "".
func operationOf(tx *store.Tx, v slipway.ServiceView, id string) (slipway.Operation, error) {
	if id == "" {
		if v.Live == nil {
			return slipway.Operation{}, slipway.Errorf(slipway.InvalidState, "Service %s has no operation in progress to cancel.", v.Name)
		}
		id = v.Live.ID
	}
	op, err := tx.Operation(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && op.ServiceID != v.ID {
		return op, slipway.Errorf(slipway.NotFound, "Operation not found: service %s has no operation %.100q.", v.Name, id)
	}
	return op, err
}

// cancellable returns the reason why an operation can't be cancelled, nil if it
// can. The engine reads the request in the transaction of its next step: what
// holds in this transaction still holds when it rolls the operation back.
func cancellable(tx *store.Tx, v slipway.ServiceView, op slipway.Operation) error {
	refuse := func(why string) error {
		return slipway.Errorf(slipway.InvalidState, "Operation %s (%s) can't be cancelled: %s.", op.ID, op.Kind, why)
	}
	switch {
	case !op.Status.Live():
		return refuse("it ended at " + op.EndedAt.UTC().Format(time.RFC3339) + " with status " + string(op.Status))
	case op.Status == slipway.OperationRollbackInProgress:
		return refuse("it has failed and is being rolled back already")
	}
	var active slipway.Release
	if v.ActiveRelease != "" {
		var err error
		if active, err = tx.Release(v.ActiveRelease); err != nil {
			return err
		}
	}
	if why := op.Irrevocable(active); why != "" {
		return refuse(why)
	}
	return nil
}

// DescribeOperationsInput is the input of Slipway.DescribeOperations, which tells
// of operations what the model of ListOperations has no member for.
type DescribeOperationsInput struct {
	ServiceArn   *string  // required
	OperationIds []string // required, at most maxDescribed
}

// DescribeOperationsOutput is its output, in the order of the input. Unknown
// operations are left out.
type DescribeOperationsOutput struct {
	Operations []OperationDescription
}

// OperationDescription is an operation with why it failed and who cancelled it, if so.
type OperationDescription struct {
	Id, TargetArn        *string
	Type                 types.OperationType
	Status               types.OperationStatus
	StartedAt, UpdatedAt *time.Time
	EndedAt              *time.Time // absent while it is in progress
	Cause                *string    // why it failed or was cancelled; may have several lines
	CancelledBy          *string    // ARN of the user who asked first
	CancelledAt          *time.Time
}

const maxDescribed = 100

func (a *API) describeOperations(ctx context.Context, _ *gateway.Call, in *DescribeOperationsInput) (*DescribeOperationsOutput, error) {
	switch n := len(in.OperationIds); {
	case aws.ToString(in.ServiceArn) == "":
		return nil, slipway.Errorf(slipway.InvalidRequest, "ServiceArn is required.")
	case n == 0 || n > maxDescribed:
		return nil, slipway.Errorf(slipway.InvalidRequest, "OperationIds has %d members; it must have 1 to %d.", n, maxDescribed)
	}
	out := DescribeOperationsOutput{Operations: []OperationDescription{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		for _, id := range in.OperationIds {
			op, err := operationOf(tx, v, id)
			if slipway.CodeOf(err) == slipway.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			out.Operations = append(out.Operations, describeOperation(op, v.ARN))
		}
		return nil
	})
	return &out, err
}

func describeOperation(op slipway.Operation, target string) OperationDescription {
	s := operationSummary(op, target)
	d := OperationDescription{
		Id: s.Id, TargetArn: s.TargetArn, Type: s.Type, Status: s.Status,
		StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt, EndedAt: s.EndedAt,
	}
	if op.Cause != "" {
		d.Cause = text(op.Cause)
	}
	if op.Cancel.Requested() {
		d.CancelledBy, d.CancelledAt = &op.Cancel.By, &op.Cancel.At
	}
	return d
}
