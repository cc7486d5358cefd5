package gateway

import (
	"context"

	"github.com/openslipway/slipway/internal/wire"
)

// Service is one AWS service as this endpoint speaks it.
type Service struct {
	SigningName string // the service in a signature's scope and before an action's colon, such as "apprunner"
	ContentType string // of replies, such as "application/x-amz-json-1.0"
	Internal    string // name of the exception for our own failures

	// Version and Namespace are those of a service that speaks the query
	// protocol: a call is a form with the operation's name in Action, and the
	// answer is XML. Version is as in "2010-05-08"; empty for AWS JSON.
	Version, Namespace string

	// Global is for a service that is one for all regions: clients sign for
	// us-east-1 whatever theirs is.
	Global bool

	// Source is the service's name in audit records; SigningName +
	// ".amazonaws.com" when empty.
	Source string

	// Operations are found by their X-Amz-Target, or by their Action.
	Operations map[string]Operation
}

// query reports whether the service speaks the query protocol.
func (s Service) query() bool { return s.Version != "" }

// Operation is what a target names. [Handle] makes it.
type Operation struct {
	Name    string
	Model   *wire.Operation // nil when the service has no model here
	Changes bool            // it may change something, so it is worth a line in the log and an audit record

	// RequiredPermissions says what permissions a call requires. The gateway takes no operation
	// without.
	RequiredPermissions RequiredPermissions

	// Redact names the members, of input or output and at any depth, whose values
	// audit records hide, beside those that the model calls sensitive.
	Redact []string

	input func() any
	serve func(ctx context.Context, c Caller, in any) (any, error)
}

// Handle makes an operation of a handler: the body is decoded into its input,
// and the model's constraints are checked where there is one. The handler
// returns *slipway.Error or *wire.Exception for the caller's mistakes; any other
// error is ours.
func Handle[I, O any](name string, model *wire.Operation, changes bool, h func(context.Context, Caller, *I) (*O, error)) Operation {
	return Operation{
		Name: name, Model: model, Changes: changes,
		input: func() any { return new(I) },
		serve: func(ctx context.Context, c Caller, in any) (any, error) { return h(ctx, c, in.(*I)) },
	}
}

// Requiring returns the operation with a declaration of what permissions it
// needs.
func (o Operation) Requiring(n RequiredPermissions) Operation {
	o.RequiredPermissions = n
	return o
}

// Redacting returns the operation with members that audit records hide.
func (o Operation) Redacting(members ...string) Operation {
	o.Redact = members
	return o
}
