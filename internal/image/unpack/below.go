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
)

// ErrNeedsBelow is returned for a layer that cannot be unpacked before those
// below it: it has a hard link to a file of theirs, or tells of a directory
// only by what is in it, whose owner and mode are then theirs.
var ErrNeedsBelow = errors.New("layer needs those below it")

// Below are the layers that a layer lies on.
type Below struct {
	// Known says whether Dirs are there. Without them a layer that needs them
	// fails with ErrNeedsBelow; one that does not is the same on any others.
	Known bool
	Dirs  []string // unpacked by this package and at rest, uppermost first
}

// maxSymlinks is the kernel's own limit for one name.
const maxSymlinks = 40

// found is what a name means where all layers are seen as one.
type found struct {
	path  string // from the root, without symbolic links in the way
	layer int    // index of the uppermost layer that has it
	full  string // path on this machine
	stat  unix.Stat_t
}

func (f *found) kind() uint32 { return f.stat.Mode & unix.S_IFMT }

// level is a directory of the merged layers.
type level struct {
	path   string
	layers []int // those that are seen in it, uppermost first
}

// lookup finds name in the layer being unpacked over those below as overlayfs
// will show them: as a process in a chroot there would, which follows no
// symbolic link at the end. The error is ENOENT where there is nothing.
//
// It goes by full paths and not by descriptors, of which there would be a
// layer's for each directory. Layers are at rest, nobody else reaches them, and
// every directory in the way has been seen to be one.
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
		next, f, err := step(dirs, walk[len(walk)-1], part)
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

// step finds base in the directory at. If it is a directory, next is it.
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
			break // seen alone, or hidden by the directory above it
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

// copyUp copies a file of a layer below into this one, under its own name, so
// that more names can be made for it here. Overlayfs does the same when a
// process links to a file of a lower layer.
func (t *tree) copyUp(f *found) error {
	if err := t.count(); err != nil {
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
	return err
}

// inherit gives a directory that only names below it tell of what the layers
// below know about it.
func (t *tree) inherit(f *found, fd int) error {
	h, err := f.header()
	if err != nil {
		return err
	}
	return t.finishDir(h, fd, f.path)
}

// lookupDir returns the directory that a name means, nil where it means none.
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

// header describes f as the entry that made it.
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
		if !keptXattr(name) {
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

// entryKey is a name in this layer, whichever way leads to it.
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
