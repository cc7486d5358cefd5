package httplimit

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Times bound how slow a client may be. Both are required.
type Times struct {
	Body  time.Duration // from the head of a request to the end of its body
	Write time.Duration // for a part of the answer to be taken
}

// Handler returns a handler that does what h does, with a deadline for the body of each
// request and one for each write of its answer. The deadline of the body also holds
// where h does not read it, and ends with it: what h does then may take its time.
func (t Times) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Some ResponseWriters of tests have no deadlines.
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{}) // that of the request before
		if r.Body != nil && r.Body != http.NoBody {
			_ = control.SetReadDeadline(time.Now().Add(t.Body))
			r.Body = &body{r.Body, control}
		}
		h.ServeHTTP(&writer{w, control, t.Write}, r)
	})
}

// body lifts the deadline at its end.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// writer sets a deadline for each write.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

func (w *writer) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(w.limit)) }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets the kernel copy, for writers above that bound their own time.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.extend()
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap gives http.ResponseController access to the writer.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
