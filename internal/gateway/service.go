package gateway

import (
	"context"

	"github.com/openslipway/slipway/internal/wire"
)

// Service is one AWS service as this endpoint speaks it.
type Service struct {
	SigningName string // the service in a signature's scope, such as "apprunner"
	ContentType string // of replies, such as "application/x-amz-json-1.0"
	Internal    string // name of the exception for our own failures

	Operations map[string]Operation // by X-Amz-Target
}

// Operation is what a target names. [Handle] makes it.
type Operation struct {
	Name    string
	Model   *wire.Operation // nil when the service has no model here
	Changes bool            // it may change something, so it is worth a line in the log

	serve func(ctx context.Context, c Caller, body []byte) (any, error)
}

// Caller is who makes a call.
type Caller struct {
	User  string
	KeyID string
}

// Handle makes an operation of a handler: the body is decoded into its input,
// and the model's constraints are checked where there is one. The handler
// returns *slipway.Error or *wire.Exception for the caller's mistakes; any other
// error is ours.
func Handle[I, O any](name string, model *wire.Operation, changes bool, h func(context.Context, Caller, *I) (*O, error)) Operation {
	return Operation{Name: name, Model: model, Changes: changes, serve: func(ctx context.Context, c Caller, body []byte) (any, error) {
		in := new(I)
		if err := wire.Unmarshal(body, in); err != nil {
			return nil, err
		}
		if model != nil {
			if err := model.Validate(body); err != nil {
				return nil, err
			}
		}
		return h(ctx, c, in)
	}}
}
