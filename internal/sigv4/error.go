package sigv4

import "fmt"

// Code is the AWS name of a reason to refuse a request.
type Code string

// The reasons.
const (
	MissingAuthenticationToken Code = "MissingAuthenticationTokenException" // not signed at all
	IncompleteSignature        Code = "IncompleteSignatureException"        // is malformed
	UnrecognizedClient         Code = "UnrecognizedClientException"         // unknown access key or session token
	ExpiredToken               Code = "ExpiredTokenException"               // temporary credentials out of date
	InvalidSignature           Code = "InvalidSignatureException"           // does not match the request, the scope or the time
	RequestEntityTooLarge      Code = "RequestEntityTooLargeException"
	RequestTimeout             Code = "RequestTimeoutException"
	RequestAborted             Code = "RequestAbortedException" // the body broke off
)

// Error is a request's fault, in AWS's words. Its message never repeats the
// Authorization header, which may hold a secret of another scheme.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
