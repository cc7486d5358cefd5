package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
)

// ErrNeedsBelow is returned for a layer that can't be unpacked before the
// layers below it: it has a hard link to one of their files, or has entries in
// a directory that it does not declare, whose owner and mode then come from
// below.
var ErrNeedsBelow = errors.New("layer needs those below it")

// Below are the layers below the one being unpacked.
type Below struct {
	// Known says whether Dirs is set. Without it a layer that needs the layers
	// below fails with ErrNeedsBelow; a layer that does not need them unpacks
	// to the same on any others.
	Known bool
	Dirs  []string // unpacked by this package and no longer changing, uppermost first
}

// maxSymlinks is the kernel's own limit for one name.
const maxSymlinks = 40

// found is what a name resolves to in the merged layers.
type found struct {
	path  string // from the root, without symbolic links
	layer int    // index of the uppermost layer that has it
	full  string // path on this machine
	stat  unix.Stat_t
}

func (f *found) kind() uint32 { return f.stat.Mode & unix.S_IFMT }

// level is a directory of the merged layers.
type level struct {
	path   string
	layers []int // the layers that contribute to it, uppermost first
}

// lookup finds name in the layer being unpacked merged with those below, as
// overlayfs will show them and as a process in a chroot there would, without
// following a symbolic link at the end. ENOENT if there is nothing.
//
// It uses full paths, not descriptors, since each directory would need one per
// layer. That is safe: the layers no longer change, nobody else reaches them,
// and every parent has been checked to be a directory.
func (t *tree) lookup(name string) (*found, error) {
	dirs := append([]string{t.dir}, t.below.Dirs...)
	root := level{layers: make([]int, len(dirs))}
	for i := range dirs {
		root.layers[i] = i
	}
	walk := []level{root}
	parts := strings.Split(name, "/")
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			walk = walk[:max(1, len(walk)-1)]
			continue
		}
		at := walk[len(walk)-1]
		if err := t.budget.look(int64(len(at.layers))); err != nil {
			return nil, err
		}
		next, f, err := step(dirs, at, part)
		if err != nil {
			return nil, err
		}
		switch {
		case len(parts) == 0:
			return f, nil
		case f.kind() == unix.S_IFDIR:
			if walk = append(walk, next); len(walk) > maxDepth {
				return nil, unix.ENAMETOOLONG
			}
		case f.kind() != unix.S_IFLNK:
			return nil, unix.ENOTDIR
		default:
			to, err := os.Readlink(f.full)
			if err != nil {
				return nil, err
			}
			if links++; links > maxSymlinks {
				return nil, unix.ELOOP
			}
			if strings.HasPrefix(to, "/") {
				walk = walk[:1]
			}
			parts = append(strings.Split(to, "/"), parts...)
		}
	}
	return nil, unix.ENOENT // the root, or a way that ends in a directory
}

// step finds base in the directory at. If it is a directory, next is its level.
func step(dirs []string, at level, base string) (next level, f *found, err error) {
	next.path = strings.TrimPrefix(at.path+"/"+base, "/")
	for _, i := range at.layers {
		full := dirs[i] + "/" + next.path
		var st unix.Stat_t
		err := unix.Lstat(full, &st)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return next, nil, err
		}
		if isWhiteout(&st) {
			break
		}
		if f == nil {
			f = &found{path: next.path, layer: i, full: full, stat: st}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			break // not merged: a file, or hidden by the directory above
		}
		next.layers = append(next.layers, i)
		opaque, err := isOpaque(full)
		if err != nil {
			return next, nil, err
		}
		if opaque {
			break
		}
	}
	if f == nil {
		return next, nil, unix.ENOENT
	}
	return next, f, nil
}

func isOpaque(path string) (bool, error) {
	var v [2]byte
	n, err := unix.Lgetxattr(path, opaqueXattr, v[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	return err == nil && string(v[:n]) == "y", err
}

// copyUp copies a file of a lower layer into this one, under its own name, so
// that hard links to it can be made here. Overlayfs does the same when a
// process links to a file of a lower layer.
func (t *tree) copyUp(f *found) error {
	if err := t.spend(Cost{Entries: 1, Written: inodeCost}); err != nil {
		return err
	}
	h, err := f.header()
	if err != nil {
		return err
	}
	dir, base := path.Split(f.path)
	parent, err := t.parent(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	var content io.Reader
	if h.Typeflag == tar.TypeReg {
		file, err := os.OpenFile(f.full, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		content = contextReader{file, t.ctx}
	}
	if err := t.make(h, content, parent, f.path, base); err != nil {
		return err
	}
	at, err := entryKeyOf(parent, base)
	t.copiedUp[at] = true
	return errors.Join(err, t.keepName(base))
}

// inherit gives an undeclared directory the attributes that it has in the
// layers below.
func (t *tree) inherit(f *found, fd int) error {
	h, err := f.header()
	if err != nil {
		return err
	}
	return t.finishDir(h, fd, f.path)
}

// lookupDir returns the directory that a name resolves to, nil if none.
func (t *tree) lookupDir(name string) (*found, error) {
	f, err := t.lookup(name)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, nil
	case err != nil:
		return nil, err
	case f.kind() != unix.S_IFDIR:
		return nil, nil
	}
	return f, nil
}

// header describes f as a tar entry.
func (f *found) header() (*tar.Header, error) {
	h := &tar.Header{
		Name:    f.path,
		Mode:    int64(f.stat.Mode & 0o7777),
		Uid:     int(f.stat.Uid),
		Gid:     int(f.stat.Gid),
		ModTime: time.Unix(f.stat.Mtim.Unix()),
	}
	var err error
	switch f.kind() {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, f.stat.Size
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(f.full); err != nil {
			return nil, err
		}
	}
	h.PAXRecords, err = xattrs(f.full)
	return h, err
}

// xattrs returns a file's extended attributes as a tar has them.
func xattrs(path string) (map[string]string, error) {
	n, err := unix.Llistxattr(path, nil)
	if n == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	names := make([]byte, n)
	if n, err = unix.Llistxattr(path, names); err != nil {
		return nil, err
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if _, ok := keptXattr(name, "", true); !ok && name != pack.AttributeCapability {
			continue
		}
		value := make([]byte, maxXattr)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		records[paxXattr+name] = string(value[:n])
	}
	return records, nil
}

// entryKey is a name in this layer, independent of the path that leads to it.
type entryKey struct {
	dir  uint64 // inode
	base string
}

func entryKeyOf(parent int, base string) (entryKey, error) {
	var st unix.Stat_t
	err := unix.Fstat(parent, &st)
	return entryKey{st.Ino, base}, err
}

// contextReader reads until its context ends.
type contextReader struct {
	io.Reader
	ctx context.Context //nolint:containedctx // lives for one copy
}

func (p contextReader) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.Reader.Read(b)
}
