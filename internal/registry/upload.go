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

// uploads are the uploads in progress. They end with the process, as the
// specification allows: the client starts again.
type uploads struct {
	most  int // of all users
	share int // of one user
	idle  time.Duration
	rest  time.Duration

	mu   sync.Mutex // guards byID
	byID map[string]*session
}

// session is one upload. One request at a time may use it.
type session struct {
	id     string
	repo   string
	user   string
	mu     sync.Mutex // held while a request uses upload
	upload *image.Upload
	used   time.Time // guarded by uploads.mu
}

// add registers a new upload of a user, after it cancelled expired ones. A user who has
// their share loses the upload of theirs that rests for longest. Where all places are
// taken, the user who has the most loses one.
func (u *uploads) add(user, repo string, up *image.Upload) (*session, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	had := map[string]int{}
	for _, s := range u.byID {
		if time.Since(s.used) <= u.idle || !u.cancel(s) {
			had[s.user]++
		}
	}
	if had[user] >= u.share && !u.giveWay(user) {
		return nil, &fault{http.StatusTooManyRequests, "TOOMANYREQUESTS", fmt.Sprintf(
			"You have %d uploads in progress, the most that a user may have. Finish or cancel one, or wait a minute: an upload that rests gives way.", had[user])}
	}
	if len(u.byID) >= u.most {
		greedy := user
		for other, n := range had {
			if n > had[greedy] {
				greedy = other
			}
		}
		if !u.giveWay(greedy) {
			return nil, errTooMany
		}
	}
	s := &session{id: slipway.NewID(), repo: repo, user: user, upload: up, used: time.Now()}
	u.byID[s.id] = s
	return s, nil
}

// giveWay cancels the upload of a user that rests for longest, and reports whether there
// was one that rests. The caller holds u.mu.
func (u *uploads) giveWay(user string) bool {
	var oldest *session
	for _, s := range u.byID {
		if s.user == user && (oldest == nil || s.used.Before(oldest.used)) {
			oldest = s
		}
	}
	return oldest != nil && time.Since(oldest.used) > u.rest && u.cancel(oldest)
}

// cancel ends an upload that no request uses. The caller holds u.mu.
func (u *uploads) cancel(s *session) bool {
	if !s.mu.TryLock() {
		return false
	}
	s.upload.Cancel()
	s.mu.Unlock()
	delete(u.byID, s.id)
	return true
}

// take returns an upload for one request's exclusive use, until it calls
// release.
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
	return s, nil
}

// release ends a request's use of an upload.
func (u *uploads) release(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.used = time.Now()
	s.mu.Unlock()
}

func (u *uploads) drop(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, s.id)
}

// startUpload begins an upload, or makes one unnecessary: by mounting an
// existing blob, or by receiving the whole blob in this request.
func (c *call) startUpload() error {
	if c.ref != "" {
		return errUnknownPath
	}
	q := c.r.URL.Query()
	if digest := q.Get("mount"); digest != "" {
		mounted, err := c.mount(q.Get("from"), digest)
		if err != nil {
			return blobError(err)
		}
		if mounted {
			return c.created(digest)
		}
	}
	up, err := c.cfg.Images.NewUpload()
	if err != nil {
		return err
	}
	s, err := c.uploads.add(c.user(), c.repo, up)
	if err != nil {
		up.Cancel()
		return err
	}
	if digest := q.Get("digest"); digest != "" {
		return c.receiveBlob(s, digest)
	}
	return c.progress(http.StatusAccepted, s)
}

// user returns who sends the request.
func (c *call) user() string {
	name, _, _ := c.r.BasicAuth()
	if c.cfg.User != nil {
		name = c.cfg.User(c.r)
	}
	return name
}

