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

// exchangeOn sends the request on a connection and passes the response on. An error says
// that the client has got no final response. The connection is then to be closed;
// otherwise it was put back or closed.
func (x *exchange) exchangeOn(up *upstream) error {
	x.out = x.forward.appendRequest(x.out[:0], &x.req)
	if x.whole && x.req.Length > 0 {
		x.out = append(x.out, x.c.in[:x.req.Length]...)
	}
	in := input{up: up}
	defer in.free()
	sent, sendErr := 0, error(nil)
	if x.whole {
		var err error
		if sent, err = in.ask(x.out, x.limit); err != nil {
			return x.responseError(&in, err)
		}
	}
	if sent < len(x.out) {
		_, sendErr = up.write(x.out[sent:], x.limit)
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
	if err := x.readResponse(&in); err != nil {
		if sendErr != nil && errors.Is(err, io.EOF) {
			return sendErr
		}
		return err
	}
	x.lease.Answered(x.resp.Status)
	x.counted.upstream = time.Since(x.counted.leased)
	if x.resp.Status == 101 {
		return x.tunnel(&in)
	}
	x.respond(&in)
	return nil
}

// readResponse reads up to the end of the head of the final response, and passes those
// before it on. What follows it stays in the input.
func (x *exchange) readResponse(in *input) error {
	holdsBack := x.body != nil && !x.asked
	for {
		head, err := x.readResponseHead(in, holdsBack)
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
func (x *exchange) readResponseHead(in *input, holdsBack bool) (n int, err error) {
	until := x.limit
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
			return 0, x.responseError(in, err)
		}
	}
}

// responseError translates an error of reading the head of a response.
func (x *exchange) responseError(in *input, err error) error {
	switch {
	case err == errInterrupted:
		return errUpload
	case err == io.EOF && len(in.b) == 0:
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

// respond passes the final response to the client, and puts the connection to the instance
// back if nothing may follow on it.
func (x *exchange) respond(in *input) {
	r, up := &x.resp, in.up
	x.status = r.Status
	bodiless := r.Bodiless(x.req.Method)
	sized := !bodiless && !r.Chunked && r.Length >= 0
	rechunk := !bodiless && !sized && x.req.Minor > 0
	if !bodiless && !sized && !rechunk {
		x.closes = true // the end of the connection is the end of the response
	}
	x.decideClose()

	x.appendResponse(rechunk)
	var err error
	switch {
	case bodiless:
		err = x.flush()
	case sized:
		err = x.copyLength(in, r.Length)
	case r.Chunked:
		err = x.copyChunks(in, rechunk)
	default:
		err = x.copyRest(in, rechunk)
	}
	if err != nil {
		x.abortResponse(err, !sized && !rechunk)
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
	framed := !bodiless && (sized || r.Chunked)
	if framed && err == nil && clientOK && len(in.b) == 0 && !r.Close && !up.ended &&
		(x.body == nil || !x.body.failed) {
		up.tick = nil
		up.pool.put(up, r.KeepAlive)
		return
	}
	up.Close()
}

// appendResponse builds the head of the final response.
func (x *exchange) appendResponse(rechunk bool) {
	r := &x.resp
	b := appendStatus(x.out[:0], x.resp.Status, x.resp.Reason)
	b = appendResponseFields(b, r, rechunk && r.Chunked)
	switch {
	case rechunk:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length >= 0 && !r.Chunked && r.Status != 204:
		b = appendLength(b, r.Length)
	}
	b = x.appendSticky(b)
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

// copyLength passes a body of known length on, after the head that was built.
func (x *exchange) copyLength(in *input, left int64) error {
	for {
		first := in.b[:min(int64(len(in.b)), left)]
		if err := x.send(first); err != nil {
			return err
		}
		left -= int64(len(first))
		in.b = in.b[len(first):]
		if err := x.flush(); err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		if left >= spliceFrom && in.up.tcp != nil && x.c.tcp != nil {
			return unexpected(in.up.spliceTo(x.c.socket, left, x.limit))
		}
		if err := in.more(x.limit); err != nil {
			return unexpected(err)
		}
	}
}

// copyChunks passes a chunked body on: in chunks of its own, or bare to a client of
// version 1.0.
func (x *exchange) copyChunks(in *input, rechunk bool) error {
	chunks := http1.ChunkScanner{Lenient: true}
	for {
		for len(in.b) > 0 {
			data, n, done, err := chunks.Next(in.b)
			if err != nil {
				x.flush() // the client gets what came before the fault, however it was split
				return err
			}
			in.b = in.b[n:]
			if len(data) > 0 {
				if err := x.sendPiece(data, rechunk); err != nil {
					return err
				}
			}
			if done {
				if rechunk {
					x.out = appendLastChunk(x.out, chunks.Trailer())
				}
				return x.flush()
			}
		}
		if err := x.flush(); err != nil {
			return err
		}
		if err := in.more(x.limit); err != nil {
			return unexpected(err)
		}
	}
}

// copyRest passes everything up to the end of the connection on.
func (x *exchange) copyRest(in *input, rechunk bool) error {
	for {
		if len(in.b) > 0 {
			if err := x.sendPiece(in.b, rechunk); err != nil {
				return err
			}
			in.b = in.b[:0]
		}
		if err := x.flush(); err != nil {
			return err
		}
		if err := in.more(x.limit); err == io.EOF {
			if rechunk {
				x.out = append(x.out, "0\r\n\r\n"...)
				return x.flush()
			}
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (x *exchange) sendPiece(data []byte, chunk bool) error {
	if !chunk {
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
