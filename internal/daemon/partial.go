package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/backup"
)

// partial is a backup that is being written, under another name beside its own. It is
// locked for as long as somebody writes it: one that is not is left of a process that was
// killed.
type partial struct {
	file   *os.File
	target string
}

const partialPattern = ".slipway-backup-*"

// checkTarget refuses names that a backup must not get.
func checkTarget(file string, replace bool) error {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory: name a file in it", file)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no plain file: name one, or - for standard output", file)
	case !replace:
		return fmt.Errorf("%s exists: choose another name, or replace it with --force", file)
	}
	return nil
}

// newPartial makes the file for a backup, readable by its owner only, and removes those
// that killed backups left beside it.
func newPartial(target string) (*partial, error) {
	dir := filepath.Dir(target)
	left, err := filepath.Glob(filepath.Join(dir, partialPattern))
	for _, name := range left {
		if f, err := lockedFile(name); err == nil {
			os.Remove(name)
			f.Close()
		}
	}
	for err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, partialPattern); err != nil {
			break
		}
		p := &partial{file: f, target: target}
		if p.own() {
			return p, nil
		}
		f.Close() // another backup took it for one that was left
	}
	return nil, fmt.Errorf("make the backup: %w", err)
}

// lockedFile opens a file that nobody else has locked.
func lockedFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// own locks the file and reports whether it still has its name. A file system without
// locks removes nothing that is left, either.
func (p *partial) own() bool {
	if errors.Is(tryLock(p.file), errLocked) {
		return false
	}
	now, err := os.Lstat(p.file.Name())
	if err != nil {
		return false
	}
	mine, err := p.file.Stat()
	return err == nil && os.SameFile(now, mine)
}

// keep gives the file its name, once it has reached the disk.
func (p *partial) keep(replace bool) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	flags := uint(unix.RENAME_NOREPLACE)
	if replace {
		flags = 0
	}
	err := unix.Renameat2(unix.AT_FDCWD, p.file.Name(), unix.AT_FDCWD, p.target, flags)
	switch {
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%s exists by now: choose another name, or replace it with --force", p.target)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // NFS has no such rename
		if err = checkTarget(p.target, replace); err == nil {
			err = os.Rename(p.file.Name(), p.target)
		}
	}
	if err != nil {
		return fmt.Errorf("name the backup %s: %w", p.target, err)
	}
	return atomicfile.SyncDir(filepath.Dir(p.target))
}

// discard removes the file, unless it has its name, and unlocks it.
func (p *partial) discard() {
	os.Remove(p.file.Name())
	p.file.Close()
}

// checkRoom refuses a disk that has less room than what a backup has. Each file takes
// whole blocks, and one more for its name and attributes.
func checkRoom(dir string, h backup.Header) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	free := float64(disk.Bavail) * float64(disk.Bsize)
	need := float64(h.Bytes) + float64(h.Files)*2*float64(disk.Bsize)
	if need > free {
		return fmt.Errorf("%s needs %.0f MB, and %.0f MB are free: free some, or choose another disk", dir, math.Ceil(need/1e6), math.Floor(free/1e6))
	}
	return nil
}
