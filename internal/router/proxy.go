package router

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
)

// Dialer reaches instances.
type Dialer interface {
	// Dial opens a connection to the port inside the instance.
	Dial(ctx context.Context, instance string, port int) (net.Conn, error)
}

// Limits towards instances.
const (
	dialTime     = 5 * time.Second
	continueTime = time.Second // for an answer to Expect: 100-continue
	maxAnswer    = 64 << 10    // bytes of a response's head

	// idleTime is how long a pooled connection may lie unused. It is less than
	// the keep-alive time of common servers (gunicorn's 2 s is the shortest),
	// so that ours is the end that closes: a request that meets the other
	// end's close may be lost. Dialling anew costs microseconds.
	idleTime = 1500 * time.Millisecond

	maxDials  = 4 // attempts to reach an instance
	maxBreaks = 2 // attempts that may break off after they reached one
)

// dialError tells that an instance was not reached: nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// newTransport returns the connection pool of one instance.
func newTransport(d Dialer, id string, port, slots int) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		c, err := d.Dial(ctx, id, port)
		if err != nil {
			return nil, &dialError{err}
		}
		return c, nil
	}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    max(slots, 1),
		IdleConnTimeout:        idleTime,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              &http1,
	}
}

// proxy takes the request to an instance of its service and back.
func (x *exchange) proxy() {
	ctx, cancel := context.WithTimeoutCause(x.req.Context(), x.router.cfg.RequestTimeout, errLimit)
	defer cancel()
	x.body = newUpload(x.req)
	if x.body != nil {
		// In the background, as net/http's transport does not return before it
		// has read what it was about to read: a stalled upload would hold it.
		stopped := make(chan struct{})
		context.AfterFunc(ctx, func() { x.body.stop(x.cut); close(stopped) })
		defer func() { cancel(); <-stopped }()
		// The response may begin before the request has ended.
		if err := x.control.EnableFullDuplex(); err != nil {
			x.fail(ctx, fmt.Errorf("enable full duplex: %w", err))
			return
		}
	}
	out, err := x.outgoing()
	if err != nil {
		x.answer(pageBadRequest)
		return
	}
	for again := false; x.attempt(ctx, out, again); again = true {
	}
}

// outgoing returns the request for an instance.
func (x *exchange) outgoing() (*http.Request, error) {
	u, err := target(requestTarget(x.req))
	if err != nil {
		return nil, err
	}
	out := &http.Request{
		Method:        x.req.Method,
		URL:           u,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outgoing(x.req, x.peer, x.router.cfg.Scheme, x.id, x.protocol),
		Host:          x.req.Host,
		ContentLength: x.req.ContentLength,
	}
	if x.body != nil {
		out.GetBody = x.body.open
		out.Trailer = x.body.trailer
		if x.req.ContentLength < 0 {
			out.TransferEncoding = []string{"chunked"} // else net/http waits for a first byte
		}
	}
	return out, nil
}

