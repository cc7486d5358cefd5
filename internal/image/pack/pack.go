package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Layer identifies a layer and tells its size.
type Layer struct {
	DiffID  string // "sha256:<hex>" of the tar
	Size    int64  // bytes of the tar
	Entries int    // in the tar, whiteouts included
}

// Digest returns the layer of a directory without keeping its tar. It reads
// every file.
func Digest(ctx context.Context, dir string) (Layer, error) {
	c := &counter{sum: sha256.New()}
	n, err := write(ctx, c, dir)
	if err != nil {
		return Layer{}, err
	}
	return Layer{DiffID: "sha256:" + hex.EncodeToString(c.sum.Sum(nil)), Size: c.size, Entries: n}, nil
}

// counter hashes and counts what is written to it.
type counter struct {
	sum  hash.Hash
	size int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.size += int64(len(b))
	return c.sum.Write(b)
}

// Write writes the tar of a directory.
func Write(ctx context.Context, w io.Writer, dir string) error {
	_, err := write(ctx, w, dir)
	return err
}

func write(ctx context.Context, w io.Writer, dir string) (entries int, err error) {
	p := &packer{ctx: ctx, tar: tar.NewWriter(w), dir: dir, first: map[inode]string{}}
	if err := p.children(""); err != nil {
		return p.entries, fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.entries, p.tar.Close()
}

// Names and attributes by which layers and overlayfs tell what is deleted.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
	paxXattr       = "SCHILY.xattr."
)

// packer writes one tar.
type packer struct {
	ctx     context.Context //nolint:containedctx // lives for one tar
	tar     *tar.Writer
	dir     string
	first   map[inode]string // first name of each file that has several
	entries int
}

type inode struct{ dev, ino uint64 }

// path returns where an entry is. The names between are directories, not links:
// the walk has been through them.
func (p *packer) path(name string) string { return p.dir + "/" + name }

// children writes what is in a directory, "" for the root.
func (p *packer) children(name string) error {
	if err := p.ctx.Err(); err != nil {
		return context.Cause(p.ctx)
	}
	list, err := os.ReadDir(p.path(name)) // sorted
	if err != nil {
		return err
	}
	for _, e := range list {
		child := e.Name()
		if strings.HasPrefix(child, whiteoutPrefix) {
			return &NameError{join(name, child)}
		}
		if err := p.entry(join(name, child)); err != nil {
			return err
		}
	}
	return nil
}

// NameError is returned for a file that no layer can have: its name begins with ".wh.".
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("%.200q begins with %q, which means a deleted file in a layer", e.Name, whiteoutPrefix)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// entry writes one entry, and what is in it.
func (p *packer) entry(name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(p.path(name), &st); err != nil {
		return &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	if IsWhiteout(&st) {
		dir, base := split(name)
		return p.header(&tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base})
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(st.Mtim.Sec, 0),
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return p.directory(h)
	}
	if st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if first, seen := p.first[id]; seen {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.header(h)
		}
		p.first[id] = name
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return p.file(h, st.Size)
	case unix.S_IFLNK:
		target, err := os.Readlink(p.path(name))
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		return nil // a socket or a device
	}
	return p.header(h)
}

func split(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/') + 1
	return name[:i], name[i:]
}

// IsWhiteout reports whether a file is overlayfs's mark of a deleted one.
func IsWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// IsOpaque reports whether a directory hides that of its name in lower layers.
func IsOpaque(path string) (bool, error) {
	var v [2]byte
	n, err := unix.Lgetxattr(path, opaqueXattr, v[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	return err == nil && string(v[:n]) == "y", err
}

// SetOpaque makes a directory hide that of its name in lower layers.
func SetOpaque(path string) error { return unix.Lsetxattr(path, opaqueXattr, []byte("y"), 0) }

func (p *packer) directory(h *tar.Header) error {
	name := h.Name
	h.Typeflag, h.Name = tar.TypeDir, name+"/"
	var err error
	if h.PAXRecords, err = p.attributes(name); err != nil {
		return err
	}
	if err := p.header(h); err != nil {
		return err
	}
	opaque, err := IsOpaque(p.path(name))
	if err != nil {
		return &os.PathError{Op: "getxattr", Path: name, Err: err}
	}
	if opaque {
		if err := p.header(&tar.Header{Typeflag: tar.TypeReg, Name: name + "/" + whiteoutOpaque}); err != nil {
			return err
		}
	}
	return p.children(name)
}

// file writes a regular file.
func (p *packer) file(h *tar.Header, size int64) error {
	name := h.Name
	h.Typeflag, h.Size = tar.TypeReg, size
	var err error
	if h.PAXRecords, err = p.attributes(name); err != nil {
		return err
	}
	f, err := os.OpenFile(p.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.header(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(f, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	return nil
}

// header writes a header. Times that are not set become the epoch.
func (p *packer) header(h *tar.Header) error {
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	p.entries++
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("describe %q: %w", h.Name, err)
	}
	return nil
}

// attributes returns the extended attributes that a layer keeps, as PAX records.
func (p *packer) attributes(name string) (map[string]string, error) {
	list, err := Attributes(p.path(name))
	if err != nil {
		return nil, &os.PathError{Op: "read the attributes of", Path: name, Err: err}
	}
	if len(list) == 0 {
		return nil, nil
	}
	records := make(map[string]string, len(list))
	for attribute, value := range list {
		records[paxXattr+attribute] = value
	}
	return records, nil
}

// Attributes returns a file's extended attributes that a layer keeps.
func Attributes(path string) (map[string]string, error) {
	size, err := unix.Llistxattr(path, nil)
	if size == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(path, names); err != nil {
		return nil, err
	}
	list := map[string]string{}
	for name := range strings.SplitSeq(string(names[:size]), "\x00") {
		if name != AttributeCapability && (!strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.overlay.")) {
			continue
		}
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		list[name] = string(value[:n])
	}
	return list, nil
}
