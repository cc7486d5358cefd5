package gateway

import (
	"context"
	"fmt"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Service is one AWS service: its name, its operations and how its clients
// speak.
type Service struct {
	// Name is the service's prefix in IAM actions and in the scope of
	// signatures, such as "apprunner".
	Name string

	Internal string // name of the exception for our own failures

	// Invalid is the name of the exception for every *slipway.Error; empty when
	// the error's own code is the name.
	Invalid string

	// Source is the service's name in audit records; Name + ".amazonaws.com"
	// when empty.
	Source string

	// Redact names members of inputs and outputs of all operations; see
	// [Operation].
	Redact []string

	// Model returns the model of an operation by name; nil for a service that
	// has no model here. Operations with other targets than the service's have none.
	Model func(operation string) (*wire.Operation, bool)

	Protocol   Protocol
	Operations []Operation
}

// Protocol says how clients of a service speak on the network. Package awshttp
// reads it; a call within the process has no use for it.
type Protocol struct {
	ContentType string // of replies, such as "application/x-amz-json-1.0"

	// Targets are what comes before an operation's name in X-Amz-Target, such as
	// "AppRunner.". A service of the query protocol has none.
	Targets []string

	// Version and Namespace are those of a service that speaks the query
	// protocol: a call is a form with the operation's name in Action, and the
	// reply is XML. Version is as in "2010-05-08"; empty for AWS JSON.
	Version, Namespace string

	// Global is for a service that is the same in all regions: clients sign for
	// us-east-1 whatever their region is.
	Global bool
}

// Query reports whether the service speaks the query protocol.
func (p Protocol) Query() bool { return p.Version != "" }

// Operation is a call that a service answers. [Read] and [Mutate] make it.
type Operation struct {
	Name    string
	Model   *wire.Operation // nil when the service has no model here
	Mutates bool            // it may change something: worth an audit record and a line in the log

	Reveals bool // it shows secrets: worth an audit record

	// Redact names the members, of input or output and at any depth, whose
	// values audit records leave out, beside those that the model calls
	// sensitive.
	Redact []string

	// MaxBody is the longest body of a request in bytes, where the transport's own
	// limit is too low; else 0. See [Operation.Within].
	MaxBody int64

	// Target is the operation's X-Amz-Target where it is not one of the
	// service's Protocol.Targets and the name.
	Target string

	newInput    func() any
	permissions func(tx *store.Tx, in any) ([]Permission, error)
	handle      func(ctx context.Context, c *Call, in any) (any, error)
}

// Handler answers the calls of one operation. Its input was decoded, permitted
// and checked against the model where there is one. It returns *slipway.Error or
// *wire.Exception for the caller's mistakes; any other error is an internal
// failure. A handler of an operation that mutates changes rows through
// [Call.Update].
type Handler[I, O any] func(ctx context.Context, c *Call, in *I) (*O, error)

// Read makes an operation that changes nothing.
func Read[I, O any](name string, h Handler[I, O], required Permissions[I]) Operation {
	o := Operation{
		Name:     name,
		newInput: func() any { return new(I) },
		handle: func(ctx context.Context, c *Call, in any) (any, error) {
			return h(ctx, c, in.(*I))
		},
	}
	if required != nil {
		o.permissions = func(tx *store.Tx, in any) ([]Permission, error) {
			typed, ok := in.(*I)
			if !ok {
				return nil, fmt.Errorf("gateway: %s takes %T, not %T", name, new(I), in)
			}
			return required(tx, typed)
		}
	}
	return o
}

// Mutate makes an operation that may change something.
func Mutate[I, O any](name string, h Handler[I, O], required Permissions[I]) Operation {
	o := Read(name, h, required)
	o.Mutates = true
	return o
}

// Revealing returns the operation as one that shows secrets.
func (o Operation) Revealing() Operation {
	o.Reveals = true
	return o
}

// Redacting returns the operation with members that audit records leave out.
func (o Operation) Redacting(members ...string) Operation {
	o.Redact = members
	return o
}

// Within returns the operation with another limit for the body of a request, in bytes.
func (o Operation) Within(maxBody int64) Operation {
	o.MaxBody = maxBody
	return o
}

// At returns the operation with another X-Amz-Target than the service's.
func (o Operation) At(target string) Operation {
	o.Target = target
	return o
}

// NewInput returns a pointer to an empty input.
func (o Operation) NewInput() any { return o.newInput() }

// RequiredPermissions returns the permissions that a call with the input, a
// pointer as from NewInput, requires.
func (o Operation) RequiredPermissions(tx *store.Tx, in any) ([]Permission, error) {
	return o.permissions(tx, in)
}