// target returns the URL by which net/http sends a request's target byte for
// byte, in origin form.
func target(raw string) (*url.URL, error) {
	if _, rest, ok := cutAbsolute(raw); ok {
		if raw = rest; !strings.HasPrefix(raw, "/") {
			raw = "/" + raw
		}
	}
	u := &url.URL{Scheme: "http", Host: "instance", Opaque: raw}
	if !strings.HasPrefix(raw, "//") {
		return u, nil
	}
	// net/http would take an opaque "//" for a host's beginning. Parsed it
	// stays what it is, unless it has characters that a URL must escape.
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

// attempt sends the request to one instance and passes its answer on. It
// reports whether the request is to be tried once more.
func (x *exchange) attempt(ctx context.Context, out *http.Request, again bool) bool {
	i, err := x.service.gate.acquire(ctx, again)
	if err != nil {
		x.fail(ctx, err)
		return false
	}
	defer x.service.gate.release(i)
	x.instance = i
	resp, err := x.send(ctx, i, out)
	if err == nil {
		x.service.gate.trust(i)
		x.respond(ctx, resp)
		return false
	}
	retry := x.mayRetry(ctx, err)
	if _, ok := errors.AsType[*dialError](err); ok && ctx.Err() == nil {
		x.service.gate.distrust(i)
		x.router.cfg.Log.Debug("instance not reached", "service", x.service.id, "instance", i.id, "again", retry, "err", err)
	}
	if !retry {
		x.fail(ctx, err)
	}
	return retry
}

// mayRetry counts a failed attempt and reports whether another may follow: no
// byte of the body has left, and the request cannot have begun to act, or may
// act twice.
func (x *exchange) mayRetry(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !x.body.fresh() || x.body.failure() != nil {
		return false
	}
	if _, ok := errors.AsType[*dialError](err); ok {
		x.dials++
		return x.dials < maxDials
	}
	x.breaks++
	return x.breaks < maxBreaks && idempotent(x.req.Method)
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// send makes one attempt at an instance.
func (x *exchange) send(ctx context.Context, i *instance, out *http.Request) (*http.Response, error) {
	var interim *interim
	if x.req.ProtoAtLeast(1, 1) {
		interim = newInterim(x.w, x.body)
		trace := &httptrace.ClientTrace{Got1xxResponse: interim.pass}
		if x.body != nil {
			trace.GotFirstResponseByte = x.body.answered
		}
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	try := out.WithContext(ctx)
	if x.body != nil {
		b, err := x.body.open()
		if err != nil {
			return nil, err
		}
		try.Body = b
	}
	resp, err := i.transport.RoundTrip(try)
	interim.end()
	return resp, err
}

// interim passes 1xx responses on until the final one.
type interim struct {
	body *upload
	mu   sync.Mutex // the transport may call pass while its caller goes on
	w    http.ResponseWriter
}

func newInterim(w http.ResponseWriter, body *upload) *interim { return &interim{w: w, body: body} }

func (i *interim) pass(code int, header textproto.MIMEHeader) error {
	i.body.interim(code)
	i.mu.Lock()
	defer i.mu.Unlock()
	// net/http says 100 by itself when the body is first read, which the
	// instance's 100 brings about.
	if i.w == nil || code == http.StatusContinue {
		return nil
	}
	h := i.w.Header()
	incoming(h, http.Header(header))
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

// copyBuffers are as large as a response is read at once.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// respond passes an instance's answer to the client.
func (x *exchange) respond(ctx context.Context, resp *http.Response) {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(ctx, resp)
		return
	}
	h := x.w.Header()
	incoming(h, resp.Header)
	x.announce(resp)
	if x.last() {
		h.Set("Connection", "close")
	}
	x.status = resp.StatusCode
	x.w.WriteHeader(resp.StatusCode)
	if err := x.copyBody(resp); err != nil {
		x.broken(ctx, resp, err)
		return
	}
	for k, vv := range resp.Trailer {
		if !trailable(k) {
			continue
		}
		if !x.announced[k] {
			k = http.TrailerPrefix + k
		}
		h[k] = vv
	}
}

// announce says which fields will follow the body.
func (x *exchange) announce(resp *http.Response) {
	if len(resp.Trailer) == 0 || !x.req.ProtoAtLeast(1, 1) {
		return
	}
	x.announced = make(map[string]bool, len(resp.Trailer))
	for k := range resp.Trailer {
		if trailable(k) {
			x.announced[k] = true
			x.w.Header().Add("Trailer", k)
		}
	}
}

// copyBody passes the body on piece by piece as it comes. Only the end of a
// body of known length is left to be flushed with the end of the response, and
// the head of a short one to its first piece.
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

// broken ends a response that cannot be completed, so that the client sees
// that it is not whole.
func (x *exchange) broken(ctx context.Context, resp *http.Response, err error) {
	x.aborted = true
	if _, ok := errors.AsType[*clientError](err); ok || x.req.Context().Err() != nil {
		return
	}
	if resp.ContentLength < 0 && !x.req.ProtoAtLeast(1, 1) && x.guard != nil {
		x.guard.reset()
	}
	x.router.cfg.Log.Debug("response broke off", "service", x.service.id, "instance", x.instance.id,
		"request", x.id, "sent", x.sent, "err", err, "cause", context.Cause(ctx))
}

// cut makes reading the request's body fail.
func (x *exchange) cut() {
	if x.guard != nil {
		x.guard.cut()
	} else {
		x.control.SetReadDeadline(time.Unix(1, 0))
	}
}
