package registry

import (
	"io"
	"net/http"
	"time"
)

// step is the number of bytes that one deadline covers: 1 MiB.
const step = 1 << 20

// guardStalls makes the request's body and its answer fail if the client
// neither sends nor receives anything for the configured time. The transfer of
// a whole layer has no limit. The caller calls end when it has answered.
func (c *call) guardStalls() (end func()) {
	// Some ResponseWriters of tests have no deadlines.
	conn := http.NewResponseController(c.w)
	c.r.Body = &stallBody{c.r.Body, conn, c.cfg.Stall}
	c.w = &stallWriter{c.w, conn, c.cfg.Stall}
	return func() { _ = conn.SetWriteDeadline(time.Time{}) }
}

type stallBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
}

func (b *stallBody) Read(p []byte) (int, error) {
	_ = b.conn.SetReadDeadline(time.Now().Add(b.stall))
	return b.ReadCloser.Read(p)
}

type stallWriter struct {
	http.ResponseWriter
	conn  *http.ResponseController
	stall time.Duration
}

func (w *stallWriter) Write(p []byte) (int, error) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.stall))
	return w.ResponseWriter.Write(p)
}

// ReadFrom copies in steps. The kernel can do each one from file to socket.
func (w *stallWriter) ReadFrom(r io.Reader) (int64, error) {
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

// Unwrap gives http.ResponseController access to the writer.
func (w *stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
