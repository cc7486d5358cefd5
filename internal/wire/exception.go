package wire

import (
	"net/http"
	"unicode/utf8"
)

// Names of the exceptions that this package makes itself.
const (
	InvalidRequestException = "InvalidRequestException"
	SerializationException  = "SerializationException"
	MalformedInput          = "MalformedInput" // the query protocol's
)

// Exception is an error answer: its name, which SDKs turn into a type or an
// error code, and a message for people.
type Exception struct {
	Name    string // shape name, without a namespace
	Status  int    // HTTP status
	Message string
}

func (e *Exception) Error() string { return e.Name + ": " + e.Message }

// statuses holds the HTTP statuses other than 400. In App Runner's model a
// missing resource is 400 and an exceeded quota 402. The others are answers
// given before a request reaches an operation.
var statuses = map[string]int{
	"ServiceQuotaExceededException":       http.StatusPaymentRequired,
	"InternalServiceErrorException":       http.StatusInternalServerError,
	"UnknownOperationException":           http.StatusNotFound,
	"AccessDeniedException":               http.StatusForbidden,
	"MissingAuthenticationTokenException": http.StatusForbidden,
	"IncompleteSignatureException":        http.StatusForbidden,
	"UnrecognizedClientException":         http.StatusForbidden,
	"ExpiredTokenException":               http.StatusForbidden,
	"InvalidSignatureException":           http.StatusForbidden,
	"RequestEntityTooLargeException":      http.StatusRequestEntityTooLarge,
	"RequestTimeoutException":             http.StatusRequestTimeout,
	"InternalFailure":                     http.StatusInternalServerError,
	"InternalServiceError":                http.StatusInternalServerError,
	"InternalServerError":                 http.StatusInternalServerError,
	"ServiceUnavailable":                  http.StatusServiceUnavailable,
	"ServerException":                     http.StatusInternalServerError, // ECR's

	// Of the query protocol, and IAM's own.
	"MissingAuthenticationToken": http.StatusForbidden,
	"InvalidClientTokenId":       http.StatusForbidden,
	"SignatureDoesNotMatch":      http.StatusForbidden,
	"ExpiredToken":               http.StatusForbidden,
	"AccessDenied":               http.StatusForbidden,
	"NoSuchEntity":               http.StatusNotFound,
	"EntityAlreadyExists":        http.StatusConflict,
	"DeleteConflict":             http.StatusConflict,
	"LimitExceeded":              http.StatusConflict,
	"ServiceFailure":             http.StatusInternalServerError,
}

// NewException returns the named exception with its usual HTTP status.
func NewException(name, message string) *Exception {
	status := statuses[name]
	if status == 0 {
		status = http.StatusBadRequest
	}
	return &Exception{Name: name, Status: status, Message: message}
}

// maxMessage is the model's limit on an exception's message, in characters.
const maxMessage = 600

// Body returns the exception as AWS JSON: {"__type": ..., "Message": ...}.
//
// The member is "Message", as the model spells it for App Runner's exceptions;
// SDKs read it case-insensitively in the others too.
func (e *Exception) Body() []byte {
	b, err := Marshal(struct {
		Type    string `json:"__type"`
		Message string
	}{e.Name, shorten(e.Message, maxMessage)})
	if err != nil { // can't fail for two strings that shorten made valid
		panic(err)
	}
	return b
}

// shorten cuts s to at most n characters and makes it valid UTF-8.
func shorten(s string, n int) string {
	const ellipsis = "..."
	if utf8.ValidString(s) && len(s) <= n {
		return s
	}
	r := []rune(s)
	if len(r) > n {
		r = append(r[:n-len(ellipsis)], []rune(ellipsis)...)
	}
	return string(r)
}
