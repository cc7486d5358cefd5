// Package dirwatch tells which entries of directories somebody removes, and makes
// directories again that have to be there. The kernel tells (inotify): while nothing is
// removed it does nothing.
//
// It knows nothing of what the directories are for. The daemon keeps those of its data
// directory with it, and the embedded driver watches its control groups.
package dirwatch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/loop"
)

// events are an entry that goes, and a directory that goes itself.
const events = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// Watch calls gone for each entry that goes from one of the directories, until ctx ends. An
// empty name says that the directory itself is gone, and an empty directory that anything may
// be. A directory that is not there, or is another one by now, is watched after the next
// call.
func Watch(ctx context.Context, dirs []string, gone func(dir, name string)) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch directories: %w", os.NewSyscallError("inotify_init1", err))
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	w := watch{file: f, names: map[int32]string{}}
	gone("", "") // for what happened before
	for b := make([]byte, 16<<10); ; {
		if err := w.add(dirs); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		n, err := f.Read(b)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch directories: %w", err)
		}
		w.parse(b[:n], gone)
	}
}

// watch is a set of directories that the kernel watches.
type watch struct {
	file  *os.File
	names map[int32]string
}

// add watches the directories that are there.
func (w *watch) add(dirs []string) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		var wd int
		var aerr error
		if err := raw.Control(func(fd uintptr) { wd, aerr = unix.InotifyAddWatch(int(fd), dir, events) }); err != nil {
			return err
		}
		if errors.Is(aerr, unix.ENOENT) || errors.Is(aerr, unix.ENOTDIR) {
			continue
		}
		if aerr != nil {
			return fmt.Errorf("watch %s: %w", dir, os.NewSyscallError("inotify_add_watch", aerr))
		}
		w.names[int32(wd)] = dir
	}
	return nil
}

// parse reads the kernel's struct inotify_event one after the other.
func (w *watch) parse(b []byte, gone func(dir, name string)) {
	for len(b) >= unix.SizeofInotifyEvent {
		id, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		if len(b) < unix.SizeofInotifyEvent+size {
			return
		}
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
		b = b[unix.SizeofInotifyEvent+size:]
		switch {
		case mask&unix.IN_IGNORED != 0:
			delete(w.names, id)
		case mask&unix.IN_Q_OVERFLOW != 0:
			gone("", "")
		default:
			gone(w.names[id], name)
		}
	}
}

// settle is how long Keep waits for what removes a directory to end: a program that removes
// a tree fails where one in it comes back.
const settle = 200 * time.Millisecond

// Keep makes the directories again when one is removed, as they are made at first: for root
// only. It returns when ctx ends.
func Keep(ctx context.Context, dirs []string, log *slog.Logger) error {
	var watched []string
	for _, dir := range dirs {
		watched = append(watched, filepath.Dir(dir), dir)
	}
	slices.Sort(watched)
	return Watch(ctx, slices.Compact(watched), func(dir, name string) {
		ours := dir == "" || name == "" || slices.Contains(dirs, filepath.Join(dir, name))
		if ours && missing(dirs) { // what goes later is told later
			loop.Pause(ctx, settle)
			restore(dirs, log)
		}
	})
}

// missing reports whether one of the directories is.
func missing(dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		_, err := os.Lstat(dir)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// restore makes the directories that are missing.
func restore(dirs []string, log *slog.Logger) {
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			log.Error("a directory was removed and cannot be made again", "dir", dir, "err", err)
			continue
		}
		log.Warn("a directory was removed: made it again", "dir", dir)
	}
}
