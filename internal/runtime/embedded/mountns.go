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

// mountNamespace is a mount namespace in which root file systems are assembled,
// and the thread that is in it. Overlayfs takes layers only from mounts of the
// caller's mount namespace (until Linux 6.15), and the daemon's own should not
// fill with mounts. Root file systems leave it as detached mounts.
//
// The thread runs one job at a time. A job takes a fraction of a millisecond.
type mountNamespace struct {
	jobs chan func()
	done chan struct{}
}

func newMountNamespace() *mountNamespace {
	return &mountNamespace{jobs: make(chan func()), done: make(chan struct{})}
}

// errClosed is returned once the driver has been shut down.
var errClosed = errors.New("the embedded runtime has been shut down")

// run serves jobs until ctx ends. ready is closed when it begins.
func (m *mountNamespace) run(ctx context.Context, ready chan<- struct{}) error {
	defer close(m.done)
	result := make(chan error, 1)
	onThread(func() {
		if err := m.enter(); err != nil {
			result <- fmt.Errorf("make a mount namespace for root file systems: %w", err)
			return
		}
		close(ready)
		for {
			select {
			case job := <-m.jobs:
				job()
			case <-ctx.Done():
				result <- nil
				return
			}
		}
	})
	return <-result
}

// onThread runs f on a thread of its own that ends with f. With the thread its
// mount namespace ends, and with that all that is mounted there.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlock
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread lives as long as the process, and the process's /proc
		// entry shows it. Hold it until f has another thread.
		defer runtime.UnlockOSThread()
		found := make(chan struct{})
		onThread(func() {
			close(found)
			f()
		})
		<-found
	}()
}

// ownMounts is where the mount namespace has its own file system. Somebody else's removal of
// a directory takes what is mounted there in every namespace: so it is one that nobody can
// remove. Nothing on the thread looks at what is usually there.
const ownMounts = "/sys"

func (m *mountNamespace) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	// A slave: what the host unmounts is unmounted here too, not kept busy.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", ownMounts, "tmpfs", 0, "mode=0700,size=16m"); err != nil {
		return err
	}
	if err := unix.Mount("", ownMounts, "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Unshare gave the thread a working directory of its own, too.
	return unix.Chdir(ownMounts)
}

// do runs a job on the mount namespace's thread.
func (m *mountNamespace) do(job func() error) error {
	result := make(chan error, 1)
	select {
	case m.jobs <- func() { result <- job() }:
		return <-result
	case <-m.done:
		return errClosed
	}
}

// stagingMount is where the root file system of one sandbox is assembled. It is
// made ahead of time, with all that does not depend on the image.
//
//	<name>/layers  all unpacked layers there are, in the sandbox's ids
//	<name>/disk    the sandbox's writable space
//	<name>/root    where the root file system is mounted for a moment
type stagingMount struct {
	mounts *mountNamespace
	name   string
}

// stage makes a staging mount of two detached mounts, which the caller closes.
func (m *mountNamespace) stage(name string, layers, disk *os.File) (*stagingMount, error) {
	s := &stagingMount{m, name}
	err := m.do(func() error {
		if err := s.mount(layers, disk); err != nil {
			s.clear()
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("set up for the root file system of sandbox %s: %w", name, err)
	}
	return s, nil
}

func (s *stagingMount) mount(layers, disk *os.File) error {
	if err := unix.Mkdir(s.name, 0o700); err != nil {
		return err
	}
	// One mount holds the others, so that one call clears them all: every call
	// waits for all processors.
	if err := unix.Mount("tmpfs", s.name, "tmpfs", 0, "mode=0700,size=4k"); err != nil {
		return err
	}
	for _, dir := range []string{"/layers", "/disk", "/root"} {
		if err := unix.Mkdir(s.name+dir, 0o700); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(int(layers.Fd()), "", unix.AT_FDCWD, s.name+"/layers", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the layers: %w", err)
	}
	if err := unix.MoveMount(int(disk.Fd()), "", unix.AT_FDCWD, s.name+"/disk", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	return nil
}

func (s *stagingMount) clear() {
	// Either fails only if there is nothing to do.
	unix.Unmount(s.name, unix.MNT_DETACH)
	unix.Rmdir(s.name)
}

// close clears the staging mount. What was assembled there stays.
func (s *stagingMount) close() error {
	return s.mounts.do(func() error {
		s.clear()
		return nil
	})
}

// assemble returns a root file system as a detached mount: the layers under the
// disk. Layers are paths below the layers' directory, top first.
func (s *stagingMount) assemble(layers []string) (root *os.File, err error) {
	err = s.mounts.do(func() error {
		lowers := make([]string, len(layers))
		for i, l := range layers {
			lowers[i] = filepath.Join("layers", l)
		}
		root, err = s.overlay(lowers, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the root file system of sandbox %s: %w", s.name, err)
	}
	return root, nil
}

// overlay mounts the layers, directories below the staging mount, under the disk,
// and returns the mount detached. The caller may mount more in it.
func (s *stagingMount) overlay(layers []string, more func(root int) error) (*os.File, error) {
	lowers, done, err := s.descriptors(layers)
	if err != nil {
		return nil, err
	}
	defer done()
	target := s.name + "/root"
	// volatile: nothing is synced, since nothing outlives the instance. The last
	// two options ignore attributes by which a layer could point elsewhere.
	options := "lowerdir=" + lowers + ",upperdir=" + s.name + "/disk/upper,workdir=" + s.name + "/disk/work" +
		",volatile,redirect_dir=nofollow,metacopy=off"
	if err := unix.Mount("overlay", target, "overlay", unix.MS_NODEV, options); err != nil {
		return nil, err
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	if more != nil {
		if err := s.into(target, more); err != nil {
			return nil, err
		}
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, target, unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "root file system of "+s.name), nil
}

// descriptors opens layers, directories below the staging mount, and returns the value
// of overlayfs's option for them. The kernel takes a page of options at most, and
// digests are long: descriptors name them.
func (s *stagingMount) descriptors(layers []string) (option string, done func(), err error) {
	var names []string
	var fds []int
	done = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for _, layer := range layers {
		fd, err := unix.Open(filepath.Join(s.name, layer), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			done()
			return "", nil, fmt.Errorf("open layer %s: %w", layer, err)
		}
		fds = append(fds, fd)
		names = append(names, "/proc/self/fd/"+strconv.Itoa(fd))
	}
	return strings.Join(names, ":"), done, nil
}

// into calls f with a mounted directory.
func (s *stagingMount) into(target string, f func(root int) error) error {
	fd, err := unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// mappedTree returns a directory, or a file, as a detached mount whose ids are
// mapped to those of a user namespace. It is read-only unless write is set.
func mappedTree(dir string, userns *os.File, write bool) (*os.File, error) {
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
	if write {
		attr.Attr_set &^= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		tree.Close()
		return nil, fmt.Errorf("map the ids of %s (needs Linux 5.19 and a file system that can, such as ext4, xfs or btrfs): %w", dir, err)
	}
	return tree, nil
}
