// Package h2 speaks HTTP/2 to clients (RFC 9113), and has an engine of HTTP/1 serve each of
// their requests: a stream is a connection of its own to it, with one request in the form of
// HTTP/1.1. So there is one set of rules for requests, whatever a client speaks, and what the
// engine refuses is refused here.
//
// It decides nothing about requests: hosts, instances and limits are the engine's. It does
// decide what a client may cost: streams, memory and frames without a purpose are bounded.
// Frames and the compression of fields are golang.org/x/net/http2's.
package h2

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Config configures a Session. Fields below "defaults" may be zero.
type Config struct {
	// Serve serves the request of a stream, of which head is the head. It is called in a
	// goroutine of its own, and must close the stream.
	Serve func(s *Stream, head []byte)

	Log *slog.Logger // gets why connections are ended, at level debug

	// The defaults are in parentheses.

	MaxStreams  int           // requests at once (128)
	IdleTimeout time.Duration // without a stream, after which the connection is closed (75 s)
	WriteTime   time.Duration // for a client to take what is sent (30 s)
}

// Bounds of what a client may cost.
const (
	streamWindow = 256 << 10 // bytes of a request that are held until they are used
	connWindow   = 1 << 20   // the same of all requests of a connection
	maxFrame     = 16 << 10  // bytes in a frame, the least that the protocol allows
	maxBlock     = 128 << 10 // bytes of compressed fields in one head
	maxBlocks    = 64        // frames of one head
	maxFields    = 256 << 10 // bytes of fields that one head may become
	maxTable     = 4 << 10   // bytes of the table of compression
	maxWasted    = 1000      // frames and resets without a request that is answered in between
	preface      = 10 * time.Second
)

// Session is a connection of a client.
type Session struct {
	cfg  Config
	conn net.Conn

	in     *http2.Framer // used by Run
	fields *hpack.Decoder

	all sync.WaitGroup // calls of Serve

	write   sync.Mutex // guards the next five
	out     bytes.Buffer
	frames  *http2.Framer // to out
	encoder *hpack.Encoder
	block   bytes.Buffer // that encoder writes to
	failed  error        // of a write: nothing more is sent

	mu        sync.Mutex // guards what follows
	streams   map[uint32]*Stream
	last      uint32 // the highest number of a stream
	serving   int    // streams that Serve has
	window    int64  // bytes of responses that the client takes, of all streams
	initial   int64  // the same of a new stream
	frameSize int    // the largest frame that the client takes
	unused    int    // bytes that were received and used, and the client was not told
	received  int64  // bytes that the client may still send, of all streams
	wasted    int    // see maxWasted
	leaving   bool   // the client was told that no further stream is served
	final     bool   // ... and with which stream that begins
	accepted  uint32 // the last stream that is served, once final
}

// New returns a session on a connection, which Run serves.
func New(conn net.Conn, cfg Config) *Session {
	cfg.MaxStreams = cmp.Or(cfg.MaxStreams, 128)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 75*time.Second)
	cfg.WriteTime = cmp.Or(cfg.WriteTime, 30*time.Second)
	s := &Session{
		cfg: cfg, conn: conn, streams: map[uint32]*Stream{}, window: 65535, initial: 65535, frameSize: maxFrame,
		received: connWindow,
	}
	s.in = http2.NewFramer(io.Discard, conn)
	s.in.SetMaxReadFrameSize(maxFrame)
	s.in.SetReuseFrames()
	s.fields = hpack.NewDecoder(maxTable, nil)
	s.frames = http2.NewFramer(&s.out, nil)
	s.encoder = hpack.NewEncoder(&s.block)
	return s
}

// Run serves the connection until it ends, and closes it. It returns once the engine has
// left all streams, whose client it then finds gone.
func (s *Session) Run() {
	err := s.greet()
	for err == nil {
		err = s.turn()
	}
	s.end(err)
	s.all.Wait()
}

