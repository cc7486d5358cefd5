package client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// whole is an [http.RoundTripper] that has a request's body in memory before it
// sends anything. The bodies of API calls are small.
//
// AWS's SDK closes the body as soon as the reply's head is there. net/http may
// not have read its end by then, and what smithy-go's body returns when it is
// read after that is an error, by which net/http closes the connection while
// the reply is read (smithy-go 1.28, safeWriteToReadCloser). Against a server
// on the same machine that fails one call in some hundreds.
type whole struct{ http.RoundTripper }

func (w whole) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return w.RoundTripper.RoundTrip(req)
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
	return w.RoundTripper.RoundTrip(&own)
}
