package proxy

import (
	"errors"
	"io"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// Limits of what an instance sends before its final response, and how long it may be
// silent before the client is asked for a body that it holds back.
const (
	maxAnswer       = http1.MaxHead // bytes in the head of a response
	maxInterim      = 100
	maxInterimBytes = 64 << 10 // in all their heads
	continueTime    = time.Second
)

// spliceFrom is the number of bytes from which moving them inside the kernel is cheaper
// than copying them.
const spliceFrom = 64 << 10

// Failures of instances.
var (
	errInterim  = errors.New("the instance sent too many interim responses")
	errSwitched = errors.New("the instance switched to a protocol that was not asked for")
	errNothing  = errors.New("the instance ended the connection without a response")
)

// input is what an instance has sent and was not used yet.
type input struct {
	up   *upstream
	held buffer // nil if there is nothing, or buf is memory of its own
	b    []byte // a part of buf
	buf  []byte
	err  error // of the next read, if it is known already
}

func (in *input) free() {
	if in.held != nil {
		in.held.free()
	}
	in.held, in.b, in.buf = nil, nil, nil
}

// ask sends a request and reads the first bytes of the response. sent is less than all if
// the rest must be written, and then the response be read.
func (in *input) ask(p []byte, until time.Time) (sent int, err error) {
	b, n, sent, err := in.up.ask(p, until)
	if n > 0 {
		in.held, in.buf = b, b.bytes()
		in.b = in.buf[:n]
		return sent, nil
	}
	return sent, err
}

// more reads more bytes behind those that are there.
func (in *input) more(until time.Time) error {
	if in.err != nil {
		return in.err
	}
	if in.buf == nil {
		b, n, err := in.up.readBuffer(until)
		if n == 0 {
			return err
		}
		in.held, in.buf = b, b.bytes()
		in.b = in.buf[:n]
		return nil
	}
	if len(in.b) == 0 {
		in.b = in.buf[:0]
	}
	if len(in.b) == cap(in.b) {
		if len(in.b) < len(in.buf) {
			n := copy(in.buf, in.b)
			in.b = in.buf[:n]
		} else {
			grown := make([]byte, 2*len(in.buf))
			n := copy(grown, in.b)
			in.free()
			in.buf, in.b = grown, grown[:n]
		}
	}
	n, err := in.up.read(in.b[len(in.b):cap(in.b)], until)
	in.b = in.b[:len(in.b)+n]
	if n > 0 {
		return nil
	}
	return err
}

// moreNow reads what has come, where nothing is left of what came before. It reports whether
// something has come, or err is set.
func (in *input) moreNow() bool {
	b, n, err := in.up.receiveNow()
	if n > 0 {
		in.held, in.buf = b, b.bytes()
		in.b = in.buf[:n]
		return true
	}
	in.err = err
	in.up.ended = in.up.ended || err == io.EOF
	return err != nil
}

// use begins to use a connection, for which it builds the request.
func (x *exchange) use(up *upstream) {
	up.tick = x.c.present
	x.in = input{up: up}
	x.out = x.forward.appendRequest(x.out[:0], &x.req)
	if x.whole && x.req.Length > 0 {
		x.out = append(x.out, x.c.in[:x.req.Length]...)
	}
	x.stage, x.sent = stageAsked, 0
}

// exchangeOnce sends the request on the connection and passes the response on. An error says
// that the client has got no final response. The connection is then to be closed;
// otherwise it was put back or closed.
func (x *exchange) exchangeOnce() (err error) {
	if x.whole {
		if x.sent, err = x.in.ask(x.out, x.limit); err != nil {
			return x.responseError(err)
		}
	}
	return x.complete()
}

// complete is the rest of exchangeOnce, once a part of the request may have been sent.
func (x *exchange) complete() (err error) {
	up, sendErr := x.in.up, error(nil)
	if x.sent < len(x.out) {
		_, sendErr = up.write(x.out[x.sent:], x.limit)
	}
	if sendErr != nil && (sendErr == errLimit || up.written == up.start) {
		return sendErr
	}
	if !x.whole && sendErr == nil {
		if up.uses > 0 && up.look() == ended {
			up.ended = true // it was closed before: nothing of the body is lost yet
			return errNothing
		}
		x.startUpload(up)
	}
	if err := x.readResponse(); err != nil {
		if sendErr != nil && errors.Is(err, io.EOF) {
			return sendErr
		}
		return err
	}
	x.answered()
	if x.resp.Status == 101 {
		return x.tunnel()
	}
	x.beginResponse()
	x.endResponse(x.copyBody())
	return nil
}

// answered notes that the final response has begun.
func (x *exchange) answered() {
	x.lease.Answered(x.resp.Status)
	x.counted.upstream = time.Since(x.counted.leased)
}

// readResponse reads up to the end of the head of the final response, and passes those
// before it on. What follows it stays in the input.
func (x *exchange) readResponse() error {
	in, holdsBack := &x.in, x.body != nil && !x.asked
	for {
		head, err := x.readResponseHead(holdsBack)
		if err == errNoAnswer { // the client is asked in the instance's stead
			holdsBack = false
			if x.req.Minor > 0 {
				if _, err := x.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), x.limit); err != nil {
					return errGone
				}
			}
			x.askForBody()
			continue
		}
		if err != nil {
			return err
		}
		if x.resp.Status >= 200 {
			in.b = in.b[head:]
			return nil
		}
		if x.resp.Status == 101 {
			in.b = in.b[head:]
			if len(x.req.Protocol) == 0 || !http1.EqualFold(x.resp.Protocol, x.req.Protocol) {
				return errSwitched
			}
			return nil
		}
		if err := x.passInterim(head); err != nil {
			return err
		}
		in.b = in.b[head:]
		if x.resp.Status == 100 {
			holdsBack = false
			x.askForBody()
		}
	}
}

