package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/router/http1"
)

// Attempts to get a response for one request.
const (
	maxDials  = 4 // to reach an instance
	maxBreaks = 4 // that may fail after reaching an instance
)

// exchange is one request and its response. Exchanges are used again, so that a request
// allocates nothing.
type exchange struct {
	c       *clientConn
	req     http1.Request
	resp    http1.Response
	forward forwarding
	uuid    [36]byte
	start   time.Time
	limit   time.Time // the end of the request's time
	counted tally

	received       []byte                   // of the client, from the request on
	refusal        int                      // the status that the head is refused with; 0 if it is not
	headSize       int                      // bytes of the request's head
	settings       *slipway.RoutingSettings // of the service
	mark           string                   // of the instance that the client's cookie names
	service        *router.Service          // nil for an unknown host
	stage          stage
	retry          bool // an attempt has failed
	lease          router.Lease
	target         *router.Target // of the last attempt
	in             input          // of the connection to it
	sent           int            // bytes of the built request that were sent on it
	whole          bool           // the body came with the head, or there is none
	body           *upload        // nil if it is whole, or was not begun
	asked          bool           // the client was asked for the body, or need not be
	stopped        atomic.Bool    // the body is not wanted any more
	dialFailures   int            // failures to reach an instance
	brokenAttempts int            // attempts that failed after reaching an instance
	interims       int            // responses before the final one
	interimSize    int            // bytes of their heads
	copied         copying

	out []byte // what is built for one of the ends

	status     int
	retryAfter int    // seconds, of a page; 0 for none
	location   string // of a page; "" for none
	text       string // in place of a page; "" for none
	closes     bool   // the client was told that the connection ends
	aborted    bool   // the client must see that its response is incomplete
	linger     bool   // the client may still be sending
	passes     bool   // another process goes on with the request
	served     bool   // it has been answered, or never will be
	keep       bool   // if served: the connection can take another request
}

var exchanges = sync.Pool{New: func() any { return &exchange{out: make([]byte, 0, 4<<10)} }}

func takeExchange(c *clientConn) *exchange {
	x := exchanges.Get().(*exchange)
	x.c = c
	return x
}

func (x *exchange) free() {
	fields, respFields, out := x.req.Fields[:0], x.resp.Fields[:0], x.out[:0]
	*x = exchange{}
	if cap(out) > 64<<10 {
		out = nil
	}
	x.req.Fields, x.resp.Fields, x.out = fields, respFields, out
	exchanges.Put(x)
}

// parse parses the head that is the first end bytes that the client has sent, unless it is
// to be refused with a status.
func (x *exchange) parse(end, status int) {
	f := x.c.front
	x.start, x.received = time.Now(), x.c.in
	x.counted = tally{read: x.c.socket.in.total - int64(len(x.c.in)), written: x.c.socket.out.total}
	x.limit = x.start.Add(f.cfg.RequestTimeout)
	x.forward = forwarding{peer: &x.c.peer, scheme: x.c.scheme(), underscores: f.cfg.Underscores}
	if status == 0 {
		status = x.req.Parse(x.c.in[:end])
	}
	x.setID()
	if x.refusal = status; status != 0 {
		return
	}
	x.headSize = end
	x.c.in = x.c.in[end:]
	x.whole = !x.req.Chunked && int64(len(x.c.in)) >= x.req.Length
}

// stage is how far an exchange has come. Whoever goes on with it, goes on from there.
type stage uint8

const (
	stageParsed     stage = iota // its head was parsed
	stageLeased                  // it has a lease of an instance
	stageAsked                   // it was sent to the instance, in part at least
	stageResponding              // the head of the final response has come
)

// serve takes the request from where it is to its end, unless that was done.
func (x *exchange) serve() {
	if x.served {
		return
	}
	again := false
	switch x.stage {
	case stageParsed:
		page, ok := x.route()
		if again = ok; !ok {
			x.answer(page)
		}
	case stageLeased:
		again = x.ask()
	case stageAsked:
		again = x.endAttempt(x.in.up, x.goOn())
	case stageResponding:
		x.endResponse(x.copyBody())
		x.endAttempt(nil, nil)
	}
	for again {
		again = x.attempt()
	}
	x.end()
}

