package gateway

import (
	"context"
	"errors"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// internalStatus is the status of exceptions for our own failures.
const internalStatus = 500

// exception returns the exception that the caller of a call is told of an error.
// An internal failure says nothing of its cause, which the log holds under the
// request's id, unless the caller may be able to mend it.
func exception(err error, c *Call) *wire.Exception {
	e := asException(err, c)
	if c.Service.Protocol.Query() {
		if name := queryName(e.Name); name != e.Name {
			return wire.NewException(name, e.Message)
		}
	}
	return e
}

func asException(err error, c *Call) *wire.Exception {
	if x, ok := errors.AsType[*wire.Exception](err); ok {
		return x
	}
	if s, ok := errors.AsType[*slipway.Error](err); ok {
		name := string(s.Code)
		switch model := c.Operation.Model; {
		case c.Service.Invalid != "":
			name = c.Service.Invalid
		case model != nil && !model.Permits(name):
			name = string(slipway.InvalidRequest)
		}
		return wire.NewException(name, s.Message)
	}
	if errors.Is(err, context.Canceled) {
		return wire.NewException("RequestAbortedException", "The caller went away.")
	}
	if errors.Is(err, store.ErrFull) {
		return wire.NewException(c.Service.Internal, "The server's disk is full. Nothing was changed; try again once there is room.")
	}
	return wire.NewException(c.Service.Internal, "An internal error occurred. The server's log tells more under this request's id.")
}

// queryName returns the name that services of the query protocol have for an
// error that AWS JSON calls name and that comes before an operation.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func queryName(name string) string {
	switch name {
	case "MissingAuthenticationTokenException":
		return "MissingAuthenticationToken"
	case "IncompleteSignatureException":
		return "IncompleteSignature"
	case "UnrecognizedClientException":
		return "InvalidClientTokenId"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "ExpiredTokenException":
		return "ExpiredToken"
	case "AccessDeniedException":
		return "AccessDenied"
	}
	return name
}
