package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
)

// uploads are those under way. They end with the process, as the specification
// allows: the client begins again.
type uploads struct {
	most int
	idle time.Duration

	mu   sync.Mutex // guards byID
	byID map[string]*session
}

// session is one upload. One request at a time may use it.
type session struct {
	id     string
	repo   string
	mu     sync.Mutex // held while a request uses upload
	upload *image.Upload
	used   time.Time // guarded by uploads.mu
}

// add keeps a new upload, and first gives up those that idle.
func (u *uploads) add(repo string, up *image.Upload) (*session, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, s := range u.byID {
		if time.Since(s.used) > u.idle && s.mu.TryLock() {
			s.upload.Cancel()
			s.mu.Unlock()
			delete(u.byID, id)
		}
	}
	if len(u.byID) >= u.most {
		return nil, errTooMany
	}
	s := &session{id: slipway.NewID(), repo: repo, upload: up, used: time.Now()}
	u.byID[s.id] = s
	return s, nil
}

// take returns an upload for one request's use, until it calls s.mu.Unlock.
func (u *uploads) take(repo, id string) (*session, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.byID[id]
	if s == nil || s.repo != repo {
		return nil, errUnknownUpload
	}
	if !s.mu.TryLock() {
		return nil, &fault{http.StatusConflict, "BLOB_UPLOAD_INVALID", "Another request is writing to this upload."}
	}
	s.used = time.Now()
	return s, nil
}

func (u *uploads) drop(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, s.id)
}

// startUpload begins an upload, or spares it: by mounting what is there, or by
// taking the whole blob at once.
func (c *call) startUpload() error {
	if c.ref != "" {
		return errUnknownPath
	}
	q := c.r.URL.Query()
	if digest := q.Get("mount"); digest != "" {
		_, err := c.cfg.Images.BlobSize(digest)
		if err == nil {
			return c.created(digest)
		}
		if !errors.Is(err, image.ErrNotFound) {
			return blobError(err)
		}
	}
	up, err := c.cfg.Images.NewUpload()
	if err != nil {
		return err
	}
	if digest := q.Get("digest"); digest != "" {
		defer up.Cancel()
		if _, err := up.Append(c.r.Context(), c.body()); err != nil {
			return err
		}
		return c.commit(up, digest)
	}
	s, err := c.uploads.add(c.repo, up)
	if err != nil {
		up.Cancel()
		return err
	}
	return c.progress(http.StatusAccepted, s)
}

func (c *call) uploadStatus() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	return c.progress(http.StatusNoContent, s)
}

func (c *call) appendUpload() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := c.write(s); err != nil {
		return err
	}
	return c.progress(http.StatusAccepted, s)
}

func (c *call) finishUpload() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	digest := c.r.URL.Query().Get("digest")
	if digest == "" {
		return &fault{http.StatusBadRequest, "DIGEST_INVALID", "The upload can't be finished without ?digest=."}
	}
	if err := c.write(s); err != nil {
		return err
	}
	// Whatever comes of it, what was sent can't be sent once more.
	defer c.uploads.drop(s)
	defer s.upload.Cancel()
	return c.commit(s.upload, digest)
}

func (c *call) cancelUpload() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.upload.Cancel()
	c.uploads.drop(s)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

var contentRange = regexp.MustCompile(`^(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?$`)

// write appends the request's body, which must begin where the upload ends.
func (c *call) write(s *session) error {
	if text := c.r.Header.Get("Content-Range"); text != "" {
		m := contentRange.FindStringSubmatch(text)
		if m == nil {
			return &fault{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", fmt.Sprintf("Content-Range is %q; it must be <first>-<last>.", text)}
		}
		first, _ := strconv.ParseInt(m[1], 10, 64)
		last, _ := strconv.ParseInt(m[2], 10, 64)
		if first != s.upload.Size() || last < first-1 {
			c.setRange(s)
			return &fault{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID",
				fmt.Sprintf("The chunk begins at %d; the upload has %d bytes.", first, s.upload.Size())}
		}
	}
	_, err := s.upload.Append(c.r.Context(), c.body())
	return err
}

func (c *call) setRange(s *session) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.repo+"/blobs/uploads/"+s.id)
	h.Set("Docker-Upload-Uuid", s.id)
	h.Set("Range", fmt.Sprintf("0-%d", max(s.upload.Size()-1, 0)))
}

func (c *call) progress(status int, s *session) error {
	c.setRange(s)
	c.w.Header().Set("Content-Length", "0")
	if status == http.StatusNoContent {
		c.w.Header().Del("Content-Length")
	}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) commit(up *image.Upload, digest string) error {
	if err := up.Commit(digest); err != nil {
		return blobError(err)
	}
	return c.created(digest)
}

func (c *call) created(digest string) error {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.repo+"/blobs/"+digest)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// body is the request's body, given up when no byte comes for a while.
func (c *call) body() io.ReadCloser {
	return &impatient{c.r.Body, http.NewResponseController(c.w), c.cfg.Stall}
}

type impatient struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
}

func (i *impatient) Read(p []byte) (int, error) {
	// Not every ResponseWriter has deadlines; those of tests go without.
	if err := i.conn.SetReadDeadline(time.Now().Add(i.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return i.ReadCloser.Read(p)
}
