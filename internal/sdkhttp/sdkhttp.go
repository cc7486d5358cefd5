// Package sdkhttp carries the calls of AWS's SDK for Go to servers so near that
// they answer at once. It is for whoever uses the SDK on the server's own
// machine: the command line's client, and tests. It knows nothing of any service.
package sdkhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Transport returns a transport that has a request's body in memory before it
// sends anything by base. The bodies of calls are small.
//
// The SDK closes the body as soon as the reply's head is there. net/http may
// not have read its end by then, and what smithy-go's body returns when it is
// read after that is an error, by which net/http closes the connection while
// the reply is read (smithy-go 1.28, safeWriteToReadCloser). On one busy machine
// that fails a call in some hundreds, and the SDK makes it again.
func Transport(base http.RoundTripper) http.RoundTripper { return whole{base} }

type whole struct{ base http.RoundTripper }

func (w whole) RoundTrip(req *http.Request) (*http.Response, error) {
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
