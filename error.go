package slipway

import (
	"errors"
	"fmt"
)

// Code is the name of an exception of App Runner.
type Code string

const (
	InvalidRequest Code = "InvalidRequestException"
	InvalidState   Code = "InvalidStateException"
	NotFound       Code = "ResourceNotFoundException"
	QuotaExceeded  Code = "ServiceQuotaExceededException"
)

// Error is a mistake of the caller, with a message for the caller. Every other
// error is an internal failure: the server logs it with its cause, and the caller
// sees only that there was one.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf returns an *Error with a formatted message.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first *Error in err's chain, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
