package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"
)

// Cancellation says who cancelled an operation, and when.
type Cancellation struct {
	By string // ARN of the user; "" if nobody has
	At time.Time
}

// operationDescription is an operation as Slipway's own calls return it.
type operationDescription struct {
	ID          string `json:"Id"`
	Type        string
	Status      string
	StartedAt   Seconds
	UpdatedAt   Seconds
	EndedAt     Seconds
	Cause       string
	CancelledBy string
	CancelledAt Seconds
}

func (d operationDescription) cancellation() Cancellation {
	return Cancellation{By: d.CancelledBy, At: d.CancelledAt.Time()}
}

// CancelOperation asks for the rollback of a service's operation, the one in
// progress if id is "". It returns the operation before its rollback.
func (c *Client) CancelOperation(ctx context.Context, serviceARN, id string) (types.OperationSummary, Cancellation, error) {
	in := struct {
		ServiceArn  string
		OperationID string `json:"OperationId,omitempty"`
	}{serviceARN, id}
	var out struct{ Operation operationDescription }
	if err := c.own.do(ctx, "Slipway.CancelOperation", in, &out); err != nil {
		return types.OperationSummary{}, Cancellation{}, err
	}
	d := out.Operation
	s := types.OperationSummary{
		Id: &d.ID, Type: types.OperationType(d.Type), Status: types.OperationStatus(d.Status), TargetArn: &serviceARN,
		StartedAt: d.StartedAt.pointer(), UpdatedAt: d.UpdatedAt.pointer(), EndedAt: d.EndedAt.pointer(),
	}
	return s, d.cancellation(), nil
}

// pointer returns the time as App Runner's SDK has it: nil for none.
func (s Seconds) pointer() *time.Time {
	if s == 0 {
		return nil
	}
	return aws.Time(s.Time())
}

// maxDescribed is how many operations one call describes.
const maxDescribed = 100

// Cancellations returns who cancelled which of a service's operations, by id. It
// is empty if the user may not know or the server, an older one, does not.
func (c *Client) Cancellations(ctx context.Context, serviceARN string, ids []string) (map[string]Cancellation, error) {
	list, err := c.describeOperations(ctx, serviceARN, ids)
	found := map[string]Cancellation{}
	for _, d := range list {
		if d.CancelledBy != "" {
			found[d.ID] = d.cancellation()
		}
	}
	return found, err
}

// Cause returns why an operation failed or was cancelled: one or more lines. It is ""
// if the user may not know or the server, an older one, does not.
func (c *Client) Cause(ctx context.Context, serviceARN, id string) (string, error) {
	list, err := c.describeOperations(ctx, serviceARN, []string{id})
	if len(list) == 0 {
		return "", err
	}
	return list[0].Cause, err
}

func (c *Client) describeOperations(ctx context.Context, serviceARN string, ids []string) (all []operationDescription, err error) {
	for chunk := range slices.Chunk(ids, maxDescribed) {
		in := struct {
			ServiceArn   string
			OperationIDs []string `json:"OperationIds"`
		}{serviceARN, chunk}
		var out struct{ Operations []operationDescription }
		if err := c.own.do(ctx, "Slipway.DescribeOperations", in, &out); err != nil {
			return all, ignoreUnknown(err)
		}
		all = append(all, out.Operations...)
	}
	return all, nil
}

// ignoreUnknown drops the error of a call of Slipway's own that the user may not make or
// an older server does not know: what it tells is left out.
func ignoreUnknown(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && slices.Contains([]string{"AccessDeniedException", "UnknownOperationException"}, api.ErrorCode()) {
		return nil
	}
	return err
}