// errNoAnswer says that the instance has not answered an Expect within continueTime.
var errNoAnswer = errors.New("no answer to Expect")

// readResponseHead reads one head and returns its length.
func (x *exchange) readResponseHead(holdsBack bool) (n int, err error) {
	in, until := &x.in, x.limit
	if holdsBack {
		if t := time.Now().Add(continueTime); t.Before(until) {
			until = t
		}
	}
	from := 0
	for {
		if len(in.b) > 0 {
			if n, from, err = http1.FindResponse(in.b, from); err != nil {
				return 0, err
			}
			if n > 0 {
				return n, x.resp.Parse(in.b[:n])
			}
		}
		if err := in.more(until); err != nil {
			if err == errLimit && until.Before(x.limit) {
				return 0, errNoAnswer
			}
			return 0, x.responseError(err)
		}
	}
}

// responseError translates an error of reading the head of a response.
func (x *exchange) responseError(err error) error {
	switch {
	case err == errInterrupted:
		return errUpload
	case err == io.EOF && len(x.in.b) == 0:
		return errNothing
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// passInterim passes an interim response on. 100 goes only to a client that may read it:
// one of version 1.1.
func (x *exchange) passInterim(size int) error {
	x.interims++
	x.interimSize += size
	if x.interims > maxInterim || x.interimSize > maxInterimBytes {
		return errInterim
	}
	if x.req.Minor == 0 || x.resp.Status == 100 && !x.req.Continue {
		return nil
	}
	x.out = appendStatus(x.out[:0], x.resp.Status, x.resp.Reason)
	x.out = appendResponseFields(x.out, &x.resp, false)
	x.out = append(x.out, "\r\n"...)
	if _, err := x.c.write(x.out, x.limit); err != nil {
		return errGone
	}
	return nil
}

// copying is how the body of the final response is passed on.
type copying struct {
	form    form
	rechunk bool               // in chunks of the router's
	left    int64              // bytes to come, if the length is known
	chunks  http1.ChunkScanner // if it has chunks
	err     error              // of the framing of the body
}

// form is how a body shows its end.
type form uint8

const (
	formNone   form = iota // there is none
	formLength             // its length is known
	formChunks
	formRest // the end of the connection
)

// formOf returns the form of the body of a response.
func formOf(r *http1.Response, method []byte) form {
	switch {
	case r.Bodiless(method):
		return formNone
	case r.Chunked:
		return formChunks
	case r.Length >= 0:
		return formLength
	}
	return formRest
}

// beginResponse decides how the final response is passed on, and builds its head.
func (x *exchange) beginResponse() {
	r := &x.resp
	x.stage, x.status = stageResponding, r.Status
	x.copied = copying{form: formOf(r, x.req.Method), left: r.Length, chunks: http1.ChunkScanner{Lenient: true}}
	if f := x.copied.form; f == formChunks || f == formRest {
		x.copied.rechunk = x.req.Minor > 0
		x.closes = x.closes || !x.copied.rechunk // the end of the connection is the end of the response
	}
	x.decideClose()
	x.appendResponse()
}

// endResponse ends the final response, which err says was not passed on whole. It puts the
// connection to the instance back if nothing may follow on it.
func (x *exchange) endResponse(err error) {
	r, up, c := &x.resp, x.in.up, &x.copied
	if err != nil {
		x.abortResponse(err, c.form != formLength && !c.rechunk)
	}
	clientOK := x.endUpload()
	if !clientOK && !x.closes {
		x.closes, x.linger = true, true // the body broke off after the head was sent
	}
	if x.body == nil && x.whole {
		x.skipBody()
	}
	// Surplus bytes may be on their way: what an application writes after a response that
	// has no body, or as the rest of one whose length it has miscounted.
	framed := c.form == formLength || c.form == formChunks
	if framed && err == nil && clientOK && len(x.in.b) == 0 && !r.Close && !up.ended &&
		(x.body == nil || !x.body.failed) {
		up.tick = nil
		up.pool.put(up, r.KeepAlive)
		return
	}
	up.Close()
}

// appendResponse builds the head of the final response.
func (x *exchange) appendResponse() {
	r, rechunk := &x.resp, x.copied.rechunk
	b := appendStatus(x.out[:0], x.resp.Status, x.resp.Reason)
	b = appendResponseFields(b, r, rechunk && r.Chunked)
	switch {
	case rechunk:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length >= 0 && !r.Chunked && r.Status != 204:
		b = appendLength(b, r.Length)
	}
	b = x.appendSticky(b)
	b = x.appendHSTS(b)
	if !r.Dated {
		b = appendField(b, "Date", x.c.front.dates.at(x.start))
	}
	b = x.appendConnection(b)
	x.out = append(b, "\r\n"...)
}

// flush writes what was built for the client, if anything.
func (x *exchange) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	_, err := x.c.write(x.out, x.limit)
	x.out = x.out[:0]
	if err != nil {
		return &clientError{err}
	}
	return nil
}

// clientError is a failure to write to the client.
type clientError struct{ err error }

func (e *clientError) Error() string { return "write to client: " + e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// send appends bytes to what was built for the client, or writes both if that is too much
// to copy.
func (x *exchange) send(b []byte) error {
	if len(x.out)+len(b) <= len(block{}) {
		x.out = append(x.out, b...)
		return nil
	}
	if err := x.flush(); err != nil {
		return err
	}
	if _, err := x.c.write(b, x.limit); err != nil {
		return &clientError{err}
	}
	return nil
}

// copyBody passes what has not been passed on of the response, of which the head may be
// built and not sent.
func (x *exchange) copyBody() error {
	c := &x.copied
	for {
		done, err := x.translate()
		if err != nil {
			if err == c.err {
				x.flush() // the client gets what came before the fault, however it was split
			}
			return err
		}
		if err := x.flush(); err != nil || done {
			return err
		}
		if x.splices() {
			return unexpected(x.in.up.spliceTo(x.c.socket, c.left, x.limit))
		}
		err = x.in.more(x.limit)
		if c.form == formRest && err == io.EOF {
			if c.rechunk {
				x.out = append(x.out, "0\r\n\r\n"...)
			}
			return x.flush()
		}
		if err != nil {
			return unexpected(err)
		}
	}
}

// splices reports whether what is left of the body is moved inside the kernel.
func (x *exchange) splices() bool {
	return x.copied.form == formLength && x.copied.left >= spliceFrom && x.in.up.tcp != nil && x.c.tcp != nil
}

// translate builds for the client what has come of the body. done reports that this is the
// end of the response.
func (x *exchange) translate() (done bool, err error) {
	c, in := &x.copied, &x.in
	switch c.form {
	case formNone:
		return true, nil
	case formLength:
		first := in.b[:min(int64(len(in.b)), c.left)]
		c.left -= int64(len(first))
		in.b = in.b[len(first):]
		return c.left == 0, x.send(first)
	case formRest:
		all := in.b
		if in.b = in.b[:0]; len(all) == 0 {
			return false, nil
		}
		return false, x.sendPiece(all)
	}
	for len(in.b) > 0 && c.err == nil {
		data, n, end, err := c.chunks.Next(in.b)
		if c.err = err; err != nil {
			break
		}
		in.b = in.b[n:]
		if len(data) > 0 {
			if err := x.sendPiece(data); err != nil {
				return false, err
			}
		}
		if end {
			if c.rechunk {
				x.out = appendLastChunk(x.out, c.chunks.Trailer())
			}
			return true, nil
		}
	}
	return false, c.err
}

// sendPiece sends a piece of a body whose length is not known.
func (x *exchange) sendPiece(data []byte) error {
	if !x.copied.rechunk {
		return x.send(data)
	}
	x.out = appendHex(x.out, len(data))
	x.out = append(x.out, "\r\n"...)
	if err := x.send(data); err != nil {
		return err
	}
	x.out = append(x.out, "\r\n"...)
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// abortResponse ends a response that cannot be completed in a way that the
// client sees that it is incomplete.
func (x *exchange) abortResponse(err error, unmarked bool) {
	x.aborted = true
	if _, ok := errors.AsType[*clientError](err); ok || err == errGone {
		return
	}
	if unmarked {
		reset(x.c.Conn)
	}
	x.c.front.cfg.Log.Debug("response broke off", "service", x.service.ID(), "instance", x.target.Instance,
		"request", string(x.forward.id), "err", err)
}
