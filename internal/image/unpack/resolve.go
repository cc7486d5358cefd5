package unpack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// open opens the directory dir, "" for the root, resolving symbolic links as a
// process in a chroot there would.
func (t *tree) open(dir string) (int, error) {
	if dir == "" {
		dir = "."
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := t.openat2(dir, &how)
	if !errors.Is(err, unix.ELOOP) {
		return fd, err
	}
	how.Resolve &^= unix.RESOLVE_NO_SYMLINKS
	// The kernel follows 40 links of 4096 bytes for one name: milliseconds.
	start := time.Now()
	fd, err = t.openat2(dir, &how)
	if e := t.budget.lookFor(time.Since(start)); e != nil {
		if err == nil {
			unix.Close(fd)
		}
		return -1, e
	}
	if err != nil {
		return -1, err
	}
	// Chains of links can stack directories deeper than any name.
	if err := t.checkDepth(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (t *tree) openat2(dir string, how *unix.OpenHow) (int, error) {
	for {
		fd, err := unix.Openat2(t.root, dir, how)
		// EAGAIN: something was renamed meanwhile, anywhere on the machine.
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

func (t *tree) checkDepth(fd int) error {
	root, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", t.root))
	if err != nil {
		return err
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	if strings.Count(dir, "/")-strings.Count(root, "/") > maxDepth {
		return unix.ENAMETOOLONG
	}
	return nil
}

// parent opens the directory dir and makes it, and its parents, if the tar has
// not declared them.
func (t *tree) parent(dir string) (int, error) {
	fd, err := t.open(dir)
	if dir == "" || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return fd, err
	}
	up, base := "", dir
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		up, base = dir[:i], dir[i+1:]
	}
	above, err := t.parent(up)
	if err != nil {
		return -1, err
	}
	defer unix.Close(above)
	return t.implied(above, dir, base)
}

// implied makes and opens a directory that the tar has not declared.
func (t *tree) implied(above int, dir, base string) (int, error) {
	if !t.below.Known {
		return -1, ErrNeedsBelow
	}
	if err := t.spend(Cost{Entries: 1, Written: block}); err != nil {
		return -1, err
	}
	known, err := t.lookupDir(dir)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	hidden := unix.Fstatat(above, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && isWhiteout(&st)
	if hidden {
		if err := unix.Unlinkat(above, base, 0); err != nil {
			return -1, err
		}
	}
	err = unix.Mkdirat(above, base, 0o755)
	if errors.Is(err, unix.EEXIST) {
		return -1, unix.ENOTDIR // a file or a dangling symbolic link
	}
	if err != nil {
		return -1, err
	}
	fd, err := unix.Openat(above, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Fchmod(fd, 0o755) // independent of the umask
	if err == nil && hidden {
		err = setOpaque(fd)
	}
	if err == nil && known != nil {
		err = t.inherit(known, fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeAll removes base in parent with everything below it, following no
// links.
func removeAll(parent int, base string) error {
	err := unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), base)
	defer d.Close()
	for {
		names, err := d.Readdirnames(512)
		for _, n := range names {
			if err := removeEntry(fd, n); err != nil {
				return err
			}
		}
		if err == io.EOF || len(names) == 0 {
			return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
		}
		if err != nil {
			return err
		}
		if _, err := d.Seek(0, io.SeekStart); err != nil { // entries shift as others are removed
			return err
		}
	}
}

func removeEntry(parent int, base string) error {
	err := unix.Unlinkat(parent, base, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		return removeAll(parent, base)
	}
	return err
}
