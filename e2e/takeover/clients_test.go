package takeover

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// clients send requests to a service by connections of their own, and repeat nothing: what
// fails is lost.
type clients struct {
	addr string // that they connect to
	host string
	tls  *tls.Config // nil: without
	all  sync.WaitGroup

	answered, closes, dials atomic.Int64
	opened, frames, left    atomic.Int64 // WebSockets, their echoes, and those told to leave (1001)
	expelled                atomic.Int64 // WebSockets that the server closed after that

	mu    sync.Mutex // guards what follows
	lost  map[string]int
	first map[string]time.Time
}

func newClients(s *harness.Server, svc *types.Service) *clients {
	return clientsAt(s.HostPort(), *svc.ServiceUrl)
}

func clientsAt(addr, host string) *clients {
	return &clients{addr: addr, host: host, lost: map[string]int{}, first: map[string]time.Time{}}
}

// fail notes that something was lost.
func (c *clients) fail(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf("%s: %v", what, err)
	if i := strings.Index(text, "->"); i >= 0 { // addresses differ
		text = text[:strings.LastIndex(text[:i], " ")] + text[strings.Index(text[i:], " ")+i:]
	}
	if c.lost[text]++; c.lost[text] == 1 {
		c.first[text] = time.Now()
	}
}

// losses returns what was lost so far, and forgets it.
func (c *clients) losses() (n int, list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for text, k := range c.lost {
		n += k
		list = append(list, fmt.Sprintf("%d times, first at %s: %s", k, c.first[text].Format(time.StampMilli), text))
	}
	clear(c.lost)
	return n, list
}

// conn is a client's connection.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (c *clients) dial() (*conn, error) {
	c.dials.Add(1)
	n, err := net.DialTimeout("tcp", c.addr, harness.Timeout)
	if err != nil {
		return nil, err
	}
	n.SetDeadline(time.Now().Add(2 * harness.Timeout))
	if c.tls != nil {
		n = tls.Client(n, c.tls)
	}
	return &conn{n, bufio.NewReader(n)}, nil
}

// kinds of clients
const (
	kept  = true  // requests follow each other on a connection until the server closes it
	fresh = false // a connection for each request
)

// run has a client send requests until ctx ends. check looks at the response's body.
func (c *clients) run(ctx context.Context, keep bool, path, body string, check func(io.Reader) error) {
	c.all.Go(func() {
		var at *conn
		for ctx.Err() == nil {
			var err error
			if at == nil {
				if at, err = c.dial(); err != nil {
					c.fail(path, err)
					at = nil
					continue
				}
			}
			at.SetDeadline(time.Now().Add(2 * harness.Timeout))
			ended, err := c.exchange(at, path, body, check)
			if err != nil {
				c.fail(path, err)
			} else {
				c.answered.Add(1)
			}
			if ended && err == nil {
				c.closes.Add(1)
			}
			if ended || err != nil || keep == fresh {
				at.Close()
				at = nil
			}
		}
		if at != nil {
			at.Close()
		}
	})
}

// exchange sends one request. ended says that the server closes the connection.
func (c *clients) exchange(at *conn, path, body string, check func(io.Reader) error) (ended bool, err error) {
	method := "GET"
	if body != "" {
		method = "POST"
	}
	if _, err := fmt.Fprintf(at, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, c.host, len(body), body); err != nil {
		return true, err
	}
	r, err := http.ReadResponse(at.r, nil)
	if err != nil {
		return true, err
	}
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(r.Body, 100))
		return true, fmt.Errorf("status %d %s", r.StatusCode, text)
	}
	if err := check(r.Body); err != nil {
		return true, err
	}
	return r.Close, nil
}

