package router

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errLimit is the cause of a request's end by its time limit.
var errLimit = errors.New("request took too long")

// exchange is one request and its response.
type exchange struct {
	router  *Router
	entry   string // see place
	w       http.ResponseWriter
	req     *http.Request
	control *http.ResponseController
	guard   *guard // nil when the connection has none
	peer    peer
	id      string
	start   time.Time

	service  *service  // nil for an unknown host
	instance *instance // the last one tried
	body     *upload   // nil when there is none
	protocol string    // asked to switch to
	dials    int       // failures to reach an instance
	breaks   int       // failures after that

	announced map[string]bool // trailer fields of the response
	status    int
	sent      int64 // bytes of the response's body
	aborted   bool  // the connection cannot be used any more
}

// ServeHTTP takes a request to its service. Connections should come by way of
// Serve: it puts a guard in front of them.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handle(w, req, "") }

func (r *Router) handle(w http.ResponseWriter, req *http.Request, entry string) {
	x := &exchange{router: r, entry: entry, w: w, req: req, control: http.NewResponseController(w), start: time.Now(), protocol: upgradeOf(req)}
	if g, ok := req.Context().Value(guardKey{}).(*guard); ok {
		x.guard, x.peer = g, g.peer
	}
	x.id = requestID(req, x.peer)
	x.serve()
	x.finish()
	if x.aborted {
		panic(http.ErrAbortHandler) // net/http's way to end a connection
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
	if x.service = x.router.table.Load().find(place{x.entry, host}); x.service == nil {
		x.answer(pageNotFound)
		return
	}
	x.proxy()
}

// finish counts the request.
func (x *exchange) finish() {
	if x.service != nil {
		x.service.stats.add(x.status, time.Since(x.start))
	}
}

// answer gives one of our own answers.
func (x *exchange) answer(id pageID) {
	p := &pages[id]
	if x.service == nil {
		x.router.strays[id].Add(1)
	}
	x.status = p.status
	h := x.w.Header()
	h.Set("X-Request-Id", x.id)
	if x.last() {
		h.Set("Connection", "close")
	}
	if err := p.write(x.w, x.req); err != nil {
		x.aborted = true
	}
}

// last reports whether the connection must end with this response: what the
// client still sends of its body would be taken for its next request, and what
// it sends after asking for another protocol has passed the guard unchecked.
func (x *exchange) last() bool { return !x.body.done() || x.protocol != "" }

// fail answers a request that got no answer from an instance.
func (x *exchange) fail(ctx context.Context, err error) {
	switch {
	case errors.Is(err, errPaused):
		x.answer(pagePaused)
	case errors.Is(err, errUnborn):
		x.answer(pageUnborn)
	case errors.Is(err, errDeleted):
		x.answer(pageNotFound)
	case errors.Is(err, errQueueFull):
		x.answer(pageTooMany)
	case errors.Is(x.body.failure(), errChunk): // which ends the request's context too
		x.answer(pageBadRequest)
	case errors.Is(context.Cause(ctx), errLimit):
		x.answer(pageLimit)
	case x.req.Context().Err() != nil, x.body.failure() != nil:
		x.status, x.aborted = statusGone, true
	default:
		x.unanswered(err)
	}
}

// unanswered tells apart instances that were not reached from those that gave
// no valid answer.
func (x *exchange) unanswered(err error) {
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
