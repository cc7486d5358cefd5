package h2

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/openslipway/slipway/internal/router/http1"
)

// Stream is a request of a client, as a connection to an engine of HTTP/1: what is read is the
// body of the request, in the framing that its head announced, and what is written must be a
// response of HTTP/1.1. One goroutine at a time may read, and one may write.
type Stream struct {
	s      *Session
	id     uint32
	method string

	upgrade string // what a CONNECT asks for (RFC 8441); "" for an ordinary request
	chunked bool   // the body has no length
	framed  bool   // there is a body

	// Guarded by Session.mu.
	in        bytes.Buffer // of the body, received and not read
	trailer   []byte       // what follows the body, in the form of HTTP/1.1
	left      int64        // bytes of the body that the client has announced and not sent
	ends      bool         // nothing but the end may follow
	ended     bool         // the client has sent all
	gone      bool         // the client wants no answer any more, or the connection has ended
	window    int64        // bytes of the response that the client takes
	received  int64        // bytes of the body that the client may still send
	unused    int          // bytes that were used, and the client was not told
	tunnel    bool         // bytes pass as they are, once the engine has agreed
	wakeRead  chan struct{}
	wakeWrite chan struct{}

	readUntil, writeUntil deadline

	// Used by the reader.
	pending []byte // framing that was not read yet
	closed  bool   // the end of the body was read

	answer answer // used by the writer

	closing sync.Once
}

var (
	errGone = errors.New("the client has reset the stream, or left")
	errDone = errors.New("the response has ended")
)

// receive takes bytes of the body. mu is held.
func (st *Stream) receive(data []byte, ends bool) error {
	if st.framed && !st.chunked {
		if st.left -= int64(len(data)); st.left < 0 || ends && st.left > 0 {
			return streamError(st.id, http2.ErrCodeProtocol)
		}
	} else if st.ends && len(data) > 0 {
		return streamError(st.id, http2.ErrCodeProtocol)
	}
	st.in.Write(data)
	st.ended = ends
	signal(st.wakeRead)
	return nil
}

// drop tells the engine that the client is gone.
func (st *Stream) drop() {
	st.s.mu.Lock()
	st.gone = true
	st.s.used(st.in.Len())
	st.in = bytes.Buffer{}
	st.s.mu.Unlock()
	signal(st.wakeRead)
	signal(st.wakeWrite)
}

// forget ends a stream. The last one of a session that is to end ends it.
func (s *Session) forget(st *Stream) {
	s.mu.Lock()
	_, there := s.streams[st.id]
	delete(s.streams, st.id)
	empty := len(s.streams) == 0
	ends := s.final && empty
	s.mu.Unlock()
	switch {
	case ends && there:
		s.conn.SetReadDeadline(time.Unix(1, 0))
	case empty && there:
		s.conn.SetReadDeadline(time.Now().Add(s.cfg.IdleTimeout))
	}
}

// Gone reports whether the client wants no answer any more.
func (st *Stream) Gone() bool {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	return st.gone
}

