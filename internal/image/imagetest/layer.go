package imagetest

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of a layer. Header.Size follows Body; a zero Typeflag is a
// regular file, or a directory where the name ends in a slash; a zero Mode is
// 0644, and 0755 for directories.
type File struct {
	tar.Header
	Body []byte
}

// Text is a regular file with mode 0644.
func Text(name, body string) File {
	return File{Header: tar.Header{Name: name}, Body: []byte(body)}
}

// Exec is a regular file with mode 0755.
func Exec(name string, body []byte) File {
	return File{Header: tar.Header{Name: name, Mode: 0o755}, Body: body}
}

// Dir is a directory with that mode.
func Dir(name string, mode int64) File {
	return File{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}}
}

// Symlink is a symbolic link at name that holds target.
func Symlink(name, target string) File {
	return File{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
}

// Hardlink is a second name for target.
func Hardlink(name, target string) File {
	return File{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}}
}

// Tar returns the entries as an uncompressed tar.
func Tar(tb testing.TB, files ...File) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := f.header()
		check(tb, w.WriteHeader(&h))
		_, err := w.Write(f.Body)
		check(tb, err)
	}
	check(tb, w.Close())
	return buf.Bytes()
}

// Layer returns the entries as a gzip-compressed layer.
func Layer(tb testing.TB, files ...File) v1.Layer {
	tb.Helper()
	body := Tar(tb, files...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(body)), nil
	}, tarball.WithMediaType(types.OCILayer))
	check(tb, err)
	return l
}

func (f File) header() tar.Header {
	h := f.Header
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
		if len(h.Name) > 0 && h.Name[len(h.Name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir {
			h.Mode = 0o755
		}
	}
	if h.Typeflag == tar.TypeReg {
		h.Size = int64(len(f.Body))
	}
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	return h
}
