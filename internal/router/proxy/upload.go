package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// errBodyStarted is returned when a body would have to be sent again from its
// start.
var errBodyStarted = errors.New("request body was started")

// upload is the body of a request on its way to an instance. net/http's
// transport reads it in a goroutine of its own, which may still run when the
// response is already there. upload knows how much was read and whether reading
// continues.
type upload struct {
	req  *http.Request
	left int64 // bytes to come, -1 if unknown; used only by the reader

	trailer http.Header // filled at the end of the body

	readers sync.WaitGroup // handles that the transport has not closed

	mu        sync.Mutex // guards what follows
	changed   *sync.Cond // on mu: responded or revoked changed
	current   *handle    // the only one that may read
	started   bool       // a byte may have been read
	revoked   bool       // reading is no longer allowed
	expects   bool       // the client sends nothing before a 100 response
	responded bool       // a response other than 100 has started
	ended     bool       // the body was read to its end
	err       error      // why reading it failed
}

// newUpload returns the body of a request, nil if it has none.
func newUpload(req *http.Request) *upload {
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 {
		return nil
	}
	u := &upload{req: req, left: req.ContentLength, expects: expectsContinue(req)}
	u.changed = sync.NewCond(&u.mu)
	for k := range req.Trailer {
		if allowedInTrailer(k) {
			if u.trailer == nil {
				u.trailer = http.Header{}
			}
			u.trailer[k] = nil
		}
	}
	return u
}

// handle is one attempt to send the body.
type handle struct {
	*upload
	dead  func() bool // the connection was closed before anything was written to it
	close sync.Once
}

// open returns the body for one attempt. It fails once a byte has been read. Before
// the first byte is read dead is called: if it returns true, the attempt fails and
// the body can be sent in another one.
func (u *upload) open(dead func() bool) (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.started || u.revoked {
		return nil, errBodyStarted
	}
	u.readers.Add(1)
	u.current = &handle{upload: u, dead: dead}
	return u.current, nil
}

func (h *handle) Read(p []byte) (int, error) {
	if err := h.beginRead(); err != nil {
		return 0, err
	}
	n, err := h.req.Body.Read(p)
	if h.left > 0 {
		h.left -= int64(n)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == io.EOF || err == nil && h.left == 0:
		h.end()
	case err != nil && !h.revoked:
		h.err = err
	}
	return n, err
}

// Close ends the attempt; the body of the client stays open.
func (h *handle) Close() error {
	h.close.Do(h.readers.Done)
	return nil
}

// beginRead starts a read unless reading was revoked. If a final response
// arrives instead of 100, net/http's transport would still send the body to
// keep its connection. But reading the body asks the client to send it, which
// it must not be. Returning an error would lose the response, so the transport
// waits.
func (h *handle) beginRead() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.expects && h.responded && !h.revoked {
		h.changed.Wait()
	}
	if h.revoked || h.current != h {
		return errBodyStarted
	}
	if !h.started && h.dead() {
		return errStale
	}
	h.started = true
	return nil
}

// answered records that a response has started.
func (u *upload) answered() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.responded = true
}

// interim records that the response was not the final one.
func (u *upload) interim(code int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.responded = false
	u.expects = u.expects && code != http.StatusContinue
	u.changed.Broadcast()
}

// end records that the body was read to its end. mu is held.
func (u *upload) end() {
	if u.ended {
		return
	}
	u.ended = true
	for k := range u.trailer {
		u.trailer[k] = u.req.Trailer[k]
	}
}

// done reports whether the body has ended. A nil upload is done.
func (u *upload) done() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// replayable reports whether the body can still be sent from its start.
func (u *upload) replayable() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.started
}

// failure returns the error of reading the body from the client, nil if there
// was none.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// stop ends the upload, once, if it has not ended by itself. It calls abort,
// which makes a waiting read of the client's body fail. Afterwards nobody reads
// the body: net/http forbids that once its handler has returned. The request to
// the instance must have been cancelled.
func (u *upload) stop(abort func()) {
	u.mu.Lock()
	u.revoked = true
	ended := u.ended
	u.changed.Broadcast()
	u.mu.Unlock()
	if !ended {
		abort()
	}
	u.readers.Wait()
}
