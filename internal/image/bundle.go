package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/decompress"
)

const (
	maxMembers = 10_000 // files in a saved image
	maxHops    = 8      // links from a member to its content
)

// bundle is the source of an import: files by slash-separated name. A missing
// file is fs.ErrNotExist.
type bundle interface {
	open(name string) (io.ReadCloser, error)
	// store makes the file the blob d. Digest and size may be unknown; then
	// store sets them. It also returns the file's first bytes.
	store(ctx context.Context, l *lease, name string, d *v1.Descriptor) (head []byte, err error)
}

// directory is an OCI layout in a directory, opened so that links cannot lead
// out of it.
type directory struct {
	s    *Store
	root *os.Root
}

func (d directory) open(name string) (io.ReadCloser, error) { return d.root.Open(name) }

func (d directory) store(ctx context.Context, l *lease, name string, want *v1.Descriptor) ([]byte, error) {
	if ok, err := d.s.present(l, *want); ok || err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return nil, d.s.ingest(ctx, l, *want, f)
}

// archive is a tar, read once and kept as uploads: it may come from a pipe,
// with its members in any order. Names in it are only looked up, never used as
// file names.
type archive struct {
	s     *Store
	files map[string]*Upload
	links map[string]string
}

// readArchive reads a tar, compressed or not. The caller closes it.
func (s *Store) readArchive(ctx context.Context, r io.Reader) (*archive, error) {
	a := &archive{s: s, files: map[string]*Upload{}, links: map[string]string{}}
	if err := a.read(ctx, r); err != nil {
		a.close()
		if errors.Is(err, decompress.ErrTooLarge) {
			return nil, slipway.Errorf(slipway.InvalidRequest, "The saved image can't be read: %v.", err)
		}
		if isBroken(err) {
			err = slipway.Errorf(slipway.InvalidRequest, "The file is not a saved image: it is not a readable tar (%v).", err)
		}
		return nil, err
	}
	return a, nil
}

// isBroken reports whether err says that the input is not a tar, or damaged.
func isBroken(err error) bool {
	return errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, decompress.ErrCorrupt)
}

func (a *archive) read(ctx context.Context, r io.Reader) error {
	z, err := decompress.NewReader(r)
	if err != nil {
		return err
	}
	defer z.Close()
	left := a.s.limits.ImageBytes
	const rest = 64 << 20 // headers and padding
	tr := tar.NewReader(z.Limited(decompress.Limit{Bytes: left + rest, Ratio: a.s.limits.Ratio, Slack: slack}))
	for range maxMembers {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if left -= max(h.Size, 0); left < 0 {
			return slipway.Errorf(slipway.InvalidRequest, "The saved image is larger than the %s allowed.", bytesText(a.s.limits.ImageBytes))
		}
		if err := a.member(ctx, h, tr); err != nil {
			return err
		}
	}
	return slipway.Errorf(slipway.InvalidRequest, "The saved image has more than %d files.", maxMembers)
}

func (a *archive) member(ctx context.Context, h *tar.Header, r io.Reader) error {
	name := path.Clean("/" + h.Name)[1:]
	switch h.Typeflag {
	case tar.TypeReg:
		u, err := a.s.NewUpload()
		if err != nil {
			return err
		}
		if old := a.files[name]; old != nil {
			old.Cancel()
		}
		a.files[name] = u
		_, err = u.Append(ctx, r)
		return err
	case tar.TypeSymlink: // old versions of Docker link layers that images share
		a.links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
	case tar.TypeLink:
		a.links[name] = path.Clean("/" + h.Linkname)[1:]
	}
	return nil
}

// find returns the content of a name, which may be stored already.
func (a *archive) find(name string) (*Upload, error) {
	at := path.Clean("/" + name)[1:]
	for range maxHops {
		if u := a.files[at]; u != nil {
			return u, nil
		}
		to, ok := a.links[at]
		if !ok {
			break
		}
		at = to
	}
	return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

func (a *archive) open(name string) (io.ReadCloser, error) {
	u, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if u.done {
		return a.s.Blob(u.Digest())
	}
	return os.Open(u.path)
}

func (a *archive) store(_ context.Context, l *lease, name string, d *v1.Descriptor) ([]byte, error) {
	u, err := a.find(name)
	if err != nil {
		return nil, err
	}
	h, err := parseDigest(u.Digest())
	if err != nil {
		return nil, err
	}
	if d.Digest == (v1.Hash{}) {
		d.Digest, d.Size = h, u.Size()
	}
	if d.Digest != h || d.Size != u.Size() {
		return nil, fmt.Errorf("%w: %s has %s and %d bytes, want %s and %d", ErrDigest, name, h, u.Size(), d.Digest, d.Size)
	}
	l.hold(blobKey(h))
	if u.done {
		return u.head, nil
	}
	return u.head, u.Commit(h.String())
}

func (a *archive) close() {
	for _, u := range a.files {
		u.Cancel()
	}
}

// isDir reports whether an import's path is a directory, that is, an OCI
// layout.
func isDir(name string) (bool, error) {
	fi, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, slipway.Errorf(slipway.NotFound, "There is no file %q.", name)
	}
	if err != nil {
		return false, err
	}
	return fi.IsDir(), nil
}

// blobName is the name of a blob in an OCI layout.
func blobName(h v1.Hash) string { return strings.Join([]string{"blobs", h.Algorithm, h.Hex}, "/") }
