package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

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

func (t Target) unreachable(err error) *Problem {
	hint := "Is it running? --endpoint or SLIPWAY_ENDPOINT names another."
	if t.Local() {
		hint = "Start one with `slipway serve`, or name another with --endpoint or SLIPWAY_ENDPOINT."
	}
	text := "no server answers at " + t.Endpoint.String()
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		text += " (" + op.Err.Error() + ")"
	}
	return &Problem{Text: text, Hint: hint, Err: err}
}

func (t Target) explainAPI(api smithy.APIError, err error) *Problem {
	code, text := api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), ".")
	p := &Problem{Text: text, Err: err}
	switch code {
	case "UnrecognizedClientException", "MissingAuthenticationTokenException", "InvalidClientTokenId", "MissingAuthenticationToken":
		p.Text = "the server at " + t.Endpoint.String() + " does not know our access key"
		p.Hint = t.identityHint()
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException":
		p.Text = "the server refused our signature: " + text
		p.Hint = "Check the region (--region or SLIPWAY_REGION must be the server's) and the clock. " + t.identityHint()
	case "AccessDeniedException", "AccessDenied":
		p.Hint = t.identityHint()
	case "UnknownOperationException", "InvalidAction":
		p.Text = "the server at " + t.Endpoint.String() + " does not know this call"
		p.Hint = "It may be older than this program, or no Slipway server."
	case "ServiceQuotaExceededException":
		p.Hint = "Remove what is no longer needed, or raise the limit where the server runs."
	case "InternalServiceErrorException", "InternalFailure", "ServiceFailure":
		if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.ServiceRequestID() != "" {
			p.Hint = "The request's id is " + r.ServiceRequestID() + "."
		}
	case "InvalidStateException":
		p.Hint = "`slipway ops NAME` shows what is going on."
	}
	if p.Text == "" {
		p.Text = code
	}
	return p
}

func (t Target) identityHint() string {
	return fmt.Sprintf("Keys are looked for in --credentials, SLIPWAY_CREDENTIALS, AWS_ACCESS_KEY_ID, "+
		"AWS_SHARED_CREDENTIALS_FILE and %s/%s, in this order.", t.DataDir, CredentialsFile)
}

func (t Target) explainRegistry(reg *transport.Error, err error) *Problem {
	p := &Problem{Text: "the registry at " + t.Endpoint.Host + " refused: " + reg.Error(), Err: err}
	if reg.StatusCode == 401 || reg.StatusCode == 403 {
		p.Text = "the registry at " + t.Endpoint.Host + " does not know our access key"
		p.Hint = t.identityHint()
	}
	return p
}
