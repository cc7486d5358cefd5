package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Problem is an error with advice for the user.
type Problem struct {
	Text string // one sentence without a full stop
	Hint string // what to do next, in sentences; may be empty
	Err  error  // cause; may be nil
	Code string // for programs; "" for that of the cause

	// Misuse means that the user's input is invalid whatever the server has.
	Misuse bool
}

func (p *Problem) Error() string { return p.Text }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Explain converts the error of a call to a *Problem. Errors without a better
// explanation keep their text.
func (t Target) Explain(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if errors.Is(err, context.Canceled) {
		return &Problem{Text: "interrupted", Err: err}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return t.explainAPI(api, err)
	}
	if reg, ok := errors.AsType[*transport.Error](err); ok {
		return t.explainRegistry(reg, err)
	}
	if Unreachable(err) {
		return t.unreachable(err)
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok { // a reply, and none that the SDK can read
		text, hint := t.stranger(r.HTTPStatusCode())
		return &Problem{Text: text, Hint: hint, Err: err}
	}
	if e, ok := errors.AsType[*smithy.OperationError](err); ok { // the SDK's own words mean nothing to users
		return &Problem{Text: "the call of " + e.OperationName + " failed: " + innermost(err).Error(), Hint: "The server at " + t.Endpoint.String() + " may be older or newer than this program; `slipway version` tells.", Err: err}
	}
	return &Problem{Text: err.Error(), Err: err}
}

// Unreachable reports whether err means that no server answers, unlike a reply that
// is an error. Errors of files and of listeners do not, although they come from
// the same system calls.
func Unreachable(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[smithy.APIError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op != "listen"
}

func (t Target) identityHint() string {
	return fmt.Sprintf("Keys are looked for in --credentials, SLIPWAY_CREDENTIALS, AWS_ACCESS_KEY_ID, "+
		"AWS_SHARED_CREDENTIALS_FILE and %s/%s, in this order.", t.DataDir, CredentialsFile)
}
