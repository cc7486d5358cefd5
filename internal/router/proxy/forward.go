package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// Dialer connects to instances.
type Dialer interface {
	// Dial opens a connection to the port inside the instance.
	Dial(ctx context.Context, instance string, port int) (net.Conn, error)
}

// Limits of connections to instances.
const (
	dialTime     = 5 * time.Second
	continueTime = time.Second // to wait for a response to Expect: 100-continue
	maxAnswer    = 64 << 10    // bytes in the head of a response

	// idleTime is how long a pooled connection may stay unused. It is shorter
	// than the keep-alive time of common servers (the shortest is gunicorn's 2
	// s), so that the router closes first: a request that meets a connection
	// which the server is closing may be lost. A new connection costs
	// microseconds.
	idleTime = 1500 * time.Millisecond

	maxDials  = 4 // attempts to reach an instance
	maxBreaks = 4 // attempts that may fail after reaching an instance
)

// dialError says that an instance was not reached, so nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// newTransport returns the connection pool of one target.
func newTransport(d Dialer, t *router.Target) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		if s, ok := ctx.Value(sendingKey{}).(*sending); ok && !s.mayDial() {
			return nil, errSent
		}
		c, err := d.Dial(ctx, t.Instance, t.Port)
		if err != nil {
			return nil, &dialError{err}
		}
		return &instanceConn{Conn: c}, nil
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    max(t.Slots, 1),
		IdleConnTimeout:        idleTime,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              &protocols,
	}
}

// forward sends the request to an instance of its service and returns the
// response.
func (x *exchange) forward() {
	ctx, cancel := context.WithTimeoutCause(x.req.Context(), x.cfg.RequestTimeout, errLimit)
	defer cancel()
	x.body = newUpload(x.req)
	if x.body != nil {
		// This runs in the background because net/http's transport returns
		// only after its current read of the body. A stalled upload would
		// block it.
		stopped := make(chan struct{})
		context.AfterFunc(ctx, func() { x.body.stop(x.abortUpload); close(stopped) })
		defer func() { cancel(); <-stopped }()
		// The response may begin before the request has ended.
		if err := x.control.EnableFullDuplex(); err != nil {
			x.answerError(ctx, fmt.Errorf("enable full duplex: %w", err))
			return
		}
	}
	out, err := x.newRequest()
	if err != nil {
		x.answer(router.PageBadRequest)
		return
	}
	for isRetry := false; x.attempt(ctx, out, isRetry); isRetry = true {
	}
}

// newRequest returns the request for an instance.
func (x *exchange) newRequest() (*http.Request, error) {
	u, err := target(verdictOf(x.req).target)
	if err != nil {
		return nil, err
	}
	out := &http.Request{
		Method:        x.req.Method,
		URL:           u,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        requestHeader(x.req, x.peer, x.scheme, x.id, x.protocol, x.cfg.Underscores),
		Host:          x.req.Host,
		ContentLength: x.req.ContentLength,
	}
	if x.body != nil {
		out.Trailer = x.body.trailer
		if x.req.ContentLength < 0 {
			out.TransferEncoding = []string{"chunked"} // otherwise net/http waits for the first byte
		}
	}
	return out, nil
}

// target returns a URL for which net/http sends exactly the given target, in
// origin form.
func target(raw string) (*url.URL, error) {
	if _, rest, ok := http1.CutAbsolute(raw); ok {
		if raw = rest; !strings.HasPrefix(raw, "/") {
			raw = "/" + raw
		}
	}
	u := &url.URL{Scheme: "http", Host: "instance", Opaque: raw}
	if !strings.HasPrefix(raw, "//") {
		return u, nil
	}
	// net/http would parse an opaque "//" as the start of a host. A parsed URL
	// keeps it, unless it contains characters that must be escaped.
	path, query, ok := strings.Cut(raw, "?")
	p, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	u.Opaque, u.Path, u.RawPath, u.RawQuery, u.ForceQuery = "", p, path, query, ok && query == ""
	if u.RequestURI() != raw {
		return nil, errors.New("target cannot be passed on as it is")
	}
	return u, nil
}

// attempt sends the request to one instance and passes its response on. It
// reports whether to try again.
func (x *exchange) attempt(ctx context.Context, out *http.Request, isRetry bool) bool {
	lease, err := x.service.Admit(ctx, isRetry)
	if err != nil {
		x.answerError(ctx, err)
		return false
	}
	outcome := router.Done
	defer func() { lease.Release(outcome) }()
	x.target = lease.Target
	s := &sending{}
	resp, err := x.send(ctx, s, lease.Target, out)
	if err == nil {
		lease.Answered()
		x.respond(ctx, resp)
		return false
	}
	if s.prevented() { // what the transport says is about an attempt that was prevented
		err = errSent
	}
	retry := x.mayRetry(ctx, s, err)
	if _, ok := errors.AsType[*dialError](err); ok && ctx.Err() == nil {
		outcome = router.Unreachable
		x.cfg.Log.Debug("instance not reached", "service", x.service.ID(), "instance", lease.Target.Instance, "retry", retry, "err", err)
	}
	if !retry {
		x.answerError(ctx, err)
	}
	return retry
}

// mayRetry counts a failed attempt and reports whether another may follow: no
// instance can have read anything of the request. That its method is idempotent is
// not enough: a request that ends one instance would end the next.
func (x *exchange) mayRetry(ctx context.Context, s *sending, err error) bool {
	if ctx.Err() != nil || s.executable() || !x.body.replayable() || x.body.failure() != nil {
		return false
	}
	if _, ok := errors.AsType[*dialError](err); ok {
		x.dialFailures++
		return x.dialFailures < maxDials
	}
	x.brokenAttempts++
	return x.brokenAttempts < maxBreaks
}

