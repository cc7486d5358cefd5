package image

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/openslipway/slipway/internal/outbound"
)

// patience is how long a registry may take to answer before a pull tells of it.
const patience = 4 * time.Second

type noticeKey struct{}

// WithNotices returns a context with which a pull tells, in sentences for people, that a
// registry does not answer: otherwise its retries are silent for half a minute. tell may
// be called concurrently, and again with the same sentence.
func WithNotices(ctx context.Context, tell func(sentence string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, tell)
}

// noticing sends a request and tells of a slow or missing answer to the request's context.
func noticing(req *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx := req.Context()
	tell, ok := ctx.Value(noticeKey{}).(func(string))
	if !ok {
		return send(req)
	}
	slow := time.AfterFunc(patience, func() {
		tell(fmt.Sprintf("Waiting for registry %s to answer.", req.URL.Host))
	})
	resp, err := send(req)
	slow.Stop()
	if err != nil && ctx.Err() == nil {
		tell(fmt.Sprintf("Registry %s does not answer: %s.", req.URL.Host, outbound.Reason(err)))
	}
	return resp, err
}
