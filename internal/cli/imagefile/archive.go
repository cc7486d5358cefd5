package imagefile

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openslipway/slipway/internal/decompress"
)

// archive is a tar file.
type archive struct {
	path string
	*scratch
}

// scratch is a temporary directory, created when it is first needed.
type scratch struct{ dir string }

func (s *scratch) make() (string, error) {
	if s.dir != "" {
		return s.dir, nil
	}
	var err error
	s.dir, err = os.MkdirTemp("", "slipway-image-")
	return s.dir, err
}

func (s *scratch) remove() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
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

// newArchive opens a tar. A compressed one is first decompressed to the scratch
// directory, since its entries are not read in their order.
func newArchive(path string) (*archive, error) {
	a := &archive{path: path, scratch: &scratch{}}
	if err := a.prepare(); err != nil {
		return nil, errors.Join(err, a.remove())
	}
	return a, nil
}

func (a *archive) prepare() error {
	path := a.path
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := decompress.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer z.Close()
	if z.Format != decompress.None {
		if err := a.inflate(z); err != nil {
			return fmt.Errorf("decompress %s: %w", path, err)
		}
	}
	if err := a.check(); err != nil {
		return fmt.Errorf("%s is %w: %w", path, ErrNotImage, err)
	}
	return nil
}

// expansion bounds what an archive may expand to: more than a server takes.
var expansion = decompress.Limit{Bytes: 40 << 30, Ratio: 200, Slack: 1 << 30}

// inflate writes what z yields to a file and makes it the archive.
func (a *archive) inflate(z *decompress.Reader) error {
	dir, err := a.make()
	if err != nil {
		return err
	}
	a.path = filepath.Join(dir, "image.tar")
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, z.Limited(expansion))
	return errors.Join(err, f.Close())
}

// check verifies that the file begins like a tar.
func (a *archive) check() error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [len(tarMagic)]byte
	if _, err := f.ReadAt(magic[:], tarMagicAt); err != nil || string(magic[:]) != tarMagic {
		return errors.New("it is not a tar file, nor one that gzip, zstd, xz or bzip2 compressed")
	}
	return nil
}

// kind returns what the tar contains. Current versions of `docker save` write both;
// then manifest.json is read, which names the image.
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

// unpackLayout writes only the files of an OCI layout into a directory: no links, no
// devices, and besides index.json and oci-layout nothing outside of blobs/.
func (a *archive) unpackLayout() (dir string, err error) {
	if dir, err = a.make(); err != nil {
		return "", err
	}
	return dir, a.unpackInto(dir)
}

func (a *archive) unpackInto(dir string) error {
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

// each calls see with every entry until it returns an error; io.EOF stops without
// an error.
func (a *archive) each(see func(name string, h *tar.Header, r io.Reader) error) error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	for t := tar.NewReader(f); ; {
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

// entry is a regular file of the archive.
type entry struct {
	offset, size int64 // of its content in the archive
	archive      *archive
}

// open returns the entry's content.
func (e entry) open() (io.ReadCloser, error) {
	f, err := os.Open(e.archive.path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, e.offset, e.size), f}, nil
}

// entries returns the archive's regular files by name; a link to a file is an entry
// too.
func (a *archive) entries() (map[string]entry, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, links := map[string]entry{}, map[string]string{}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := f.Seek(0, io.SeekCurrent) // the reader reads only headers
			if err != nil {
				return nil, err
			}
			found[name] = entry{offset: at, size: h.Size, archive: a}
		case tar.TypeLink:
			links[name] = path.Clean(h.Linkname)
		case tar.TypeSymlink: // older versions of Docker write them for equal layers
			links[name] = path.Join(path.Dir(name), h.Linkname)
		}
	}
	for name, target := range links {
		if e, ok := found[target]; ok {
			found[name] = e
		}
	}
	return found, nil
}
