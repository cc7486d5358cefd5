package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxHeader = 64 << 10 // bytes
	maxName   = 1024     // bytes; a repository's name has at most 256
)

// Reader reads a backup.
type Reader struct {
	Header Header
	t      *tar.Reader
	source *ends
}

// Problem is an error that says what is wrong with a backup.
type Problem string

func (p Problem) Error() string { return string(p) }

const (
	foreign    = Problem("the file is no backup of Slipway")
	incomplete = Problem("the backup is incomplete or damaged: it ends early, or its parts do not match their checksums. Take another one")
)

// ends is a reader that remembers an error that is not the end: a disk that fails is
// not the fault of the backup.
type ends struct {
	r   io.Reader
	err error
}

func (e *ends) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}

// NewReader reads and checks the header.
func NewReader(r io.Reader) (*Reader, error) {
	source := &ends{r: r}
	b := &Reader{t: tar.NewReader(source), source: source}
	h, err := b.next()
	if source.err != nil {
		return nil, source.err
	}
	if err != nil || h.Name != headerName || h.Size > maxHeader {
		return nil, foreign
	}
	if err := b.decode(&b.Header); err != nil || b.Header.Format < 1 {
		return nil, foreign
	}
	if b.Header.Format > Format {
		return nil, Problem(fmt.Sprintf("the backup was written by Slipway %s in format %d; this program reads up to format %d. Restore it with that version or a later one",
			clean(b.Header.Slipway), b.Header.Format, Format))
	}
	if b.Header.Files < 0 || b.Header.Bytes < 0 || b.Header.Schema < 0 {
		return nil, foreign
	}
	return b, nil
}

// decode decodes the rest of an entry, whose size is checked.
func (b *Reader) decode(v any) error {
	text, err := io.ReadAll(b.t)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// clean keeps a text of an unknown file from a terminal.
func clean(s string) string { return strings.Trim(fmt.Sprintf("%.40q", s), `"`) }

// next returns the next entry, which must be a plain file: no link, no device, and no
// sparse file, which could be larger than the backup.
func (b *Reader) next() (*tar.Header, error) {
	h, err := b.t.Next()
	if err != nil {
		return nil, err
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return nil, Problem(fmt.Sprintf("the backup has a sparse file, %s", clean(h.Name)))
		}
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 {
		return nil, Problem(fmt.Sprintf("the backup has something that is no plain file, %s", clean(h.Name)))
	}
	return h, nil
}

// Extract writes the files below dir, which must exist and have none of them. It does not
// sync them to the disk. allowed says which names a backup may have. progress is called
// with the size of each. If Extract fails, what it wrote must not be used: the error is a
// Problem if that is the backup's fault.
func (b *Reader) Extract(dir string, allowed func(name string) bool, progress func(size int64)) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var got []sum
	for {
		h, err := b.next()
		if p, ok := errors.AsType[Problem](err); ok {
			return p
		}
		if err != nil { // also the end: the checksums have not come
			return b.ended()
		}
		if h.Name == sumsName {
			return b.finish(root, got, h.Size)
		}
		if !valid(h.Name) || !allowed(h.Name) {
			return Problem(fmt.Sprintf("the backup has a file that backups do not have, %s", clean(h.Name)))
		}
		s, err := b.file(root, h)
		if err != nil {
			return err
		}
		got = append(got, s)
		progress(s.Size)
	}
}

// ended is the error of a backup that can't be read on.
func (b *Reader) ended() error {
	if b.source.err != nil {
		return fmt.Errorf("read the backup: %w", b.source.err)
	}
	return incomplete
}

// valid reports whether a name is one below the directory, in its only spelling, that
// does no harm to a terminal.
func valid(name string) bool {
	return name == path.Clean(name) && filepath.IsLocal(name) && name != "." && len(name) <= maxName &&
		!strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' })
}

// file writes one file. A name that came before is refused.
func (b *Reader) file(root *os.Root, h *tar.Header) (s sum, err error) {
	err = root.MkdirAll(path.Dir(h.Name), 0o700)
	var f *os.File
	if err == nil {
		f, err = root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, unix.ENOTDIR):
		return s, Problem(fmt.Sprintf("the backup has a file twice, or as a directory, too: %s", clean(h.Name)))
	case errors.Is(err, unix.ENAMETOOLONG):
		return s, Problem(fmt.Sprintf("the backup has a file with too long a name, %s", clean(h.Name)))
	case err != nil:
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sha := sha256.New()
	n, err := io.Copy(f, io.TeeReader(b.t, sha))
	if _, ours := errors.AsType[*fs.PathError](err); err != nil && (!ours || b.source.err != nil) {
		return s, b.ended()
	}
	return sum{Name: h.Name, Size: n, SHA256: hex.EncodeToString(sha.Sum(nil))}, err
}

// finish compares the files with the list at the end of the backup, and removes those
// that are void.
func (b *Reader) finish(root *os.Root, got []sum, size int64) error {
	room := int64(len("null"))
	for _, s := range got { // JSON escapes a byte of a name to 6 at most
		room += 6*int64(len(s.Name)) + 160
	}
	var want []sum
	if size > room || b.decode(&want) != nil || len(want) != len(got) {
		return b.ended()
	}
	for i, w := range want {
		void := w.Void
		if w.Void = false; w != got[i] {
			return b.ended()
		}
		if !void {
			continue
		}
		if err := root.Remove(w.Name); err != nil {
			return err
		}
	}
	_, err := b.t.Next()
	if err == io.EOF {
		_, err = io.ReadFull(b.source, make([]byte, 1))
	}
	if b.source.err != nil {
		return b.ended()
	}
	if err != io.EOF {
		return Problem("the backup has data after its end: it is damaged, or the file holds something else, too. Use another file")
	}
	return nil
}
