package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// workshop assembles root file systems. Overlayfs takes its layers from mounts
// of the caller's mount namespace only (until Linux 6.15), and the daemon's is
// not to be littered: so the workshop is a thread with a mount namespace of
// its own, and what it makes leaves it as detached mounts.
//
// The thread is serial, but a job takes a fraction of a millisecond.
type workshop struct {
	dir  string // an empty directory, over which the workshop mounts
	jobs chan func()
	done chan struct{}
}

func newWorkshop(dir string) *workshop {
	return &workshop{dir: dir, jobs: make(chan func()), done: make(chan struct{})}
}

// errClosed is returned once the driver has been shut down.
var errClosed = errors.New("the embedded runtime has been shut down")

// run serves jobs until ctx ends. ready is closed when it begins.
func (w *workshop) run(ctx context.Context, ready chan<- struct{}) error {
	defer close(w.done)
	result := make(chan error, 1)
	onThread(func() {
		if err := w.enter(); err != nil {
			result <- fmt.Errorf("make a mount namespace for root file systems: %w", err)
			return
		}
		close(ready)
		for {
			select {
			case job := <-w.jobs:
				job()
			case <-ctx.Done():
				result <- nil
				return
			}
		}
	})
	return <-result
}

// onThread runs f on a thread of its own, which ends with it: with the thread
// ends the mount namespace, and with that all that is mounted there.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlock
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread lives as long as the process and is what others see
		// in its /proc entry. Hold it until another has been found.
		defer runtime.UnlockOSThread()
		found := make(chan struct{})
		onThread(func() {
			close(found)
			f()
		})
		<-found
	}()
}

func (w *workshop) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	// A slave: what the host unmounts goes here, too, and is not held busy.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "mode=0700,size=16m"); err != nil {
		return err
	}
	if err := unix.Mount("", w.dir, "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Unshare gave the thread a working directory of its own as well.
	return unix.Chdir(w.dir)
}

// do runs a job on the workshop's thread.
func (w *workshop) do(job func() error) error {
	result := make(chan error, 1)
	select {
	case w.jobs <- func() { result <- job() }:
		return <-result
	case <-w.done:
		return errClosed
	}
}

// bench is a place in the workshop where one root file system will be
// assembled: made ahead of time, with all that does not depend on the image.
//
//	<name>/layers  all unpacked layers there are, in the sandbox's ids
//	<name>/disk    the sandbox's writable space
//	<name>/root    where the root file system is mounted for a moment
type bench struct {
	shop *workshop
	name string
}

// set makes a bench. layers and disk are detached mounts. The caller closes
// them.
func (w *workshop) set(name string, layers, disk *os.File) (*bench, error) {
	b := &bench{w, name}
	err := w.do(func() error {
		if err := b.mount(layers, disk); err != nil {
			b.clear()
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("set up for the root file system of sandbox %s: %w", name, err)
	}
	return b, nil
}

func (b *bench) mount(layers, disk *os.File) error {
	if err := unix.Mkdir(b.name, 0o700); err != nil {
		return err
	}
	// One mount to hold the others, so that one call clears the bench: each
	// unmounting waits for all processors.
	if err := unix.Mount("tmpfs", b.name, "tmpfs", 0, "mode=0700,size=4k"); err != nil {
		return err
	}
	for _, dir := range []string{"/layers", "/disk", "/root"} {
		if err := unix.Mkdir(b.name+dir, 0o700); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(int(layers.Fd()), "", unix.AT_FDCWD, b.name+"/layers", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the layers: %w", err)
	}
	if err := unix.MoveMount(int(disk.Fd()), "", unix.AT_FDCWD, b.name+"/disk", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	return nil
}

func (b *bench) clear() {
	// Both fail only if there is nothing to do.
	unix.Unmount(b.name, unix.MNT_DETACH)
	unix.Rmdir(b.name)
}

// close clears the bench. What was assembled on it stays.
func (b *bench) close() error {
	return b.shop.do(func() error {
		b.clear()
		return nil
	})
}

// assemble returns a root file system as a detached mount: the layers, given
// below the layers' directory and top first, under the disk.
func (b *bench) assemble(layers []string) (root *os.File, err error) {
	err = b.shop.do(func() error {
		root, err = b.overlay(layers)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the root file system of sandbox %s: %w", b.name, err)
	}
	return root, nil
}

func (b *bench) overlay(layers []string) (*os.File, error) {
	// The kernel takes a page of options at most, and digests are long: name
	// the layers by descriptors.
	var names []string
	for _, layer := range layers {
		path := filepath.Join(b.name, "layers", layer)
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open layer %s: %w", layer, err)
		}
		defer unix.Close(fd)
		names = append(names, "/proc/self/fd/"+strconv.Itoa(fd))
	}
	target := b.name + "/root"
	// Volatile: nothing is ever synced, as nothing outlives the instance. The
	// last two obey no attribute by which a layer could point elsewhere.
	options := "lowerdir=" + strings.Join(names, ":") + ",upperdir=" + b.name + "/disk/upper,workdir=" + b.name + "/disk/work" +
		",volatile,redirect_dir=nofollow,metacopy=off"
	if err := unix.Mount("overlay", target, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		return nil, err
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	fd, err := unix.OpenTree(unix.AT_FDCWD, target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "root file system of "+b.name), nil
}

// mappedTree returns a directory as a detached, read-only mount in which ids
// are those of a user namespace.
func mappedTree(dir string, userns *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("clone the mount of %s: %w", dir, err)
	}
	tree := os.NewFile(uintptr(fd), dir)
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID,
		Propagation: unix.MS_PRIVATE,
		Userns_fd:   uint64(userns.Fd()),
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		tree.Close()
		return nil, fmt.Errorf("map the ids of %s (needs Linux 5.19 and a file system that can, such as ext4, xfs or btrfs): %w", dir, err)
	}
	return tree, nil
}