// whole accepts a body that is whole.
func whole(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// letters accepts what the app answers to /large.
func letters(kib int) func(io.Reader) error {
	return func(r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(b) != kib<<10 {
			return fmt.Errorf("%d bytes of %d", len(b), kib<<10)
		}
		for i, x := range b {
			if x != 'a'+byte(i%26) {
				return fmt.Errorf("byte %d is %q", i, x)
			}
		}
		return nil
	}
}

// sockets keeps a number of WebSockets open until ctx ends. Each sends a frame now and
// then. One that is told to leave (1001) does so and opens another; any other end is lost.
func (c *clients) sockets(ctx context.Context, n int, every time.Duration) {
	c.openSockets(ctx, n, every, (*conn).leave)
}

// deafSockets is sockets whose clients do not answer the word to leave: they wait until the
// server closes the connection.
func (c *clients) deafSockets(ctx context.Context, n int, every time.Duration) {
	c.openSockets(ctx, n, every, func(at *conn) error {
		n, err := io.Copy(io.Discard, at.r)
		if n > 0 {
			return fmt.Errorf("%d bytes follow the close frame", n)
		}
		if err == nil {
			c.expelled.Add(1)
		}
		return err
	})
}

// leave answers the word to leave.
func (at *conn) leave() error {
	_, err := at.Write(frame(0x88, string(binary.BigEndian.AppendUint16(nil, 1001))))
	return err
}

// openSockets keeps WebSockets open. told is what a client does that is told to leave.
func (c *clients) openSockets(ctx context.Context, n int, every time.Duration, told func(*conn) error) {
	for range n {
		c.all.Go(func() {
			for ctx.Err() == nil {
				if err := c.socket(ctx, every, told); err != nil {
					c.fail("WebSocket", err)
				}
			}
		})
	}
}

var errStatus = errors.New("no WebSocket")

func (c *clients) socket(ctx context.Context, every time.Duration, told func(*conn) error) error {
	at, err := c.dial()
	if err != nil {
		return err
	}
	defer at.Close()
	fmt.Fprintf(at, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", c.host)
	r, err := http.ReadResponse(at.r, nil)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: status %d", errStatus, r.StatusCode)
	}
	c.opened.Add(1)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		at.SetDeadline(time.Now().Add(2 * harness.Timeout))
		if _, err := at.Write(frame(0x81, "hello")); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		kind, text, err := readFrame(at.r)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if kind == 0x88 && len(text) == 2 && binary.BigEndian.Uint16(text) == 1001 {
			c.left.Add(1)
			if err := told(at); err != nil {
				return fmt.Errorf("leave: %w", err)
			}
			return nil
		}
		if kind != 0x81 || string(text) != "hello" {
			return fmt.Errorf("frame %#x %q", kind, text)
		}
		c.frames.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// frame returns a frame of a client, masked with zeros.
func frame(kind byte, text string) []byte {
	return append([]byte{kind, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

func readFrame(r *bufio.Reader) (kind byte, text []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	text = make([]byte, head[1])
	_, err = io.ReadFull(r, text)
	return head[0], text, err
}

// passes waits until so many more requests were answered.
func (c *clients) passes(t testing.TB, n int64) {
	t.Helper()
	want := c.answered.Load() + n
	harness.Eventually(t, "requests are answered", func() (bool, string) {
		now := c.answered.Load()
		return now >= want, fmt.Sprintf("%d of %d", now, want)
	})
}

// awaitInFlight waits until an instance of a service has so many requests beside the one
// that asks it.
func awaitInFlight(s *harness.Server, svc *types.Service, n int64) {
	s.T.Helper()
	harness.Eventually(s.T, fmt.Sprintf("%d requests are in flight", n), func() (bool, string) {
		r, err := s.Ask(svc, "/")
		return err == nil && r.Serving > n, fmt.Sprint(r.Serving, err)
	})
}

// usual starts clients of all kinds, which send until ctx ends.
func (c *clients) usual(ctx context.Context) {
	for range 4 {
		c.run(ctx, kept, "/?ms=1", "a body", whole)
	}
	for range 2 {
		c.run(ctx, fresh, "/?ms=5", "", whole)
		c.run(ctx, kept, "/?ms=1500", "", whole)
	}
	c.run(ctx, kept, "/large?kib=2048&ms=50", "", letters(2048))
	c.run(ctx, fresh, "/large?kib=512&ms=10", "", letters(512))
	c.sockets(ctx, 10, 50*time.Millisecond)
}
