// Package http1 parses the framing of HTTP/1 requests on bytes: where a head and
// a body end, whether a request is well-formed, and which host it names. It
// accepts only what every HTTP parser understands in the same way, so that the
// router and an application behind it always agree on where a message ends.
//
// It does no I/O and does not import net/http (internal/deptest checks that), so
// that any engine of the router can use it. It does not build requests or
// responses. Package router/proxy calls it, and package router for host names.
package http1

// Statuses that a request is refused with.
const (
	badRequest          = 400
	methodNotAllowed    = 405
	uriTooLong          = 414
	expectationFailed   = 417
	headTooLarge        = 431
	notImplemented      = 501
	versionNotSupported = 505
)
