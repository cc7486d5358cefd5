package registry

import (
	"io"
	"net/http"
	"time"
)

// step is how much a client may take its time for: 1 MiB.
const step = 1 << 20

// hurry makes the request's body and its answer fail when the client neither
// sends nor takes anything for the configured time. A whole layer may take as
// long as it likes. The caller calls end when it has answered.
func (c *call) hurry() (end func()) {
	// A ResponseWriter without deadlines, as of tests, goes without.
	conn := http.NewResponseController(c.w)
	c.r.Body = &hurriedBody{c.r.Body, conn, c.cfg.Stall}
	c.w = &hurriedWriter{c.w, conn, c.cfg.Stall}
	return func() { _ = conn.SetWriteDeadline(time.Time{}) }
}

type hurriedBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
}

func (b *hurriedBody) Read(p []byte) (int, error) {
	_ = b.conn.SetReadDeadline(time.Now().Add(b.stall))
	return b.ReadCloser.Read(p)
}

type hurriedWriter struct {
	http.ResponseWriter
	conn  *http.ResponseController
	stall time.Duration
}

func (w *hurriedWriter) Write(p []byte) (int, error) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.stall))
	return w.ResponseWriter.Write(p)
}

// ReadFrom copies in steps, each of which the kernel can do from the file to
// the socket by itself.
func (w *hurriedWriter) ReadFrom(r io.Reader) (int64, error) {
	left := int64(-1) // no limit
	limited, ok := r.(*io.LimitedReader)
	if ok {
		r, left = limited.R, limited.N
	}
	var done int64
	for left != 0 {
		n := int64(step)
		if left > 0 {
			n = min(n, left)
		}
		_ = w.conn.SetWriteDeadline(time.Now().Add(w.stall))
		m, err := io.Copy(w.ResponseWriter, io.LimitReader(r, n))
		done += m
		if ok {
			left -= m
			limited.N = left
		}
		if err != nil || m < n {
			return done, err
		}
	}
	return done, nil
}

// Unwrap lets http.ResponseController through.
func (w *hurriedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
