package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tunnel answers an accepted protocol upgrade and then relays bytes in both
// directions until both ends have closed. The time limit of requests does not
// apply to it.
func (x *exchange) tunnel(ctx context.Context, resp *http.Response) {
	up, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || x.protocol == "" || x.guard == nil || !strings.EqualFold(resp.Header.Get("Upgrade"), x.protocol) {
		x.answerError(ctx, errors.New("instance switched to a protocol that was not asked for"))
		return
	}
	conn, brw, err := x.control.Hijack()
	if err != nil {
		x.answerError(ctx, fmt.Errorf("take over connection: %w", err))
		return
	}
	x.guard.becomeTunnel()
	x.status = resp.StatusCode
	t := &tunnel{down: conn, from: brw.Reader, up: up, idle: x.cfg.TunnelIdle}
	defer t.close()
	if !x.guard.tunnels.add(t) {
		return // we are shutting down
	}
	defer x.guard.tunnels.remove(t)
	if err := writeSwitch(brw.Writer, resp); err != nil {
		return
	}
	t.run()
}

// writeSwitch writes the head of a 101 response.
func writeSwitch(w *bufio.Writer, resp *http.Response) error {
	h := make(http.Header, len(resp.Header))
	copyResponseHeader(h, resp.Header)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, resp.Header["Upgrade"]
	fmt.Fprintf(w, "HTTP/1.1 101 %s\r\n", http.StatusText(http.StatusSwitchingProtocols))
	h.Write(w)
	w.WriteString("\r\n")
	return w.Flush() // reports what failed before it too
}

// tunnel is a connection after a protocol upgrade.
type tunnel struct {
	down net.Conn
	from io.Reader // what the client sends, including what was buffered
	up   io.ReadWriteCloser
	idle time.Duration // without a byte in either direction, after which it is closed; 0 for no limit
}

// run relays bytes until both ends have closed or one has failed.
func (t *tunnel) run() {
	touch := func() {}
	if t.idle > 0 {
		timer := time.AfterFunc(t.idle, t.close)
		defer timer.Stop()
		touch = func() { timer.Reset(t.idle) }
	}
	var directions sync.WaitGroup
	directions.Go(func() { t.relay(t.down, t.up, touch) })
	directions.Go(func() { t.relay(t.up, t.from, touch) })
	directions.Wait()
}

// relay copies in one direction. It passes the end of the input on; a failure
// closes both ends.
func (t *tunnel) relay(to io.Writer, from io.Reader, touch func()) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		touch()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				t.close()
				return
			}
		}
		if err == nil {
			continue
		}
		half, ok := to.(interface{ CloseWrite() error })
		if err != io.EOF || !ok || half.CloseWrite() != nil {
			t.close()
		}
		return
	}
}

func (t *tunnel) close() {
	t.down.Close()
	t.up.Close()
}

// tunnels are the open tunnels of a listener, which net/http no longer knows.
type tunnels struct {
	mu     sync.Mutex // guards the rest
	open   map[*tunnel]struct{}
	closed bool
	empty  chan struct{} // closed when closed and open is empty; nil before closed
}

// add reports whether the tunnel may start.
func (ts *tunnels) add(t *tunnel) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return false
	}
	if ts.open == nil {
		ts.open = map[*tunnel]struct{}{}
	}
	ts.open[t] = struct{}{}
	return true
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	if ts.closed && len(ts.open) == 0 && ts.empty != nil {
		close(ts.empty)
		ts.empty = nil
	}
}

// shutdown refuses new tunnels, waits for the open ones until ctx ends, and
// then closes them.
func (ts *tunnels) shutdown(ctx context.Context) {
	ts.mu.Lock()
	ts.closed = true
	var empty chan struct{}
	if len(ts.open) > 0 {
		empty = make(chan struct{})
		ts.empty = empty
	}
	ts.mu.Unlock()
	if empty == nil {
		return
	}
	select {
	case <-empty:
		return
	case <-ctx.Done():
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		t.close()
	}
}