// goOn is complete for a request that has waited elsewhere, where nobody has looked after its
// client.
func (x *exchange) goOn() error {
	if len(x.in.b) == 0 && x.in.err == nil {
		if err := x.c.checkPresent(); err != nil {
			return err
		}
	}
	return x.complete()
}

// route finds the service of the request. If ok is false, it is to be answered with a page.
func (x *exchange) route() (page router.PageID, ok bool) {
	if x.refusal != 0 {
		x.closes, x.linger = true, true
		if x.refusal == noMemory {
			return router.PageMemory, false
		}
		return router.PageOf(x.refusal), false
	}
	service := x.c.find(x.req.Host)
	if x.text = x.challenge(); x.text != "" {
		return router.PageNotFound, false
	}
	if x.service = service; service == nil {
		return router.PageNotFound, false
	}
	x.settings = x.service.Settings()
	if page, refused := x.forbidden(); refused {
		return page, false
	}
	if x.location = x.elsewhere(); x.location == "" {
		return 0, true
	}
	if m := string(x.req.Method); m == "GET" || m == "HEAD" {
		return router.PageMoved, false
	}
	return router.PageMovedKeep, false
}

// end ends the exchange, which was answered or never will be.
func (x *exchange) end() {
	x.served = true
	x.lease = router.Lease{}
	if x.passes {
		return
	}
	if x.service != nil {
		x.count()
	}
	x.keep = !x.aborted && !x.closes
}

// forbidden decides whether the service's settings refuse the request, and sets its time.
func (x *exchange) forbidden() (page router.PageID, refused bool) {
	s := x.settings
	if s.RequestTime > 0 {
		x.limit = x.start.Add(s.RequestTime)
	}
	if len(s.AllowFrom) > 0 {
		from := x.clientAddr()
		if !slices.ContainsFunc(s.AllowFrom, func(p netip.Prefix) bool { return p.Contains(from) }) {
			return router.PageForbidden, true
		}
	}
	if s.MaxHead > 0 && x.headSize > s.MaxHead {
		return router.PageHead, true
	}
	return router.PageBody, s.MaxBody > 0 && x.req.Length > s.MaxBody
}

// clientAddr returns the client's address: behind trusted proxies the last one in
// X-Forwarded-For that is none of theirs. It is invalid if a proxy sent nonsense.
func (x *exchange) clientAddr() netip.Addr {
	addr := x.c.peer.addr
	if !x.c.peer.trusted {
		return addr
	}
	var list []string
	for i := range x.req.Fields {
		if f := &x.req.Fields[i]; http1.EqualFold(f.Name, "x-forwarded-for") {
			list = append(list, strings.Split(string(f.Value), ",")...)
		}
	}
	for _, text := range slices.Backward(list) {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Addr{}
		}
		if addr = a.Unmap().WithZone(""); !trusts(x.c.front.cfg.Trusted, addr) {
			break
		}
	}
	return addr
}

// skipBody passes over the body that came with the head.
func (x *exchange) skipBody() { x.c.in = x.c.in[x.req.Length:] }

// setID sets the id of the request. It is a new UUID, even if the client sent an id, as in
// App Runner; a trusted peer may set it.
func (x *exchange) setID() {
	if x.c.peer.trusted {
		var id []byte
		n := 0
		for i := range x.req.Fields {
			if f := &x.req.Fields[i]; http1.EqualFold(f.Name, "x-request-id") {
				id = f.Value
				n++
			}
		}
		if n == 1 && len(id) > 0 && len(id) <= 128 {
			x.forward.id = id
			return
		}
	}
	putUUID(&x.uuid)
	x.forward.id = x.uuid[:]
}

