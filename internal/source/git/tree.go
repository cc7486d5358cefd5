package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// normalize gives the files below dir to the caller: one owner, one time, no setuid
// bits, and nothing but directories, regular files and symbolic links. It follows no
// link, and no process writes there any more.
func normalize(dir string, t time.Time) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the files of a commit: %w", err)
	}
	n := normalizer{uid: os.Geteuid(), gid: os.Getegid(), time: unix.NsecToTimespec(t.UnixNano())}
	if err := n.directory(os.NewFile(uintptr(fd), dir), 0); err != nil {
		return fmt.Errorf("make the files of a commit ours: %w", err)
	}
	return nil
}

type normalizer struct {
	uid, gid int
	time     unix.Timespec
}

// directory handles an open directory, and closes it.
func (n normalizer) directory(d *os.File, depth int) error {
	defer d.Close()
	if depth > maxDepth {
		return fmt.Errorf("%s: %w", d.Name(), unix.ENAMETOOLONG)
	}
	fd := int(d.Fd())
	if err := errors.Join(unix.Fchown(fd, n.uid, n.gid), unix.Fchmod(fd, 0o755)); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := n.entry(d, name, depth); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{n.time, n.time}, unix.AT_EMPTY_PATH)
}

func (n normalizer) entry(d *os.File, name string, depth int) error {
	fd := int(d.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		sub, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return n.directory(os.NewFile(uintptr(sub), path.Join(d.Name(), name)), depth+1)
	case unix.S_IFREG:
		mode := uint32(0o644)
		if st.Mode&0o100 != 0 {
			mode = 0o755
		}
		if st.Nlink > 1 {
			return fmt.Errorf("%s: a file has several names", name)
		}
		if err := unix.Fchmodat(fd, name, mode, 0); err != nil { // a regular file: no link to follow
			return err
		}
	case unix.S_IFLNK:
	default:
		return unix.Unlinkat(fd, name, 0)
	}
	if err := unix.Fchownat(fd, name, n.uid, n.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, name, []unix.Timespec{n.time, n.time}, unix.AT_SYMLINK_NOFOLLOW)
}

const (
	maxPointer  = 1024 // bytes, by the specification of Git LFS
	mostNamed   = 5    // files that a message names
	lfsFirstKey = "version https://git-lfs"
)

// isPointer reports whether a file's content is a pointer of Git LFS.
func isPointer(content []byte) bool {
	if len(content) > maxPointer || !bytes.HasPrefix(content, []byte(lfsFirstKey)) {
		return false
	}
	oid, size := false, false
	for line := range bytes.Lines(content) {
		oid = oid || bytes.HasPrefix(line, []byte("oid sha256:"))
		size = size || bytes.HasPrefix(line, []byte("size "))
	}
	return oid && size
}

// pointers refuses a tree with files that are only pointers of Git LFS: a build
// would read a few lines of text in place of each.
func (s *session) pointers(tree string) error {
	root, err := os.OpenRoot(filepath.Join(s.dir, "work", tree))
	if err != nil {
		return err
	}
	defer root.Close()
	var found []string
	if err := findPointers(root, ".", &found); err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	more := ""
	if len(found) > mostNamed {
		more = fmt.Sprintf(" and %d more", len(found)-mostNamed)
		found = found[:mostNamed]
	}
	return fail(Unsupported, "%s keeps files in Git LFS, which this server does not fetch: %s%s. Commit them to the repository itself, or fetch them in a build command.",
		s.shown(), strings.Join(found, ", "), more)
}

func findPointers(root *os.Root, dir string, found *[]string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			if err := findPointers(root, name, found); err != nil {
				return err
			}
			continue
		}
		if !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxPointer || info.Size() < int64(len(lfsFirstKey)) {
			continue
		}
		content, err := readSmall(root, name)
		if err != nil {
			return err
		}
		if isPointer(content) {
			*found = append(*found, clean([]byte(name)))
		}
	}
	return nil
}

func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPointer+1))
}