// mount gives the repository a blob of the repository from, which the caller must be
// allowed to pull from, or finds that the repository has it already. If it reports false,
// the client uploads the blob: it does not learn whether from has the blob, or whether it
// may not know.
func (c *call) mount(from, digest string) (bool, error) {
	_, err := c.cfg.Images.RepositoryBlobSize(c.repo, digest)
	if err == nil || !errors.Is(err, image.ErrNotFound) {
		return err == nil, err
	}
	if image.CheckRepository(from) != nil {
		return false, nil
	}
	if refusal, err := c.refusal(mayDownload, from); refusal != "" || err != nil {
		return false, err
	}
	err = c.cfg.Images.Mount(from, c.repo, digest)
	if errors.Is(err, image.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// receiveBlob receives a blob that is the body of the request that begins its
// upload.
func (c *call) receiveBlob(s *session, digest string) error {
	s.mu.Lock()
	defer c.uploads.release(s)
	defer c.uploads.drop(s)
	defer s.upload.Cancel()
	if err := c.write(s); err != nil {
		return err
	}
	return c.commit(s.upload, digest)
}

func (c *call) uploadStatus() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer c.uploads.release(s)
	return c.progress(http.StatusNoContent, s)
}

func (c *call) appendUpload() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer c.uploads.release(s)
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
	defer c.uploads.release(s)
	digest := c.r.URL.Query().Get("digest")
	if digest == "" {
		return &fault{http.StatusBadRequest, "DIGEST_INVALID", "The upload can't be finished without ?digest=."}
	}
	if err := c.write(s); err != nil {
		return err
	}
	// The body can't be sent twice, so the upload ends whatever the outcome.
	defer c.uploads.drop(s)
	defer s.upload.Cancel()
	return c.commit(s.upload, digest)
}

func (c *call) cancelUpload() error {
	s, err := c.uploads.take(c.repo, c.ref)
	if err != nil {
		return err
	}
	defer c.uploads.release(s)
	s.upload.Cancel()
	c.uploads.drop(s)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

var contentRange = regexp.MustCompile(`^(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?$`)

// write appends the request's body, which must begin where the upload ends and
// have the announced length. If the body breaks off, the part received stays,
// and the client may continue from there.
func (c *call) write(s *session) error {
	size, err := c.chunk(s)
	if err != nil {
		return err
	}
	room := c.cfg.MaxBlob - s.upload.Size()
	if size > room {
		return errTooLarge
	}
	limit := room
	if size >= 0 {
		limit = size
	}
	body := &bodyReader{r: io.LimitReader(c.r.Body, limit+1)}
	n, err := s.upload.Append(c.r.Context(), body)
	switch {
	case body.err != nil:
		return errBroken
	case err != nil:
		return err
	case size < 0 && n > room:
		return c.discard(s, errTooLarge)
	case size >= 0 && n != size:
		return c.discard(s, &fault{http.StatusBadRequest, "SIZE_INVALID", fmt.Sprintf("The chunk has %d bytes or more, but %d were announced.", n, size)})
	}
	return nil
}

// discard cancels an upload that received bytes it should not have.
func (c *call) discard(s *session, err error) error {
	s.upload.Cancel()
	c.uploads.drop(s)
	return err
}

// chunk returns the size of the request's body according to its headers, -1 if
// they do not say.
func (c *call) chunk(s *session) (int64, error) {
	text := c.r.Header.Get("Content-Range")
	if text == "" {
		return c.r.ContentLength, nil
	}
	m := contentRange.FindStringSubmatch(text)
	if m == nil {
		return 0, &fault{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", fmt.Sprintf("Content-Range is %q; it must be <first>-<last>.", text)}
	}
	first, _ := strconv.ParseInt(m[1], 10, 64)
	last, _ := strconv.ParseInt(m[2], 10, 64)
	if first != s.upload.Size() || last < first-1 {
		c.setRange(s)
		return 0, &fault{
			http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID",
			fmt.Sprintf("The chunk begins at %d; the upload has %d bytes.", first, s.upload.Size()),
		}
	}
	size := last + 1 - first
	if n := c.r.ContentLength; n >= 0 && n != size {
		return 0, &fault{http.StatusBadRequest, "SIZE_INVALID", fmt.Sprintf("Content-Range is %q, which is not the body's %d bytes.", text, n)}
	}
	return size, nil
}

// bodyReader remembers an error of the client's side during a copy.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
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
	if err := up.CommitTo(c.repo, digest); err != nil {
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