// putUUID makes a random (version 4) UUID.
func putUUID(s *[36]byte) {
	var b [16]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	hex.Encode(s[0:], b[0:4])
	hex.Encode(s[9:], b[4:6])
	hex.Encode(s[14:], b[6:8])
	hex.Encode(s[19:], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
}

// attempt sends the request to one instance and passes its response on. It
// reports whether to try again.
func (x *exchange) attempt() (again bool) {
	if err := x.admit(); err != nil {
		if x.passes = err == errPassed; !x.passes {
			x.answerError(err)
		}
		return false
	}
	x.admitted()
	return x.ask()
}

// admitted notes that the request has a lease.
func (x *exchange) admitted() {
	x.stage, x.target, x.counted.leased = stageLeased, x.lease.Target, x.start
	if x.retry || x.counted.queue > 0 {
		x.counted.leased = time.Now()
	}
}

// ask is the rest of an attempt, once there is a lease.
func (x *exchange) ask() (again bool) {
	up, err := x.connect()
	for ; err == errStale; up, err = x.connect() {
		up.Close()
	}
	return x.endAttempt(up, err)
}

// endAttempt ends an attempt, which err says has failed. It reports whether to try again. up is
// the connection that is to be closed, nil if there is none.
func (x *exchange) endAttempt(up *upstream, err error) (again bool) {
	x.in.free()
	x.in.up = nil
	outcome := router.Done
	if err != nil {
		again = x.mayRetry(up, err)
		if _, ok := errors.AsType[*dialError](err); ok {
			outcome = router.Unreachable
			x.c.front.cfg.Log.Debug("instance not reached", "service", x.service.ID(), "instance", x.target.Instance, "retry", again, "err", err)
		} else if up != nil && !again && err != errGone && x.hasUploaded() {
			outcome = router.Unanswered
		}
		if up != nil {
			up.Close()
		}
		if !again {
			x.answerError(err)
		}
	}
	x.lease.Release(outcome)
	x.retry = again
	return again
}

// connect exchanges the request and its response on a connection to the target.
func (x *exchange) connect() (up *upstream, err error) {
	if up, err = x.c.front.connect(x.target, x.counted.leased, x.limit, x.whole); err != nil {
		return nil, err
	}
	x.use(up)
	return up, x.exchangeOnce()
}

// admit gets a lease of an instance.
func (x *exchange) admit() (err error) {
	var ok bool
	if x.settings.Sticky && !x.retry {
		x.mark = stickyMark(x.req.Fields)
		if x.lease, ok = x.service.TryAdmitTo(x.mark); ok {
			return nil
		}
	}
	if x.lease, ok, err = x.service.TryAdmit(x.retry); ok || err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	limit := time.AfterFunc(time.Until(x.limit), func() { cancel(errLimit) })
	defer limit.Stop()
	// A request that waits looks after its client, which has nobody else to do so.
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		t := time.NewTicker(tickTime)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-x.yields():
				cancel(errPassed)
				return
			case <-t.C:
				if err := x.c.checkPresent(); err != nil {
					cancel(err)
				}
			}
		}
	}()
	began := time.Now()
	x.lease, err = x.service.Admit(ctx, x.retry)
	x.counted.queue += time.Since(began)
	cancel(nil)
	<-watched
	return err
}

// admitNow is admit for a first attempt, without a wait. It reports whether there is a lease.
func (x *exchange) admitNow() (ok bool) {
	if x.settings.Sticky {
		if x.mark = stickyMark(x.req.Fields); x.mark != "" {
			x.lease, ok = x.service.TryAdmitAwake(x.mark)
			return ok
		}
	}
	x.lease, ok, _ = x.service.TryAdmit(false)
	return ok
}

// mayRetry counts a failed attempt and reports whether another may follow: no
// instance can have read anything of the request. That its method is idempotent is
// not enough: a request that ends one instance would end the next.
func (x *exchange) mayRetry(up *upstream, err error) bool {
	switch {
	case err == errLimit, err == errGone, x.body != nil, x.interims > 0:
		return false
	case up == nil:
		x.dialFailures++
		return x.dialFailures < maxDials
	case !up.unread():
		return false
	}
	x.brokenAttempts++
	return x.brokenAttempts < maxBreaks
}

