package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/decompress"
)

// Upload is content that will become a blob. It is written to a temporary file
// and hashed as it arrives. It must not be used concurrently.
type Upload struct {
	s    *Store
	path string
	sum  hash.Hash
	size int64
	head []byte // the first bytes, which show the compression
	done bool
}

// NewUpload begins an upload. It ends with Commit or Cancel, or with the
// process: the next Open removes what is left.
func (s *Store) NewUpload() (*Upload, error) {
	f, err := os.CreateTemp(s.path("tmp"), "blob-*")
	if err != nil {
		return nil, s.explain(fmt.Errorf("begin upload: %w", err))
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("begin upload: %w", err)
	}
	return &Upload{s: s, path: f.Name(), sum: sha256.New()}, nil
}

// Size returns the bytes written so far.
func (u *Upload) Size() int64 { return u.size }

// Digest returns the digest of the bytes written so far.
func (u *Upload) Digest() string { return "sha256:" + hex.EncodeToString(u.sum.Sum(nil)) }

// Append writes what r yields to the end of the upload and returns the number
// of bytes written. It does so after an error of reading or writing, too: the
// upload can continue from Size. The file is open only during the call, so that
// idle uploads cost no descriptor.
func (u *Upload) Append(ctx context.Context, r io.Reader) (int64, error) {
	f, err := os.OpenFile(u.path, os.O_WRONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("append to upload: %w", err)
	}
	defer f.Close()
	before := u.size
	if _, err := f.Seek(before, io.SeekStart); err != nil {
		return 0, fmt.Errorf("append to upload: %w", err)
	}
	_, err = io.CopyBuffer(&uploadWriter{u, u.s.onDisk(f)}, &contextReader{ctx, r}, make([]byte, 256<<10))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return u.size - before, u.s.explain(err)
	}
	return u.size - before, nil
}

type uploadWriter struct {
	u *Upload
	f io.Writer
}

// Write keeps hash, size and file consistent, also when the disk is full.
func (w *uploadWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.u.sum.Write(p[:n])
	w.u.size += int64(n)
	if room := decompress.HeadSize - len(w.u.head); room > 0 {
		w.u.head = append(w.u.head, p[:min(n, room)]...)
	}
	return n, err
}

// contextReader stops reading when ctx ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one copy
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// Commit makes the upload the blob with that digest, durably. It returns
// ErrDigest, and keeps the upload, if the content has another digest.
func (u *Upload) Commit(digest string) error {
	h, err := parseDigest(digest)
	if err != nil {
		return err
	}
	if got := u.Digest(); got != h.String() {
		return fmt.Errorf("%w: want %s, got %s", ErrDigest, h, got)
	}
	l := u.s.leases.open()
	defer l.release()
	l.hold(blobKey(h))
	l.hold(layerKey(h)) // it may be an adopted one
	// A blob that exists is written again, with the same work: the time of an upload must
	// not tell whether somebody else's content is the same. It also repairs a damaged one.
	if err := syncFile(u.path); err != nil {
		return u.s.explain(err)
	}
	if size, err := u.s.packedSize(h); err != nil {
		return err
	} else if size > 0 && size == u.size {
		u.Cancel() // made of a directory when it is read
		return u.s.explain(atomicfile.SyncDir(u.s.path("blobs/sha256")))
	}
	path := u.s.blobPath(h)
	if err := errors.Join(u.s.makeWay(path), os.Rename(u.path, path)); err != nil {
		return u.s.explain(err)
	}
	u.done = true
	return u.s.explain(atomicfile.SyncDir(filepath.Dir(path)))
}

// Cancel removes the upload. It does nothing after Commit.
func (u *Upload) Cancel() {
	if u.done {
		return
	}
	u.done = true
	if err := os.Remove(u.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		u.s.log.Error("cannot remove an upload", "path", u.path, "err", err)
	}
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func hashOf(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}
