package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log/slog"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxOwner = 1<<31 - 1 // the largest id of an instance
	nobody   = 65534     // user and group
	maxPath  = 4096      // bytes
	// maxDepth bounds the directories above an entry, and so the descriptors
	// that a recursive removal of the tree holds.
	maxDepth = 256
)

// tree is a directory that a layer is unpacked into.
type tree struct {
	ctx      context.Context //nolint:containedctx // lives for one Layer call
	dir      string          // of the root
	root     int             // O_PATH descriptor
	below    Below
	budget   *Budget
	log      *slog.Logger
	buf      []byte // a multiple of a block
	zeros    []byte // a block
	names    int    // bytes of names in dirs and copiedUp
	stats    Stats
	dirs     []dirTime         // set at the end, since making entries changes them
	copiedUp map[entryKey]bool // files copied up from lower layers: see copyUp
	leftOut  map[string]bool   // names of device nodes
}

type dirTime struct {
	name string
	time unix.Timespec
}

// entry makes one entry of the tar; r yields its content.
func (t *tree) entry(h *tar.Header, r io.Reader) error {
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	if whiteoutDir(dir) || strings.HasPrefix(base, whiteoutMeta) && base != whiteoutOpaque {
		return nil
	}
	if isDevice(h) {
		t.device(h, name)
		return nil
	}
	t.mapOwner(h)
	if name == "." {
		return t.rootEntry(h)
	}
	parent, err := t.parent(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if strings.HasPrefix(base, whiteoutPrefix) {
		return t.whiteout(h, parent, base)
	}
	return t.make(h, r, parent, name, base)
}

// mapOwner gives an entry to nobody if its owner does not exist in instances.
// Root as the owner would lend privileges; an unmapped owner could not even be
// changed by root.
func (t *tree) mapOwner(h *tar.Header) {
	has := func(id int) bool { return id >= 0 && id <= maxOwner }
	if has(h.Uid) && has(h.Gid) {
		return
	}
	t.log.Debug("gave an entry of a layer to nobody", "name", h.Name, "uid", h.Uid, "gid", h.Gid)
	if !has(h.Uid) {
		h.Uid = nobody
	}
	if !has(h.Gid) {
		h.Gid = nobody
	}
}

// clean returns the entry's name relative to the root, "." for the root itself.
func clean(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse(name, `contains ".."`)
		}
	}
	c := path.Clean("/" + name)[1:]
	switch {
	case c == "":
		return ".", nil
	case strings.ContainsRune(c, 0):
		return "", refuse(name, "contains a zero byte")
	case len(c) >= maxPath:
		return "", refuse(name, "is longer than %d bytes", maxPath)
	case strings.Count(c, "/") > maxDepth:
		return "", refuse(name, "lies deeper than %d directories", maxDepth)
	}
	return c, nil
}

// make makes an ordinary entry called base in the directory parent.
func (t *tree) make(h *tar.Header, r io.Reader, parent int, name, base string) error {
	isDir := h.Typeflag == tar.TypeDir
	if err := t.forgetCopy(parent, base); err != nil {
		return err
	}
	kept, opaque, err := t.replaceExisting(parent, base, isDir)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse, tar.TypeCont: // old tars mark a regular file with a zero byte
		return t.file(h, r, parent, base)
	case tar.TypeDir:
		return t.directory(h, parent, name, base, kept, opaque)
	case tar.TypeSymlink:
		return t.symlink(h, parent, base)
	case tar.TypeLink:
		return t.hardlink(h, parent, base)
	case tar.TypeFifo:
		if err := unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		return finish(h, parent, base)
	}
	return refuse(h.Name, "is of the unknown type %q", string(h.Typeflag))
}

// replaceExisting removes what an earlier entry made at base. A directory stays
// for another directory (kept). A directory that replaces a whiteout must
// itself hide what lies below (opaque).
func (t *tree) replaceExisting(parent int, base string, isDir bool) (kept, opaque bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if isDir {
			return true, false, nil
		}
		return false, false, removeAll(parent, base)
	}
	return false, isDir && isWhiteout(&st), unix.Unlinkat(parent, base, 0)
}