// answerError answers a request that got no response from an instance.
func (x *exchange) answerError(err error) {
	if x.body != nil && !x.endUpload() {
		x.closes, x.linger = true, true
	}
	page, refused := router.PageFor(err)
	var upload error
	if x.body != nil {
		upload = x.body.err
	}
	switch {
	case refused:
		if e, ok := errors.AsType[*router.NotReadyError](err); ok {
			x.retryAfter = e.RetryAfter
		}
		x.answer(page)
	case errors.Is(upload, http1.ErrChunk):
		x.answer(router.PageBadRequest)
	case errors.Is(upload, errBody):
		x.answer(router.PageBody)
	case errors.Is(err, errLimit), errors.Is(upload, errLimit):
		x.answer(router.PageLimit)
	case errors.Is(err, errGone), errors.Is(upload, errUpload):
		x.status, x.aborted = router.StatusGone, true
	default:
		x.answerFailure(err)
	}
}

// answerFailure distinguishes instances that could not be reached from
// instances whose response was invalid.
func (x *exchange) answerFailure(err error) {
	id := router.PageBadAnswer
	if _, ok := errors.AsType[*dialError](err); ok {
		id = router.PageUnreachable
	}
	attrs := []any{"service", x.service.ID(), "request", string(x.forward.id), "err", err}
	if x.target != nil {
		attrs = append(attrs, "instance", x.target.Instance)
	}
	x.c.front.cfg.Log.Info("request failed", attrs...)
	x.answer(id)
}

// answer sends one of the pages of the router, as HTML to clients that prefer it.
func (x *exchange) answer(id router.PageID) {
	if x.service == nil && x.text == "" {
		x.c.front.cfg.Router.CountStray(id)
	}
	var accept []string
	for _, f := range x.req.Fields {
		if f.Kind == http1.Accept {
			accept = append(accept, string(f.Value))
		}
	}
	page := id.Page(router.PrefersHTML(accept))
	if x.text != "" {
		page = router.TextPage(x.text)
	}
	x.status = page.Status
	x.decideClose()
	if x.body == nil && x.whole {
		x.skipBody()
	}
	b := appendStatus(x.out[:0], page.Status, http.StatusText(page.Status))
	for _, f := range page.Header {
		if f.Name == "Retry-After" && x.retryAfter > 0 {
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	if x.retryAfter > 0 {
		b = appendField(b, "Retry-After", strconv.Itoa(x.retryAfter))
	}
	if x.location != "" {
		b = appendField(b, "Location", x.location)
	}
	b = appendField(b, "X-Request-Id", x.forward.id)
	b = appendField(b, "Date", x.c.front.dates.at(time.Now()))
	b = x.appendConnection(b)
	b = append(b, "\r\n"...)
	if string(x.req.Method) != "HEAD" {
		b = append(b, page.Body...)
	}
	x.out = b
	if _, err := x.c.write(b, time.Now().Add(x.c.front.cfg.HeadTimeout)); err != nil {
		x.aborted = true
	}
}

// decideClose decides whether the connection ends with the response. It must if the
// client has more to send of this request: the rest would be read as the next one. After
// an upgrade that was asked for, anything may follow.
func (x *exchange) decideClose() {
	uploaded := x.hasUploaded() && len(x.req.Protocol) == 0
	if !uploaded {
		x.linger = true
	}
	x.closes = x.closes || !uploaded || x.req.Close || x.c.ends() ||
		x.req.Minor == 0 && !x.req.KeepAlive
}

// appendConnection appends what the client is told about its connection.
func (x *exchange) appendConnection(b []byte) []byte {
	switch {
	case x.closes:
		return append(b, "Connection: close\r\n"...)
	case x.req.Minor == 0:
		return append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}
