package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

// fakeFiles is the root file system of a fake job: directories that it merges as
// overlayfs would. It does not copy up: deeds can replace and remove what is in
// lower directories, and not change its mode, owner or time.
type fakeFiles struct {
	upper  string
	lowers []string // top first
	binds  []runtime.Bind
}

// outside are the directories that a job shares with nobody and that are no part of
// its changes.
var outside = []string{"/dev/", "/proc/", "/sys/"}

// do does a deed and returns what it found.
func (f *fakeFiles) do(ctx context.Context, d Deed) (string, error) {
	switch d.Do {
	case DoRead, DoList, DoAwait, DoDial:
		return f.look(ctx, d)
	}
	if slices.ContainsFunc(outside, func(dir string) bool { return strings.HasPrefix(d.Path, dir) }) || d.Path == "/etc/hosts" {
		return "ok", nil
	}
	at, err := f.writable(d.Path)
	if err != nil {
		return "", err
	}
	switch d.Do {
	case DoWrite:
		f.uncover(at)
		err = errors.Join(os.WriteFile(at, []byte(d.Text), 0o600), unix.Chmod(at, d.Mode))
	case DoMkdir:
		hides := f.whiteout(at)
		f.uncover(at)
		if err = errors.Join(os.Mkdir(at, 0o700), unix.Chmod(at, d.Mode)); err == nil && hides {
			err = pack.SetOpaque(at)
		}
	case DoLink:
		to, _ := f.find(d.To)
		err = os.Link(to, at)
	case DoSymlink:
		err = os.Symlink(d.To, at)
	case DoRemove:
		err = f.remove(d.Path, at)
	case DoChmod:
		err = unix.Chmod(at, d.Mode)
	case DoChown:
		err = os.Lchown(at, d.UID, d.GID)
	case DoTouch:
		ts := unix.Timespec{Sec: 1_000_000_000}
		err = unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return "ok", err
}

// bound returns the bind that a path is in, and where it is on the host.
func (f *fakeFiles) bound(name string) (b runtime.Bind, at string, ok bool) {
	for _, b := range f.binds {
		if name == b.Target || strings.HasPrefix(name, b.Target+"/") {
			return b, b.Source + strings.TrimPrefix(name, b.Target), true
		}
	}
	return b, "", false
}

// find returns where a path is. ENOENT if it is nowhere.
func (f *fakeFiles) find(name string) (string, error) {
	if _, at, ok := f.bound(name); ok {
		_, err := os.Lstat(at)
		return at, err
	}
	for _, dir := range append([]string{f.upper}, f.lowers...) {
		at := dir + name
		if f.whiteout(at) {
			break
		}
		if _, err := os.Lstat(at); err == nil {
			return at, nil
		}
		if opaque, _ := pack.IsOpaque(path.Dir(at)); opaque {
			break
		}
	}
	return "", unix.ENOENT
}

func (f *fakeFiles) whiteout(at string) bool {
	var st unix.Stat_t
	return unix.Lstat(at, &st) == nil && pack.IsWhiteout(&st)
}

// uncover removes a whiteout.
func (f *fakeFiles) uncover(at string) {
	if f.whiteout(at) {
		os.Remove(at)
	}
}

// writable returns where a path is to be written, and makes the directories above
// it look there as they do below.
func (f *fakeFiles) writable(name string) (string, error) {
	if b, at, ok := f.bound(name); ok {
		if !b.Write {
			return "", unix.EROFS
		}
		return at, nil
	}
	parent := path.Dir(name)
	if parent == "/" {
		return f.upper + name, nil
	}
	// Every root file system has /etc.
	at, err := f.find(parent)
	if err != nil && parent != "/etc" {
		return "", err
	}
	if strings.HasPrefix(at, f.upper+"/") {
		return f.upper + name, nil
	}
	if _, err := f.writable(parent); err != nil {
		return "", err
	}
	return f.upper + name, errors.Join(os.Mkdir(f.upper+parent, 0o755), os.Chmod(f.upper+parent, 0o755))
}

// remove removes what is in the upper directory and hides what is below it.
func (f *fakeFiles) remove(name, at string) error {
	if _, _, ok := f.bound(name); ok {
		return os.RemoveAll(at)
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	if _, err := f.find(name); err != nil {
		return nil
	}
	return unix.Mknod(at, unix.S_IFCHR, 0)
}

func (f *fakeFiles) look(ctx context.Context, d Deed) (string, error) {
	switch d.Do {
	case DoRead:
		at, err := f.find(d.Path)
		if err != nil {
			return "", err
		}
		b, err := os.ReadFile(at)
		return fmt.Sprintf("%q", b), err
	case DoList:
		return f.list(d.Path)
	case DoAwait:
		for {
			if _, err := f.find(d.Path); err == nil {
				return "ok", nil
			}
			if err := wait(ctx, 2*time.Millisecond); err != nil {
				return "", err
			}
		}
	}
	return "", unix.ECONNREFUSED // DoDial: a job has a network of its own
}

// list returns the names in a directory of the merged ones.
func (f *fakeFiles) list(name string) (string, error) {
	if _, err := f.find(name); err != nil {
		return "", err
	}
	seen := map[string]bool{}
	dirs := append([]string{f.upper}, f.lowers...)
	if _, at, ok := f.bound(name); ok {
		dirs, name = []string{at}, ""
	}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir + name)
		for _, e := range entries {
			if _, known := seen[e.Name()]; !known {
				seen[e.Name()] = !f.whiteout(dir + name + "/" + e.Name())
			}
		}
		if opaque, _ := pack.IsOpaque(dir + name); opaque {
			break
		}
	}
	var names []string
	for n, there := range seen {
		if there {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " "), nil
}

// errorName returns an error's name as the real program prints it.
func errorName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