// greet exchanges what a connection begins with.
func (s *Session) greet() error {
	s.conn.SetReadDeadline(time.Now().Add(preface))
	var b [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(s.conn, b[:]); err != nil {
		return err
	}
	if string(b[:]) != http2.ClientPreface {
		return errors.New("no preface")
	}
	return s.send(func() error {
		err := s.frames.WriteSettings(
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(s.cfg.MaxStreams)},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxFields},
			http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1},
		)
		return cmp.Or(err, s.frames.WriteWindowUpdate(0, connWindow-65535))
	})
}

// turn reads a frame and does what it says. Its error ends the connection.
func (s *Session) turn() error {
	s.limitRead()
	f, err := s.in.ReadFrame()
	if err == nil {
		err = s.handle(f)
	}
	if e, ok := errors.AsType[http2.StreamError](err); ok {
		return s.refuse(e)
	}
	return err
}

// limitRead sets the time that a client without a request has for the next frame.
func (s *Session) limitRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) > 0 {
		s.conn.SetReadDeadline(time.Time{})
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(s.cfg.IdleTimeout))
}

// end ends the connection and all streams.
func (s *Session) end(err error) {
	code := http2.ErrCodeNo
	var c http2.ConnectionError
	switch {
	case errors.As(err, &c):
		code = http2.ErrCode(c)
	case errors.Is(err, http2.ErrFrameTooLarge):
		code = http2.ErrCodeFrameSize
	}
	s.cfg.Log.Debug("connection of HTTP/2 ended", "client", s.conn.RemoteAddr().String(), "err", err)
	s.mu.Lock()
	list := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		list = append(list, st)
	}
	clear(s.streams)
	last := s.last
	s.mu.Unlock()
	for _, st := range list {
		st.drop()
	}
	_ = s.send(func() error { return s.frames.WriteGoAway(last, code, nil) }) // the client may have gone
	if code != http2.ErrCodeNo {
		s.linger()
	}
	_ = s.conn.Close()
}

// Limits of linger: bytes that arrive at a closed socket make the kernel discard what is on
// its way to the client.
const (
	lingerTime  = time.Second
	lingerBytes = 16 << 20
)

// linger has the client get the last word, although it may still be sending.
func (s *Session) linger() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); !ok || c.CloseWrite() != nil {
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, s.conn, lingerBytes)
}

// send writes frames to the client, which f builds. A failure ends the session.
func (s *Session) send(f func() error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if err := f(); err != nil {
		return s.fail(err)
	}
	return s.flush()
}

// flush sends what was built. write is held.
func (s *Session) flush() error {
	if s.out.Len() == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTime))
	_, err := s.conn.Write(s.out.Bytes())
	s.out.Reset()
	if s.out.Cap() > 4*maxFrame {
		s.out = bytes.Buffer{}
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// fail notes that nothing more can be sent, and has Run see it. write is held.
func (s *Session) fail(err error) error {
	s.failed = err
	_ = s.conn.Close()
	return err
}

// Drain tells the client to make no further request here. Those that it has made are
// served, and those that were on their way; then the connection ends.
func (s *Session) Drain() {
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return
	}
	s.leaving = true
	s.mu.Unlock()
	// The last number that there is: nothing on its way is refused. The answer to a ping
	// shows that the client has read it.
	err := s.send(func() error {
		return cmp.Or(s.frames.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil), s.frames.WritePing(false, drainPing))
	})
	if err == nil {
		time.AfterFunc(drainTime, s.finish)
	}
}

// drainTime is how long a client has to answer the ping of Drain.
const drainTime = time.Second

var drainPing = [8]byte{'l', 'e', 'a', 'v', 'e'}

// finish refuses further streams, and ends the connection once there are none.
func (s *Session) finish() {
	s.mu.Lock()
	if s.final {
		s.mu.Unlock()
		return
	}
	s.final, s.accepted = true, s.last
	last, empty := s.last, len(s.streams) == 0
	s.mu.Unlock()
	_ = s.send(func() error { return s.frames.WriteGoAway(last, http2.ErrCodeNo, nil) }) // Run sees it
	if empty {
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// waste counts a frame that costs more than it does. Its error says that there were too many.
// mu is held.
func (s *Session) waste() error {
	if s.wasted++; s.wasted > maxWasted {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}