func (t *tree) file(h *tar.Header, r io.Reader, parent int, base string) error {
	if err := t.spend(Cost{Bytes: h.Size}); err != nil {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := t.content(fd, r, h.Size); err != nil {
		return err
	}
	if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
		return err
	}
	// After chown, which clears the setuid bit.
	if err := unix.Fchmod(fd, mode(h)); err != nil {
		return err
	}
	if err := t.attributes(h, fd); err != nil {
		return err
	}
	ts := timespec(h)
	return unix.UtimesNanoAt(parent, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func (t *tree) directory(h *tar.Header, parent int, name, base string, kept, opaque bool) error {
	if !kept {
		if err := t.spend(Cost{Written: block}); err != nil {
			return err
		}
		if err := unix.Mkdirat(parent, base, 0o700); err != nil {
			return err
		}
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if opaque {
		if err := setOpaque(fd); err != nil {
			return err
		}
	}
	return t.finishDir(h, fd, name)
}

// rootEntry sets the attributes of the layer's root directory.
func (t *tree) rootEntry(h *tar.Header) error {
	if h.Typeflag != tar.TypeDir {
		return refuse(h.Name, "names the root directory but is not a directory")
	}
	fd, err := unix.Openat(t.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return t.finishDir(h, fd, ".")
}

func (t *tree) finishDir(h *tar.Header, fd int, name string) error {
	if err := t.attributes(h, fd); err != nil {
		return err
	}
	if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := t.keepName(name); err != nil {
		return err
	}
	t.dirs = append(t.dirs, dirTime{name, timespec(h)})
	return unix.Fchmod(fd, mode(h))
}

func (t *tree) symlink(h *tar.Header, parent int, base string) error {
	if h.Linkname == "" || len(h.Linkname) >= maxPath {
		return refuse(h.Name, "is a symbolic link with a target of %d bytes", len(h.Linkname))
	}
	if err := t.spend(Cost{Written: int64(len(h.Linkname))}); err != nil {
		return err
	}
	if err := unix.Symlinkat(h.Linkname, parent, base); err != nil {
		return err
	}
	return finish(h, parent, base)
}

// hardlink makes another name of a file. A file that only lower layers have is
// copied up first.
func (t *tree) hardlink(h *tar.Header, parent int, base string) error {
	target, err := clean(h.Linkname)
	if err != nil {
		return refuse(h.Name, `is a hard link to %q, which contains ".." or is too long`, h.Linkname)
	}
	err = t.link(h, target, parent, base)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if t.leftOut[target] {
		return nil // another name of a device node
	}
	if !t.below.Known {
		return ErrNeedsBelow
	}
	f, err := t.lookup(target)
	if errors.Is(err, unix.ENOENT) || err == nil && f.path == "" {
		return refuse(h.Name, "is a hard link to %q, which neither the layer nor those below it have", h.Linkname)
	}
	if err != nil {
		return err
	}
	if !linkable(&f.stat) {
		return refuse(h.Name, "is a hard link to %q, which is not a file", h.Linkname)
	}
	if f.layer > 0 {
		if err := t.copyUp(f); err != nil {
			return err
		}
	}
	return t.link(h, f.path, parent, base)
}

// link makes base in parent another name of a file of this layer. ENOENT if
// this layer has no such file.
func (t *tree) link(h *tar.Header, target string, parent int, base string) error {
	dir, tbase := path.Split(target)
	tparent, err := t.open(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer unix.Close(tparent)
	var st unix.Stat_t
	err = unix.Fstatat(tparent, tbase, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && isWhiteout(&st) {
		err = unix.ENOENT
	}
	if err != nil {
		return err
	}
	if !linkable(&st) {
		return refuse(h.Name, "is a hard link to %q, which is not a file", h.Linkname)
	}
	return unix.Linkat(tparent, tbase, parent, base, 0)
}

func linkable(st *unix.Stat_t) bool {
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFREG || kind == unix.S_IFLNK || kind == unix.S_IFIFO
}

func isDevice(h *tar.Header) bool { return h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock }

// maxDevices is how many device nodes outside of /dev are told by name, and with how many
// bytes of it.
const maxDevices, maxDeviceName = 5, 100

// maxLeftOut is how many device nodes may have further names.
const maxLeftOut = 1000

// device leaves a device node out. Those in /dev nobody misses: an instance gets its own.
func (t *tree) device(h *tar.Header, name string) {
	t.log.Debug("left a device node out of a layer", "name", name, "major", h.Devmajor, "minor", h.Devminor)
	if len(t.leftOut) < maxLeftOut {
		t.leftOut[name] = true
	}
	if strings.HasPrefix(name, "dev/") {
		return
	}
	if t.stats.Devices++; len(t.stats.DeviceNames) < maxDevices {
		t.stats.DeviceNames = append(t.stats.DeviceNames, strings.ToValidUTF8("/"+name[:min(len(name), maxDeviceName)], "?"))
	}
}

// setTimes sets the directories' modification times after everything that
// changes them. Directories that later entries replaced are skipped.
func (t *tree) setTimes() error {
	for _, d := range t.dirs {
		dir, base := path.Split(d.name)
		parent, err := t.open(strings.TrimSuffix(dir, "/"))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return err
		}
		err = unix.UtimesNanoAt(parent, base, []unix.Timespec{d.time, d.time}, unix.AT_SYMLINK_NOFOLLOW)
		unix.Close(parent)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