func (st *Stream) wakeWriter() { signal(st.wakeWrite) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Read reads the body of the request in the framing of HTTP/1.1, or the bytes of a tunnel. It
// returns io.EOF after them.
func (st *Stream) Read(p []byte) (int, error) {
	for {
		if len(st.pending) > 0 {
			n := copy(p, st.pending)
			st.pending = st.pending[n:]
			return n, nil
		}
		n, more, err := st.readNow(p)
		if n > 0 || err != nil {
			return n, err
		}
		if more {
			continue
		}
		select {
		case <-st.wakeRead:
		case <-st.readUntil.over():
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// readNow reads what is there. more says that there is something pending.
func (st *Stream) readNow(p []byte) (n int, more bool, err error) {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	switch {
	case st.gone:
		return 0, false, errGone
	case st.in.Len() > 0 && len(p) > 0:
		size := min(st.in.Len(), len(p))
		if st.chunked {
			const room = 12 // for the size and line breaks
			if len(p) <= room {
				st.pending = append(strconv.AppendInt(nil, int64(size), 16), "\r\n"...)
				st.pending = append(append(st.pending, st.in.Next(size)...), "\r\n"...)
				st.use(size)
				return 0, true, nil
			}
			size = min(size, len(p)-room)
			head := append(strconv.AppendInt(make([]byte, 0, room), int64(size), 16), "\r\n"...)
			n = copy(p, head)
			n += copy(p[n:], st.in.Next(size))
			n += copy(p[n:], "\r\n")
		} else {
			n, _ = st.in.Read(p[:size])
		}
		st.use(size)
		return n, false, nil
	case st.ended && st.chunked && !st.closed:
		st.closed = true
		st.pending = append(append([]byte("0\r\n"), st.trailer...), "\r\n"...)
		return 0, true, nil
	case st.ended:
		return 0, false, io.EOF
	}
	return 0, false, nil
}

// use notes that bytes of the body were read, and tells the client now and then. mu is held.
func (st *Stream) use(n int) {
	st.s.used(n)
	if st.unused += n; st.unused < streamWindow/4 || st.ended {
		return
	}
	n = st.unused
	st.unused, st.received = 0, st.received+int64(n)
	go st.s.send(func() error { return st.s.frames.WriteWindowUpdate(st.id, uint32(n)) })
}

// answer is how far a response has come.
type answer struct {
	state  state
	head   []byte // of the response, as far as it was written
	from   int    // how much of it was searched for its end
	resp   http1.Response
	left   int64 // bytes of the body
	chunks http1.ChunkScanner
}

type state uint8

const (
	inHead state = iota
	inLength
	inChunks
	inRest // up to the end of the connection, or of a tunnel
	atEnd
)

// Write sends a response of HTTP/1.1, or the bytes of a tunnel.
func (st *Stream) Write(p []byte) (n int, err error) {
	var out frames
	for len(p) > 0 && err == nil {
		var k int
		if k, err = st.translate(p, &out); err == nil && k == 0 {
			err = errDone
		}
		n, p = n+k, p[k:]
	}
	return n, cmp.Or(st.emit(&out, st.answer.state == atEnd), err)
}

// frames is what a write becomes: heads and pieces of a body, in order.
type frames struct {
	heads   []head // before the body
	body    [][]byte
	trailer []http1.Field
	ends    bool
}

// head is the head of a response, or of an interim one.
type head struct {
	status int
	fields []hpack.HeaderField
}

// translate takes the next bytes of the response and returns how many.
func (st *Stream) translate(p []byte, out *frames) (n int, err error) {
	a := &st.answer
	switch a.state {
	case inHead:
		return st.takeHead(p, out)
	case inLength:
		n = int(min(a.left, int64(len(p))))
		out.body = append(out.body, p[:n])
		if a.left -= int64(n); a.left == 0 {
			a.state = atEnd
		}
		return n, nil
	case inChunks:
		data, n, done, err := a.chunks.Next(p)
		if len(data) > 0 {
			out.body = append(out.body, data)
		}
		if done {
			a.state, out.trailer = atEnd, a.chunks.Trailer()
		}
		return n, err
	case inRest:
		out.body = append(out.body, p)
		return len(p), nil
	}
	return 0, errDone
}

// takeHead takes bytes of a head.
func (st *Stream) takeHead(p []byte, out *frames) (n int, err error) {
	a := &st.answer
	was := len(a.head)
	a.head = append(a.head, p...)
	end := 0
	if end, a.from, err = http1.FindResponse(a.head, a.from); err != nil || end == 0 {
		return len(p), err
	}
	if err := a.resp.Parse(a.head[:end]); err != nil {
		return 0, err
	}
	out.heads = append(out.heads, st.headOf(&a.resp))
	a.head, a.from = nil, 0
	switch r := &a.resp; {
	case r.Status == 101:
		a.state = inRest
	case r.Status < 200:
	case r.Bodiless([]byte(st.method)) || r.Length == 0:
		a.state = atEnd
	case r.Chunked:
		a.state = inChunks
	case r.Length > 0:
		a.state, a.left = inLength, r.Length
	default:
		a.state = inRest
	}
	return end - was, nil
}

// headOf returns the head in the form of HTTP/2. A tunnel is agreed to by 200.
func (st *Stream) headOf(r *http1.Response) head {
	h := head{status: r.Status, fields: make([]hpack.HeaderField, 0, len(r.Fields)+1)}
	if r.Status == 101 {
		h.status = 200
	}
	h.fields = append(h.fields, hpack.HeaderField{Name: ":status", Value: strconv.Itoa(h.status)})
	for _, f := range r.Fields {
		name := lower(f.Name)
		switch name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "sec-websocket-accept":
			continue
		}
		// What differs each time would push all else out of the table.
		h.fields = append(h.fields, hpack.HeaderField{Name: name, Value: string(f.Value), Sensitive: name == "x-request-id" || name == "set-cookie"})
	}
	return h
}

// lower returns a name in lower case.
func lower(name []byte) string {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			return strings.ToLower(string(name))
		}
	}
	return string(name)
}

// emit sends frames. The body waits until the client takes it.
func (st *Stream) emit(out *frames, ends bool) error {
	s := st.s
	s.write.Lock()
	defer s.write.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if st.Gone() {
		return errGone
	}
	for i, h := range out.heads {
		last := ends && i == len(out.heads)-1 && len(out.body) == 0 && len(out.trailer) == 0
		if err := s.writeHead(st.id, h.fields, last); err != nil {
			return s.fail(err)
		}
		out.ends = out.ends || last
	}
	for i, b := range out.body {
		last := ends && i == len(out.body)-1 && len(out.trailer) == 0
		if err := st.writeBody(b, last); err != nil {
			return err
		}
		out.ends = out.ends || last
	}
	if ends && !out.ends {
		if err := st.writeEnd(out.trailer); err != nil {
			return s.fail(err)
		}
	}
	return s.flush()
}

// writeEnd ends the response, with fields that follow it if there are any.
func (st *Stream) writeEnd(trailer []http1.Field) error {
	if len(trailer) == 0 {
		return st.s.frames.WriteData(st.id, true, nil)
	}
	fields := make([]hpack.HeaderField, 0, len(trailer))
	for _, f := range trailer {
		fields = append(fields, hpack.HeaderField{Name: lower(f.Name), Value: string(f.Value)})
	}
	return st.s.writeHead(st.id, fields, true)
}

// writeHead builds the frames of a head. write is held.
func (s *Session) writeHead(id uint32, fields []hpack.HeaderField, ends bool) error {
	s.block.Reset()
	for _, f := range fields {
		if err := s.encoder.WriteField(f); err != nil {
			return err
		}
	}
	b := s.block.Bytes()
	first := b[:min(len(b), maxFrame)]
	b = b[len(first):]
	err := s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: ends, EndHeaders: len(b) == 0})
	for err == nil && len(b) > 0 {
		part := b[:min(len(b), maxFrame)]
		b = b[len(part):]
		err = s.frames.WriteContinuation(id, len(b) == 0, part)
	}
	return err
}

