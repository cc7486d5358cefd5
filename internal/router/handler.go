package router

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errLimit is the cause of a request context that ended by the time limit.
var errLimit = errors.New("request took too long")

// exchange is one request and its response.
type exchange struct {
	router  *Router
	entry   string // see routeKey
	w       http.ResponseWriter
	req     *http.Request
	control *http.ResponseController
	guard   *guard // nil if the connection has none
	peer    peer
	id      string
	start   time.Time

	service        *service  // nil for an unknown host
	instance       *instance // the last one tried
	body           *upload   // nil if the request has none
	protocol       string    // that the client asks to switch to
	dialFailures   int       // failures to reach an instance
	brokenAttempts int       // attempts that failed after reaching an instance

	announced map[string]bool // trailer fields of the response
	status    int
	sent      int64 // bytes of the response body
	aborted   bool  // the connection cannot be used any more
}

// ServeHTTP proxies a request to its service. Use Serve for client connections:
// it puts a guard in front of them.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handle(w, req, "") }

func (r *Router) handle(w http.ResponseWriter, req *http.Request, entry string) {
	x := &exchange{router: r, entry: entry, w: w, req: req, control: http.NewResponseController(w), start: time.Now(), protocol: upgradeOf(req)}
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
	if status := refusedStatus(x.req.RequestURI); status != 0 {
		x.answer(pageOf(status))
		return
	}
	host, ok := normalHost(x.req.Host)
	if !ok && x.req.Host != "" {
		x.answer(pageBadRequest)
		return
	}
	if x.service = x.router.table.Load().find(routeKey{x.entry, host}); x.service == nil {
		x.answer(pageNotFound)
		return
	}
	x.proxy()
}

// count counts the request in the metrics.
func (x *exchange) count() {
	if x.service != nil {
		x.service.stats.add(x.status, time.Since(x.start))
	}
}

// answer sends one of the pages of the router.
func (x *exchange) answer(id pageID) {
	p := &pages[id]
	if x.service == nil {
		x.router.strays[id].Add(1)
	}
	x.status = p.status
	h := x.w.Header()
	h.Set("X-Request-Id", x.id)
	if x.mustClose() {
		h.Set("Connection", "close")
	}
	if err := p.write(x.w, x.req); err != nil {
		x.aborted = true
	}
}

// mustClose reports whether the connection must be closed after this response.
// Otherwise the rest of an unread body would be parsed as the next request.
// What follows a protocol upgrade has passed the guard unchecked.
func (x *exchange) mustClose() bool { return !x.body.done() || x.protocol != "" }

// answerError answers a request that got no response from an instance.
func (x *exchange) answerError(ctx context.Context, err error) {
	switch {
	case errors.Is(err, errPaused):
		x.answer(pagePaused)
	case errors.Is(err, errNotDeployed):
		x.answer(pageNotDeployed)
	case errors.Is(err, errDeleted):
		x.answer(pageNotFound)
	case errors.Is(err, errQueueFull):
		x.answer(pageTooMany)
	case errors.Is(x.body.failure(), errChunk): // this also ends the context of the request
		x.answer(pageBadRequest)
	case errors.Is(context.Cause(ctx), errLimit):
		x.answer(pageLimit)
	case x.req.Context().Err() != nil, x.body.failure() != nil:
		x.status, x.aborted = statusGone, true
	default:
		x.answerFailure(err)
	}
}

// answerFailure distinguishes instances that could not be reached from
// instances whose response was invalid.
func (x *exchange) answerFailure(err error) {
	id := pageBadAnswer
	if _, ok := errors.AsType[*dialError](err); ok {
		id = pageUnreachable
	}
	attrs := []any{"service", x.service.id, "request", x.id, "err", err}
	if x.instance != nil {
		attrs = append(attrs, "instance", x.instance.id)
	}
	x.router.cfg.Log.Warn("request failed", attrs...)
	x.answer(id)
}