// send makes one attempt on an instance.
func (x *exchange) send(ctx context.Context, s *sending, t *router.Target, out *http.Request) (*http.Response, error) {
	var interim *interim
	trace := &httptrace.ClientTrace{GotConn: s.got}
	if x.req.ProtoAtLeast(1, 1) {
		interim = newInterim(x.w, x.body)
		trace.Got1xxResponse = interim.pass
		if x.body != nil {
			trace.GotFirstResponseByte = x.body.answered
		}
	}
	ctx = context.WithValue(httptrace.WithClientTrace(ctx, trace), sendingKey{}, s)
	try := out.WithContext(ctx)
	if x.body != nil {
		b, err := x.body.open(s.dead)
		if err != nil {
			return nil, err
		}
		try.Body = b
	}
	resp, err := x.transport(t).RoundTrip(try)
	interim.end()
	return resp, err
}

// Interim responses of one request. The transport limits their headers only where nobody
// looks at them.
const (
	maxInterim       = 100
	maxInterimHeader = 64 << 10 // bytes of all their header fields
)

// errInterim is the failure of an instance that sends interim responses without end.
var errInterim = errors.New("the instance sent too many interim responses")

// interim passes 1xx responses on until the final response.
type interim struct {
	body  *upload
	mu    sync.Mutex // the transport may call pass while its caller continues
	w     http.ResponseWriter
	count int
	size  int // bytes of header fields
}

func newInterim(w http.ResponseWriter, body *upload) *interim { return &interim{w: w, body: body} }

func (i *interim) pass(code int, header textproto.MIMEHeader) error {
	i.body.interim(code)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	for name, values := range header {
		for _, v := range values {
			i.size += len(name) + len(v)
		}
	}
	if i.count > maxInterim || i.size > maxInterimHeader {
		return errInterim
	}
	// net/http sends 100 by itself when the body is first read, which the 100
	// of the instance triggers.
	if i.w == nil || code == http.StatusContinue {
		return nil
	}
	h := i.w.Header()
	copyResponseHeader(h, http.Header(header))
	i.w.WriteHeader(code)
	clear(h)
	return nil
}

func (i *interim) end() {
	if i != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.w = nil
	}
}

// copyBuffers pools the buffers that responses are copied with.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// respond passes the response of an instance to the client.
func (x *exchange) respond(ctx context.Context, resp *http.Response) {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(ctx, resp)
		return
	}
	h := x.w.Header()
	copyResponseHeader(h, resp.Header)
	x.announce(resp)
	if x.mustClose() {
		h.Set("Connection", "close")
	}
	x.status = resp.StatusCode
	x.w.WriteHeader(resp.StatusCode)
	if err := x.copyBody(resp); err != nil {
		x.abortResponse(ctx, resp, err)
		return
	}
	for k, vv := range resp.Trailer {
		if !allowedInTrailer(k) {
			continue
		}
		if !x.announced[k] {
			k = http.TrailerPrefix + k
		}
		h[k] = vv
	}
}

// announce names the trailer fields in the head.
func (x *exchange) announce(resp *http.Response) {
	if len(resp.Trailer) == 0 || !x.req.ProtoAtLeast(1, 1) {
		return
	}
	x.announced = make(map[string]bool, len(resp.Trailer))
	for k := range resp.Trailer {
		if allowedInTrailer(k) {
			x.announced[k] = true
			x.w.Header().Add("Trailer", k)
		}
	}
}

// copyBody passes the body on piece by piece as it arrives. It flushes after
// each piece, except the last piece of a body of known length, which net/http
// flushes with the end of the response. It flushes the head of a long response
// before the first piece.
func (x *exchange) copyBody(resp *http.Response) error {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	if resp.ContentLength < 0 || resp.ContentLength > int64(len(buf)) {
		if err := x.control.Flush(); err != nil {
			return &clientError{err}
		}
	}
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if werr := x.writeBody(buf[:n], x.sent+int64(n) != resp.ContentLength); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (x *exchange) writeBody(b []byte, flush bool) error {
	n, err := x.w.Write(b)
	x.sent += int64(n)
	if err == nil && flush {
		err = x.control.Flush()
	}
	if err != nil {
		return &clientError{err}
	}
	return nil
}

// clientError is a failure to write to the client.
type clientError struct{ err error }

func (e *clientError) Error() string { return "write to client: " + e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// abortResponse ends a response that cannot be completed in a way that the
// client sees that it is incomplete.
func (x *exchange) abortResponse(ctx context.Context, resp *http.Response, err error) {
	x.aborted = true
	if _, ok := errors.AsType[*clientError](err); ok || x.req.Context().Err() != nil {
		return
	}
	if resp.ContentLength < 0 && !x.req.ProtoAtLeast(1, 1) && x.guard != nil {
		x.guard.resetOnClose()
	}
	x.cfg.Log.Debug("response broke off", "service", x.service.ID(), "instance", x.target.Instance,
		"request", x.id, "sent", x.sent, "err", err, "cause", context.Cause(ctx))
}

// cut makes reading the request's body fail.
func (x *exchange) abortUpload() {
	if x.guard != nil {
		x.guard.abortUpload()
	} else {
		x.control.SetReadDeadline(time.Unix(1, 0))
	}
}