// writeBody builds the frames of a piece of a body, and sends them when the client must make
// room first. write is held, but not while it waits.
func (st *Stream) writeBody(b []byte, ends bool) error {
	s := st.s
	for len(b) > 0 {
		n := st.claim(len(b))
		if n == 0 {
			if err := s.flush(); err != nil {
				return err
			}
			s.write.Unlock()
			err := st.awaitRoom()
			s.write.Lock()
			if err = cmp.Or(s.failed, err); err != nil {
				return err
			}
			continue
		}
		if err := s.frames.WriteData(st.id, ends && n == len(b), b[:n]); err != nil {
			return s.fail(err)
		}
		b = b[n:]
		if s.out.Len() >= 4*maxFrame {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim returns how many of n bytes the client takes now, which count as sent.
func (st *Stream) claim(n int) int {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k := min(int64(n), st.window, s.window, int64(s.frameSize))
	if k <= 0 || st.gone {
		return 0
	}
	st.window -= k
	s.window -= k
	s.wasted = 0
	return int(k)
}

// awaitRoom waits until the client may take more.
func (st *Stream) awaitRoom() error {
	for {
		st.s.mu.Lock()
		room, gone := st.window > 0 && st.s.window > 0, st.gone
		st.s.mu.Unlock()
		switch {
		case gone:
			return errGone
		case room:
			return nil
		}
		select {
		case <-st.wakeWrite:
		case <-st.writeUntil.over():
			return os.ErrDeadlineExceeded
		}
	}
}

// CloseWrite ends the response of a tunnel, whose other direction goes on.
func (st *Stream) CloseWrite() error {
	if st.answer.state != inRest {
		return errors.ErrUnsupported
	}
	st.answer.state = atEnd
	return st.emit(&frames{}, true)
}

// Close ends the stream. A response that is not complete is broken off, and a client that
// still sends is told that nobody reads it.
func (st *Stream) Close() error {
	st.closing.Do(st.close)
	return nil
}

func (st *Stream) close() {
	s := st.s
	s.mu.Lock()
	gone, ended := st.gone, st.ended
	s.wasted = 0
	s.mu.Unlock()
	code := http2.ErrCodeNo
	switch {
	case gone:
		s.forget(st)
		return
	case st.answer.state == inRest && !st.tunnel:
		st.answer.state = atEnd
		_ = st.emit(&frames{}, true)
	case st.answer.state == inRest:
		code, ended = http2.ErrCodeCancel, false
	case st.answer.state != atEnd:
		code, ended = http2.ErrCodeInternal, false
	}
	if !ended {
		_ = s.send(func() error { return s.frames.WriteRSTStream(st.id, code) })
	}
	s.forget(st)
	st.drop()
}

// LocalAddr returns the near end of the client's connection.
func (st *Stream) LocalAddr() net.Addr { return st.s.conn.LocalAddr() }

// RemoteAddr returns the client's end of its connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	st.readUntil.set(t)
	st.writeUntil.set(t)
	return nil
}

// SetReadDeadline sets when a read ends that waits.
func (st *Stream) SetReadDeadline(t time.Time) error { st.readUntil.set(t); return nil }

// SetWriteDeadline sets when a write ends that waits for the client to make room.
func (st *Stream) SetWriteDeadline(t time.Time) error { st.writeUntil.set(t); return nil }

// String names the stream, for logs.
func (st *Stream) String() string { return fmt.Sprintf("stream %d of %s", st.id, st.RemoteAddr()) }

// deadline is a time that ends waits. It makes nothing before somebody waits.
type deadline struct {
	mu    sync.Mutex // guards what follows
	at    time.Time
	timer *time.Timer
	c     chan struct{} // closed when the time has come; nil if nobody has waited
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.c != nil {
		d.start()
	}
}

// over returns what is closed when the time has come.
func (d *deadline) over() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c == nil {
		d.start()
	}
	return d.c
}

// start has a channel closed at the time: the one there is, unless its time has come. mu is
// held.
func (d *deadline) start() {
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.c == nil || isClosed(d.c) {
		d.c = make(chan struct{})
	}
	c := d.c
	switch left := time.Until(d.at); {
	case d.at.IsZero():
	case left <= 0:
		close(c)
	default:
		d.timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			// It may have been set anew while this waited for the lock.
			if d.c == c && !isClosed(c) && !time.Now().Before(d.at) && !d.at.IsZero() {
				close(c)
			}
		})
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
