package proxy

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// errLimit is the cause of a request context that ended by the time limit.
var errLimit = errors.New("request took too long")

// exchange is one request and its response.
type exchange struct {
	*front
	w       http.ResponseWriter
	req     *http.Request
	control *http.ResponseController
	guard   *guard // nil if the connection has none
	peer    peer
	id      string
	start   time.Time

	service        *router.Service // nil for an unknown host
	target         *router.Target  // of the last attempt
	body           *upload         // nil if the request has none
	protocol       string          // that the client asks to switch to
	dialFailures   int             // failures to reach an instance
	brokenAttempts int             // attempts that failed after reaching an instance

	announced map[string]bool // trailer fields of the response
	status    int
	sent      int64 // bytes of the response body
	aborted   bool  // the connection cannot be used any more
}

func (f *front) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	x := &exchange{front: f, w: w, req: req, control: http.NewResponseController(w), start: time.Now(), protocol: upgradeOf(req)}
	if g, ok := req.Context().Value(guardKey{}).(*guard); ok {
		x.guard, x.peer = g, g.peer
	}
	x.id = requestID(req, x.peer)
	x.serve()
	x.count()
	if x.aborted {
		panic(http.ErrAbortHandler) // makes net/http close the connection
	}
}

func (x *exchange) serve() {
	if v := verdictOf(x.req); v.status != 0 {
		x.answer(router.PageOf(v.status))
		return
	}
	host, ok := http1.NormalHost(x.req.Host)
	if !ok && x.req.Host != "" {
		x.answer(router.PageBadRequest)
		return
	}
	if x.service = x.cfg.Router.Find(router.RouteKey{Listener: x.listener, Host: host}); x.service == nil {
		x.answer(router.PageNotFound)
		return
	}
	x.forward()
}

// count counts the request in the metrics.
func (x *exchange) count() {
	if x.service != nil {
		x.service.Count(x.status, time.Since(x.start))
	}
}

// answer sends one of the pages of the router, as HTML to clients that prefer it.
func (x *exchange) answer(id router.PageID) {
	if x.service == nil {
		x.cfg.Router.CountStray(id)
	}
	page := id.Page(router.PrefersHTML(x.req.Header["Accept"]))
	x.status = page.Status
	h := x.w.Header()
	h.Set("X-Request-Id", x.id)
	if x.mustClose() {
		h.Set("Connection", "close")
	}
	for _, f := range page.Header {
		h[f.Name] = []string{f.Value}
	}
	x.w.WriteHeader(page.Status)
	if x.req.Method == http.MethodHead {
		return
	}
	if _, err := x.w.Write(page.Body); err != nil {
		x.aborted = true
	}
}

// mustClose reports whether the connection must be closed after this response.
// Otherwise the rest of an unread body would be parsed as the next request.
// What follows a protocol upgrade has passed the guard unchecked.
func (x *exchange) mustClose() bool { return !x.body.done() || x.protocol != "" }

// answerError answers a request that got no response from an instance.
func (x *exchange) answerError(ctx context.Context, err error) {
	page, refused := router.PageFor(err)
	switch {
	case refused:
		if e, ok := errors.AsType[*router.NotReadyError](err); ok {
			x.w.Header()["Retry-After"] = []string{strconv.Itoa(e.RetryAfter)}
		}
		x.answer(page)
	case x.malformed():
		x.answer(router.PageBadRequest)
	case errors.Is(context.Cause(ctx), errLimit):
		x.answer(router.PageLimit)
	case x.req.Context().Err() != nil, x.body.failure() != nil:
		x.status, x.aborted = router.StatusGone, true
	default:
		x.answerFailure(err)
	}
}

// malformed reports whether the client's body is no valid encoding. net/http takes the
// guard's error for the end of the client and ends the context of the request, maybe before
// the body has recorded the error: only the guard knows in time.
func (x *exchange) malformed() bool {
	ended := x.req.Context().Err() != nil
	return ended && x.guard != nil && x.guard.malformed.Load() || errors.Is(x.body.failure(), http1.ErrChunk)
}

// answerFailure distinguishes instances that could not be reached from
// instances whose response was invalid.
func (x *exchange) answerFailure(err error) {
	id := router.PageBadAnswer
	if _, ok := errors.AsType[*dialError](err); ok {
		id = router.PageUnreachable
	}
	attrs := []any{"service", x.service.ID(), "request", x.id, "err", err}
	if x.target != nil {
		attrs = append(attrs, "instance", x.target.Instance)
	}
	x.cfg.Log.Info("request failed", attrs...)
	x.answer(id)
}
