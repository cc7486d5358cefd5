package imagefile

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// archive is a tar file, perhaps gzipped.
type archive struct {
	path string
	gzip bool
}

type archiveKind int

const (
	unknownArchive archiveKind = iota
	savedImage                 // manifest.json: `docker save`
	layoutArchive              // index.json: an OCI layout
)

// tarMagic is at this offset in the first header of every tar since POSIX.1-1988.
const (
	tarMagic   = "ustar"
	tarMagicAt = 257
)

func newArchive(path string) (*archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := bufio.NewReader(f).Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	a := &archive{path: path, gzip: string(head) == "\x1f\x8b"}
	r, err := a.open()
	if err != nil {
		return nil, fmt.Errorf("%s is %w: %w", path, ErrNotImage, err)
	}
	defer r.Close()
	head, _ = bufio.NewReader(r).Peek(tarMagicAt + len(tarMagic))
	if len(head) <= tarMagicAt || string(head[tarMagicAt:]) != tarMagic {
		return nil, fmt.Errorf("%s is %w: it is no tar file", path, ErrNotImage)
	}
	return a, nil
}

// open returns the tar's bytes. It is a tarball.Opener.
func (a *archive) open() (io.ReadCloser, error) {
	f, err := os.Open(a.path)
	if err != nil || !a.gzip {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// kind tells what the tar holds. A `docker save` of today is both; then its
// manifest.json, which names the image, is the one to read.
func (a *archive) kind() (archiveKind, error) {
	kind := unknownArchive
	err := a.each(func(name string, _ *tar.Header, _ io.Reader) error {
		switch name {
		case "manifest.json":
			kind = savedImage
			return io.EOF
		case "index.json":
			kind = layoutArchive
		}
		return nil
	})
	return kind, err
}

// unpackLayout writes the files of an OCI layout into dir, and nothing else:
// no links, no devices, nothing outside of blobs/.
func (a *archive) unpackLayout(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return a.each(func(name string, h *tar.Header, r io.Reader) error {
		wanted := name == "index.json" || name == "oci-layout" || strings.HasPrefix(name, "blobs/")
		if h.Typeflag != tar.TypeReg || !wanted {
			return nil
		}
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			return errors.Join(err, f.Close())
		}
		return f.Close()
	})
}

// each calls see with every entry until it returns an error; io.EOF ends the
// walk without one.
func (a *archive) each(see func(name string, h *tar.Header, r io.Reader) error) error {
	r, err := a.open()
	if err != nil {
		return err
	}
	defer r.Close()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = see(path.Clean(h.Name), h, t)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
