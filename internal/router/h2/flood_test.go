package h2

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is the client's end of a session.
type peer struct {
	t testing.TB
	net.Conn
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
	ended chan struct{} // closed when Run has returned
}

// dial returns a client of a session whose requests serve answers.
func dial(t testing.TB, serve func(*Stream, []byte)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, Conn: c, Framer: http2.NewFramer(c, c), ended: make(chan struct{})}
	p.enc = hpack.NewEncoder(&p.block)
	p.AllowIllegalWrites = true
	c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	s := New(in, Config{Serve: serve, Log: slog.New(slog.DiscardHandler)})
	go func() { defer close(p.ended); s.Run() }()
	t.Cleanup(func() { c.Close(); <-p.ended })
	io.WriteString(c, http2.ClientPreface)
	p.WriteSettings()
	return p
}

// head returns the block of a request.
func (p *peer) head(fields ...string) []byte {
	p.block.Reset()
	list := append([]string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "/"}, fields...)
	for i := 0; i < len(list); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

func (p *peer) request(id uint32, ends bool, fields ...string) error {
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.head(fields...), EndStream: ends, EndHeaders: true})
}

// end returns the code with which the session ends the connection.
func (p *peer) end() http2.ErrCode {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatalf("the connection ends without a word: %v", err)
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			return g.ErrCode
		}
	}
}

// answerAll answers each request when its body has come.
func answerAll(s *Stream, _ []byte) {
	defer s.Close()
	io.Copy(io.Discard, s)
	io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

// A client that has the server work without ever taking an answer is told to calm down, and the
// connection ends. Each of these had names of their own as attacks.
func TestFloods(t *testing.T) {
	t.Parallel()
	const many = 100_000
	for name, tc := range map[string]struct {
		flood func(p *peer, i int) error
		want  http2.ErrCode
	}{
		"rapid reset": {func(p *peer, i int) error {
			id := uint32(2*i + 1)
			if err := p.request(id, true); err != nil {
				return err
			}
			return p.WriteRSTStream(id, http2.ErrCodeCancel)
		}, http2.ErrCodeEnhanceYourCalm},
		"made the server reset": {func(p *peer, i int) error {
			return p.request(uint32(2*i+1), true, "connection", "close")
		}, http2.ErrCodeEnhanceYourCalm},
		"pings":    {func(p *peer, i int) error { return p.WritePing(false, [8]byte{}) }, http2.ErrCodeEnhanceYourCalm},
		"settings": {func(p *peer, i int) error { return p.WriteSettings() }, http2.ErrCodeEnhanceYourCalm},
		"priority": {func(p *peer, i int) error { return p.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }, http2.ErrCodeEnhanceYourCalm},
		"windows":  {func(p *peer, i int) error { return p.WriteWindowUpdate(0, 1) }, http2.ErrCodeEnhanceYourCalm},
		"unknown":  {func(p *peer, i int) error { return p.WriteRawFrame(0x42, 0, 0, nil) }, http2.ErrCodeEnhanceYourCalm},
		"empty data": {func(p *peer, i int) error {
			if i == 0 {
				return p.request(1, false)
			}
			return p.WriteData(1, false, nil)
		}, http2.ErrCodeEnhanceYourCalm},
		"continuations": {func(p *peer, i int) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.head()})
			}
			return p.WriteContinuation(1, false, nil)
		}, http2.ErrCodeEnhanceYourCalm},
		"long continuations": {func(p *peer, i int) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.head()})
			}
			return p.WriteContinuation(1, false, bytes.Repeat([]byte{0}, maxFrame))
		}, http2.ErrCodeEnhanceYourCalm},
		"compressed": {func(p *peer, i int) error { // one field in the table, many references to it
			if i > 0 {
				return errors.New("that was it")
			}
			block := p.head("x", strings.Repeat("y", 4000))
			for range 1000 {
				block = append(block, 0x80|62)
			}
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true, EndHeaders: true})
		}, http2.ErrCodeEnhanceYourCalm},
		"data beyond the window": {func(p *peer, i int) error {
			if i == 0 {
				return p.request(1, false)
			}
			return p.WriteData(1, false, make([]byte, maxFrame)) // the stream ends with a flow control error
		}, http2.ErrCodeEnhanceYourCalm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serve, release := answerAll, make(chan struct{})
			if name == "data beyond the window" {
				serve = func(s *Stream, _ []byte) { defer s.Close(); <-release }
			}
			p := dial(t, serve)
			t.Cleanup(func() { close(release) }) // before the session is waited for
			go func() {
				for i := range many {
					if tc.flood(p, i) != nil {
						return // the server has closed the connection
					}
				}
			}()
			if got := p.end(); got != tc.want {
				t.Errorf("ends with %v, want %v", got, tc.want)
			}
		})
	}
}

// A client may have so many requests at once and no more, also if it resets them while an
// instance is at work on them.
func TestStreamsAtOnce(t *testing.T) {
	t.Parallel()
	at := make(chan struct{}, 1000)
	release := make(chan struct{})
	p := dial(t, func(s *Stream, _ []byte) {
		defer s.Close()
		at <- struct{}{}
		<-release
		io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	for i := range 200 {
		id := uint32(2*i + 1)
		if err := p.request(id, true); err != nil {
			t.Fatal(err)
		}
		if i < 50 {
			p.WriteRSTStream(id, http2.ErrCodeCancel)
		}
	}
	refused := 0
	for refused < 72 {
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := f.(*http2.RSTStreamFrame); ok && r.ErrCode == http2.ErrCodeRefusedStream {
			refused++
		}
	}
	if n := len(at); n > 128 {
		t.Errorf("%d requests are served at once", n)
	}
	close(release)
}

// A client that is told to leave gets the answers to what it has asked, and what is on its way is
// served.
func TestDrain(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := New(in, Config{Serve: answerAll, Log: slog.New(slog.DiscardHandler)})
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run() }()
	p := &peer{t: t, Conn: c, Framer: http2.NewFramer(c, c)}
	p.enc = hpack.NewEncoder(&p.block)
	io.WriteString(c, http2.ClientPreface)
	p.WriteSettings()
	p.request(1, false)
	var last uint32
	answers := 0
	s.Drain()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			last = f.LastStreamID
		case *http2.PingFrame: // the request was on its way
			p.request(3, true)
			p.WritePing(true, f.Data)
			p.WriteData(1, true, []byte("late"))
		case *http2.HeadersFrame:
			answers++
		}
	}
	<-ended
	if answers != 2 || last != 3 {
		t.Errorf("%d answers, the last stream is %d", answers, last)
	}
}
