package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// errUpload is returned when the client has broken off the body of its request.
var errUpload = errors.New("the client broke off the body")

// errBody is returned when a body turns out longer than the service accepts.
var errBody = errors.New("the body is larger than the service accepts")

// upload sends the body of a request to an instance while its response is read. It runs in
// a goroutine of its own, unless the whole body came with the head.
type upload struct {
	x      *exchange
	to     *upstream
	chunks http1.ChunkScanner // if the body is chunked
	sent   int64              // bytes of chunks

	mayStart chan struct{} // closed when the client may be asked for the body
	done     chan struct{} // closed when the goroutine has ended

	ended atomic.Bool // all of the body was read from the client; set before its last bytes are sent

	// Set before done is closed.
	err    error // of reading from the client
	failed bool  // writing to the instance failed
}

// startUpload starts to send the body to an instance. The client's connection is read by
// the upload alone until it has ended.
func (x *exchange) startUpload(to *upstream) {
	u := &upload{x: x, to: to, mayStart: make(chan struct{}), done: make(chan struct{})}
	x.body = u
	if !x.req.Continue || len(x.c.in) > 0 {
		x.askForBody()
	}
	go u.run()
}

// askForBody lets the upload start.
func (x *exchange) askForBody() {
	if x.body != nil && !x.asked {
		x.asked = true
		close(x.body.mayStart)
	}
}

func (u *upload) run() {
	defer close(u.done)
	<-u.mayStart
	if u.x.stopped.Load() {
		return
	}
	var err error
	if u.x.req.Chunked {
		err = u.sendChunks()
	} else {
		err = u.sendLength()
	}
	if err != nil {
		u.err = err
		u.to.interruptRead() // the instance waits for bytes that will not come
	}
}

// send sends bytes to the instance. A failure is not the upload's error: the instance may
// have answered already.
func (u *upload) send(b []byte) (ok bool) {
	if len(b) == 0 {
		return true
	}
	_, err := u.to.write(b, u.x.limit)
	u.failed = err != nil
	return err == nil
}

// sendLength sends a body of known length.
func (u *upload) sendLength() error {
	c, left := u.x.c, u.x.req.Length
	piece := c.in[:min(int64(len(c.in)), left)]
	c.in = c.in[len(piece):]
	mem := takeBlock()
	defer mem.free()
	buf := mem.bytes()
	for {
		if left -= int64(len(piece)); left == 0 {
			u.ended.Store(true)
		}
		if !u.send(piece) || left == 0 {
			return nil
		}
		n, err := c.read(buf[:min(int64(len(buf)), left)], u.x.limit)
		if err != nil {
			return uploadError(err)
		}
		piece = buf[:n]
	}
}

// sendChunks sends a chunked body in chunks of its own.
func (u *upload) sendChunks() error {
	c := u.x.c
	in, out := takeBlock(), takeBlock()
	defer in.free()
	defer out.free()
	room := in.bytes()[:len(block{})/2] // chunks of one byte grow by their framing
	for piece := c.in; ; {
		msg, n, done, err := u.reframe(out.bytes()[:0], piece)
		if err != nil {
			return err
		}
		if done {
			u.ended.Store(true)
			c.keep(piece[n:])
		}
		if !u.send(msg) || done {
			return nil
		}
		c.in = nil
		k, err := c.read(room, u.x.limit)
		if err != nil {
			return uploadError(err)
		}
		piece = room[:k]
	}
}

// reframe appends the data in a piece of the body as chunks, and its end. n is how much of
// the piece belongs to the body.
func (u *upload) reframe(out, piece []byte) (msg []byte, n int, done bool, err error) {
	for n < len(piece) && !done {
		data, k, end, err := u.chunks.Next(piece[n:])
		if err != nil {
			return nil, n, false, err
		}
		n += k
		if len(data) > 0 {
			if u.sent += int64(len(data)); u.x.settings.MaxBody > 0 && u.sent > u.x.settings.MaxBody {
				return nil, n, false, errBody
			}
			out = appendChunk(out, data)
		}
		if done = end; done {
			out = appendLastChunk(out, u.chunks.Trailer())
		}
	}
	return out, n, done, nil
}

// appendChunk appends data as one chunk.
func appendChunk(b, data []byte) []byte {
	b = appendHex(b, len(data))
	b = append(b, "\r\n"...)
	b = append(b, data...)
	return append(b, "\r\n"...)
}

// appendLastChunk appends the end of a chunked body, with those fields that may follow it.
func appendLastChunk(b []byte, trailer []http1.Field) []byte {
	b = append(b, "0\r\n"...)
	for _, f := range trailer {
		if allowedInTrailer(f) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return append(b, "\r\n"...)
}

func uploadError(err error) error {
	if err == errLimit || err == errInterrupted {
		return err
	}
	return errUpload
}

// finishTime is how long the last bytes of a body may take to be sent once its response is
// complete. An instance that does not read them is not waited for.
const finishTime = 100 * time.Millisecond

// endUpload ends the upload, and reports whether all of the body was read: only then can
// the client's connection be used again.
func (x *exchange) endUpload() bool {
	u := x.body
	if u == nil {
		return true
	}
	x.stopped.Store(true)
	x.askForBody()
	if u.ended.Load() {
		select {
		case <-u.done:
			return true
		case <-time.After(finishTime):
		}
	}
	select {
	case <-u.done:
	default:
		x.c.interruptRead()
		u.to.interruptWrite()
		<-u.done
	}
	return false
}

// hasUploaded reports whether the client has nothing more to send of its request.
func (x *exchange) hasUploaded() bool {
	if x.body != nil {
		return x.body.ended.Load()
	}
	return x.whole
}
