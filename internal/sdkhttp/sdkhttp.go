// Package sdkhttp is an HTTP transport for AWS's SDK for Go to servers on the
// same machine, which answer at once: for the command line's client and for
// tests. It knows no AWS service.
package sdkhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Transport returns a transport that reads a request's body into memory before
// it sends the request by base. The bodies of API calls are small.
//
// The SDK closes the body as soon as it has the reply's header. net/http may
// not have read the body to its end by then. smithy-go's body returns an error
// when read after that, at which net/http closes the connection while the reply
// is being read (smithy-go 1.28, safeWriteToReadCloser). On one busy machine
// one call in some hundreds failed so, and the SDK retried it.
func Transport(base http.RoundTripper) http.RoundTripper { return bufferBodies{base} }

type bufferBodies struct{ base http.RoundTripper }

func (w bufferBodies) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return w.base.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	own := *req
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	own.Body, _ = own.GetBody()
	own.ContentLength = int64(len(body))
	return w.base.RoundTrip(&own)
}
