package router

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// errBegun is returned where a body would have to be sent from its start again.
var errBegun = errors.New("request body was begun")

// upload is a request's body on its way to an instance. net/http's transport
// reads it from a goroutine of its own, which may go on while the response is
// already there: upload knows how far it came and whether it still goes on.
type upload struct {
	req  *http.Request
	left int64 // bytes to come; -1 unknown. The reader's own

	trailer http.Header // filled at the end of the body

	readers sync.WaitGroup // handles that the transport has not closed

	mu      sync.Mutex // guards what follows
	turn    *sync.Cond // on mu: refused or revoked changed
	current *handle    // the only one that may read
	begun   bool       // a byte may have been taken
	revoked bool       // none may be taken any more
	expects bool       // the client waits for a 100 response before it sends
	refused bool       // a response has begun that is none
	ended   bool       // it was read to its end
	err     error      // why reading it failed
}

// newUpload returns the request's body, nil when it has none.
func newUpload(req *http.Request) *upload {
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 {
		return nil
	}
	u := &upload{req: req, left: req.ContentLength, expects: expectsContinue(req)}
	u.turn = sync.NewCond(&u.mu)
	for k := range req.Trailer {
		if trailable(k) {
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
	close sync.Once
}

// open returns a body for one attempt; it fails once a byte has been taken.
func (u *upload) open() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.begun || u.revoked {
		return nil, errBegun
	}
	u.readers.Add(1)
	u.current = &handle{upload: u}
	return u.current, nil
}

func (h *handle) Read(p []byte) (int, error) {
	if err := h.take(); err != nil {
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

// Close ends the attempt, not the client's body.
func (h *handle) Close() error {
	h.close.Do(h.readers.Done)
	return nil
}

// take begins a read, unless that was forbidden meanwhile. Having got a final
// response instead of 100, net/http's transport would send the body none the
// less, to keep its connection: but the client's must not be asked for, which
// reading it does. An error would cost the response, so the transport waits.
func (h *handle) take() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.expects && h.refused && !h.revoked {
		h.turn.Wait()
	}
	if h.revoked || h.current != h {
		return errBegun
	}
	h.begun = true
	return nil
}

// answered notes that a response has begun.
func (u *upload) answered() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused = true
}

// interim notes that the response was not the final one.
func (u *upload) interim(code int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused = false
	u.expects = u.expects && code != http.StatusContinue
	u.turn.Broadcast()
}

// end notes that the body was read to its end. mu is held.
func (u *upload) end() {
	if u.ended {
		return
	}
	u.ended = true
	for k := range u.trailer {
		u.trailer[k] = u.req.Trailer[k]
	}
}

// done reports whether no more of the body is to come. A nil upload is done.
func (u *upload) done() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// fresh reports whether the body can still be sent from its start.
func (u *upload) fresh() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.begun
}

// failure returns why reading the client's body failed, nil if it did not.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// stop ends the upload, once, if it has not ended by itself, with cut, which
// makes a waiting read of the client's body fail. Afterwards nobody reads the
// body any more: net/http forbids that once its handler has returned. The
// transport's request must have been cancelled.
func (u *upload) stop(cut func()) {
	u.mu.Lock()
	u.revoked = true
	ended := u.ended
	u.turn.Broadcast()
	u.mu.Unlock()
	if !ended {
		cut()
	}
	u.readers.Wait()
}
