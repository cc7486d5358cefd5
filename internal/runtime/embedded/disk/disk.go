// Package disk gives each sandbox writable space of a bounded size: the upper
// layer of its root file system.
//
// The kernel enforces the bound, not a watcher. There are three ways to do so, and
// the first that works in the data directory is chosen:
//
//   - Quota: a directory under a project quota. It costs nothing, but the file
//     system must have been mounted with project quotas (xfs and ext4 can).
//   - Image: an ext4 file system of that size in a sparse file, by a loop
//     device. The file has no name and vanishes with its last user, so nothing
//     is ever left behind. It needs mkfs.ext4, once per size, and costs some
//     milliseconds, which sandboxes made ahead of time hide.
//   - Memory: a tmpfs of that size. What is written counts as memory of the
//     instance, whose limit may be reached first.
//
// In each of them, a sandbox cannot take the space of another. The first two do not
// reserve space: the host's disk can be full before.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Kind is a way to bound space.
type Kind string

const (
	Quota  Kind = "quota"
	Image  Kind = "image"
	Memory Kind = "memory"
)

// Names of the directories in a disk, for overlayfs.
const (
	Upper = "upper"
	Work  = "work"
)

// Pool makes disks.
type Pool struct {
	want   Kind // "" for any
	log    *slog.Logger
	quotas *quotas // the only kind whose disks leave something behind
	others []maker

	mu     sync.Mutex // guards chosen
	chosen maker      // nil before the first disk
}

// maker makes disks of one kind. The root of a disk made is empty and belongs
// to root.
type maker interface {
	kind() Kind
	// make returns a detached mount of size bytes.
	make(ctx context.Context, name string, size int64) (*os.File, error)
}

// Open returns a pool of disks below dir, which is made if it is missing. want
// restricts the choice to one kind unless it is empty. The choice is made with the
// first disk, since trying takes a while.
func Open(dir string, want Kind, log *slog.Logger) (*Pool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for disks: %w", err)
	}
	return &Pool{want: want, log: log, quotas: &quotas{dir: dir}, others: []maker{&images{dir: dir}, &memory{}}}, nil
}

// choose returns the kind of all disks.
func (p *Pool) choose(ctx context.Context) (maker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chosen != nil {
		return p.chosen, nil
	}
	var refusals []error
	for _, m := range append([]maker{p.quotas}, p.others...) {
		if p.want != "" && m.kind() != p.want {
			continue
		}
		err := p.try(ctx, m)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			p.log.Debug("chose how to bound disk space", "kind", m.kind(), "refused", errors.Join(refusals...))
			p.chosen = m
			return m, nil
		}
		refusals = append(refusals, fmt.Errorf("%s: %w", m.kind(), err))
	}
	return nil, fmt.Errorf("no way to bound the disk space of instances works here: %w", errors.Join(refusals...))
}

// OnDisk reports whether the disks take the space of the file system below them, and not
// memory.
func (p *Pool) OnDisk(ctx context.Context) (bool, error) {
	m, err := p.choose(ctx)
	return err == nil && m.kind() != Memory, err
}

// TakesDisk is OnDisk of the disks made so far, true before the first.
func (p *Pool) TakesDisk() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chosen == nil || p.chosen.kind() != Memory
}

// try makes a disk and removes it.
func (p *Pool) try(ctx context.Context, m maker) error {
	const size = 16 << 20
	name := fmt.Sprintf("try-%d", os.Getpid())
	f, err := p.make(ctx, m, name, size, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), p.Remove(name))
}

// Make makes a disk of size bytes and returns it as a detached mount, with
// directories Upper and Work that belong to the host's user and group owner.
// The name must be new.
func (p *Pool) Make(ctx context.Context, name string, size int64, owner int) (*os.File, error) {
	m, err := p.choose(ctx)
	if err != nil {
		return nil, err
	}
	return p.make(ctx, m, name, size, owner)
}

func (p *Pool) make(ctx context.Context, m maker, name string, size int64, owner int) (*os.File, error) {
	f, err := m.make(ctx, name, size)
	if err != nil {
		return nil, fmt.Errorf("make a disk of %d bytes (%s): %w", size, m.kind(), err)
	}
	if err := makeDirs(f, owner); err != nil {
		return nil, errors.Join(fmt.Errorf("make the directories of a disk: %w", err), f.Close(), p.Remove(name))
	}
	return f, nil
}

// makeDirs makes the directories. The upper one is what the root directory of
// the instance will look like.
func makeDirs(f *os.File, owner int) error {
	for _, dir := range []string{Upper, Work} {
		if err := unix.Mkdirat(int(f.Fd()), dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Fchmodat(int(f.Fd()), Upper, 0o755, 0); err != nil { // whatever the umask
		return err
	}
	return unix.Fchownat(int(f.Fd()), Upper, owner, owner, unix.AT_SYMLINK_NOFOLLOW)
}

// Remove removes what is left of a disk that is no longer mounted. A disk that
// does not exist is removed already.
func (p *Pool) Remove(name string) error {
	if err := p.quotas.remove(name); err != nil {
		return fmt.Errorf("remove disk %s: %w", name, err)
	}
	return nil
}

// Check returns an error if a disk lacks what lies in the directory.
func (p *Pool) Check(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chosen != p.quotas {
		return nil // nothing lies there
	}
	if _, err := os.Lstat(filepath.Join(p.quotas.dir, name)); err != nil {
		return fmt.Errorf("its disk is gone: %w", err)
	}
	return nil
}

// Names returns the disks that left something in the directory.
func (p *Pool) Names() ([]string, error) { return p.quotas.names() }

// memory keeps disks in memory.
type memory struct{}

func (*memory) kind() Kind { return Memory }

func (*memory) make(_ context.Context, _ string, size int64) (*os.File, error) {
	return mount("tmpfs", map[string]string{"size": fmt.Sprint(size), "mode": "0755"})
}

// mount returns a new file system as a detached mount. An option without a
// value is a flag.
func mount(kind string, options map[string]string) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for key, value := range options {
		if value == "" {
			err = unix.FsconfigSetFlag(fs, key)
		} else {
			err = unix.FsconfigSetString(fs, key, value)
		}
		if err != nil {
			return nil, fmt.Errorf("mount %s with %s=%s: %w", kind, key, value, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	return os.NewFile(uintptr(fd), kind), nil
}

// entries returns the names in a directory.
func entries(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = filepath.Base(e.Name())
	}
	return names, nil
}
