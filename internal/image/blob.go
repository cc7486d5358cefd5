package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
)

// ErrDigest is wrapped by errors about content whose digest differs from the
// one it came under.
var ErrDigest = errors.New("content does not match its digest")

// ErrInUse is wrapped by refusals to delete a blob that a manifest refers to.
var ErrInUse = errors.New("in use")

// parseDigest accepts "sha256:" and 64 lower-case hexadecimal digits. Such a
// digest is safe in a file name.
func parseDigest(digest string) (v1.Hash, error) {
	h, err := v1.NewHash(digest)
	if err != nil || h.Algorithm != "sha256" {
		return v1.Hash{}, slipway.Errorf(slipway.InvalidRequest, "%q is not a digest: that is sha256: and 64 hexadecimal digits.", digest)
	}
	return h, nil
}

func (s *Store) blobPath(h v1.Hash) string { return s.path("blobs/sha256/" + h.Hex) }

// Blob opens the blob with that digest for reading, whatever repository has it; the
// caller closes it. It stays readable if it is collected meanwhile. Who reads for a
// client calls RepositoryBlob.
//
// The blob of an adopted layer is made of the layer's directory while it is read.
// If the tar turns out to have another digest, its last bytes are not delivered:
// reading fails with ErrDigest.
func (s *Store) Blob(digest string) (io.ReadSeekCloser, error) {
	h, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	f, err := s.openBlob(h)
	if errors.Is(err, ErrNotFound) {
		return s.openPacked(h)
	}
	return f, err
}

func (s *Store) openBlob(h v1.Hash) (*os.File, error) {
	f, err := os.Open(s.blobPath(h))
	if err = unlessMissing(s.blobPath(h), err); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	return f, err
}

// BlobSize returns a blob's size in bytes, whatever repository has it. It counts as a use
// for garbage collection, since the caller is about to reference the blob. Who asks for a
// client calls RepositoryBlobSize.
func (s *Store) BlobSize(digest string) (int64, error) {
	h, err := parseDigest(digest)
	if err != nil {
		return 0, err
	}
	size, ok, err := s.useBlob(h)
	if err == nil && ok && size <= MaxManifest { // a client that is told of it does not send it again
		ok = s.sound(h)
	}
	if err == nil && !ok {
		err = fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	return size, err
}

// useBlob returns the size of a blob, if it exists, and marks it as used.
func (s *Store) useBlob(h v1.Hash) (size int64, ok bool, err error) {
	path := s.blobPath(h)
	fi, err := os.Lstat(path)
	if err == nil && !fi.Mode().IsRegular() {
		s.name("blob "+h.String(), fmt.Errorf("it is a file of mode %s", fi.Mode()))
		return 0, false, nil // a push, a pull or a build replaces it
	}
	if err == nil {
		if ok, err = touch(path); ok {
			return fi.Size(), true, err
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	size, err = s.packedSize(h)
	return size, size > 0, err
}

// present reports whether a blob of that size exists, and protects it while l
// lasts.
func (s *Store) present(l *lease, d v1.Descriptor) (bool, error) {
	l.hold(blobKey(d.Digest))
	l.hold(layerKey(d.Digest)) // it may be an adopted one
	size, ok, err := s.useBlob(d.Digest)
	return ok && size == d.Size, err
}

// readBlob reads a small blob into memory and verifies its digest.
func (s *Store) readBlob(h v1.Hash) ([]byte, error) {
	f, err := s.openBlob(h)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", h, err)
	}
	if len(b) > MaxManifest {
		return nil, slipway.Errorf(slipway.InvalidRequest, "%s is larger than the %d bytes a manifest or an image's configuration may have.", h, MaxManifest)
	}
	if got := hashOf(b); got != h {
		return nil, fmt.Errorf("read blob %s: %w: it has %s", h, ErrDigest, got)
	}
	return b, nil
}

// ingest stores what r yields as the blob d, unless the store has it already. A
// negative size means unknown. Content of another size or digest is refused
// with ErrDigest and leaves nothing behind.
func (s *Store) ingest(ctx context.Context, l *lease, d v1.Descriptor, r io.Reader) error {
	if ok, err := s.intact(l, d); ok || err != nil {
		return err
	}
	u, err := s.NewUpload()
	if err != nil {
		return err
	}
	defer u.Cancel()
	if d.Size >= 0 {
		r = io.LimitReader(r, d.Size+1)
	}
	if _, err := u.Append(ctx, r); err != nil {
		return err
	}
	if d.Size >= 0 && u.Size() != d.Size {
		return fmt.Errorf("%w: %s has %d bytes or more, want %d", ErrDigest, d.Digest, u.Size(), d.Size)
	}
	return u.Commit(d.Digest.String())
}
