package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

// jobRoot is what the root file system of a job consists of below its disk.
type jobRoot struct {
	over   []string // directories over the image's layers, absolute, top first
	layers []string // of the image, below the layers' directory, top first
	lowers []string // both, absolute
}

// jobRoot returns the layers of a job's root file system.
func (d *Driver) jobRoot(ctx context.Context, want runtime.JobSpec) (*jobRoot, error) {
	r := &jobRoot{over: want.Layers, lowers: want.Layers[:len(want.Layers):len(want.Layers)]}
	if want.Image != "" {
		var err error
		if r.layers, err = d.layers(ctx, want.Image); err != nil {
			return nil, fmt.Errorf("image %s: %w", want.Image, err)
		}
	}
	for _, l := range r.layers {
		r.lowers = append(r.lowers, filepath.Join(d.cfg.LayerDir, l))
	}
	if len(r.lowers) == 0 {
		return nil, errors.New("it has neither an image nor layers")
	}
	return r, nil
}

// tree is a detached mount and where it goes.
type tree struct {
	*os.File
	target string
	dir    bool // a directory, not a file
}

// assembleJob returns a job's root file system with its binds as a detached mount.
func (s *sandbox) assembleJob(root *jobRoot, binds []runtime.Bind) (*os.File, error) {
	var over, bound []tree
	defer func() {
		for _, t := range append(over, bound...) {
			t.Close()
		}
	}()
	for _, dir := range root.over {
		f, err := mappedTree(dir, s.userns, false)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", dir, err)
		}
		over = append(over, tree{File: f})
	}
	for _, b := range binds {
		st, err := os.Stat(b.Source)
		if err != nil {
			return nil, fmt.Errorf("bind: %w", err)
		}
		f, err := mappedTree(b.Source, s.userns, b.Write)
		if err != nil {
			return nil, fmt.Errorf("bind: %w", err)
		}
		bound = append(bound, tree{File: f, target: b.Target, dir: st.IsDir()})
	}
	return s.staging.assembleJob(over, root.layers, bound, s.factory.firstID(slotOf(s.name)))
}

// assembleJob is assemble with more layers over those of the image, and with
// mounts in it. owner is the host's id of the sandbox's root.
func (s *stagingMount) assembleJob(over []tree, layers []string, bound []tree, owner int) (root *os.File, err error) {
	err = s.mounts.do(func() error {
		var lowers []string
		for i, t := range over {
			dir := "over" + strconv.Itoa(i)
			if err := unix.Mkdir(s.name+"/"+dir, 0o700); err != nil {
				return err
			}
			if err := unix.MoveMount(int(t.Fd()), "", unix.AT_FDCWD, s.name+"/"+dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
				return fmt.Errorf("mount a layer: %w", err)
			}
			lowers = append(lowers, dir)
		}
		for _, l := range layers {
			lowers = append(lowers, filepath.Join("layers", l))
		}
		root, err = s.overlay(lowers, func(root int) error { return bindAll(root, bound, owner) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the root file system of sandbox %s: %w", s.name, err)
	}
	return root, nil
}

// openUpper opens the directory that takes the changes.
func (s *stagingMount) openUpper() (upper *os.File, err error) {
	err = s.mounts.do(func() error {
		fd, err := unix.Open(s.name+"/disk/upper", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open the disk of sandbox %s: %w", s.name, err)
		}
		upper = os.NewFile(uintptr(fd), "changes of "+s.name)
		return nil
	})
	return upper, err
}

// bindAll mounts trees at their targets in a root file system. The image may be
// hostile: a target that leads through a symbolic link is refused.
func bindAll(root int, bound []tree, owner int) error {
	for _, t := range bound {
		at, err := mountPoint(root, strings.TrimPrefix(t.target, "/"), t.dir, owner)
		if err != nil {
			return fmt.Errorf("bind %s: %w", t.target, err)
		}
		err = unix.MoveMount(int(t.Fd()), "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		unix.Close(at)
		if err != nil {
			return fmt.Errorf("bind %s: %w", t.target, err)
		}
	}
	return nil
}

// mountPoint opens a directory, or a file, below a root. It makes what is missing.
func mountPoint(root int, name string, dir bool, owner int) (fd int, err error) {
	at, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		next, err := mountPointStep(at, part, dir || !last, owner)
		unix.Close(at)
		if err == unix.ELOOP || err == unix.ENOTDIR {
			return -1, fmt.Errorf("/%s is not a %s of the image: %w", path.Join(parts[:i+1]...), kindOf(dir || !last), err)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

func kindOf(dir bool) string {
	if dir {
		return "directory"
	}
	return "file"
}

// mountPointStep opens an entry of a directory, and makes it if it is missing.
func mountPointStep(at int, name string, dir bool, owner int) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if dir {
		how.Flags |= unix.O_DIRECTORY
	}
	fd, err = unix.Openat2(at, name, &how)
	if err == nil && !dir {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			unix.Close(fd)
			return -1, unix.ENOTDIR
		}
	}
	if err != unix.ENOENT {
		return fd, err
	}
	if dir {
		err = unix.Mkdirat(at, name, 0o755)
	} else {
		err = unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
	}
	if err != nil {
		return -1, err
	}
	// The image's root, not the host's.
	if err := unix.Fchownat(at, name, owner, owner, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, err
	}
	return unix.Openat2(at, name, &how)
}
