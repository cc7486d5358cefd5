package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// assembleJob returns a job's root file system with its binds as a detached mount.
func (s *sandbox) assembleJob(root *jobRoot, binds []runtime.Bind) (*os.File, error) {
	a := &assembly{stagingMount: s.staging, owner: s.factory.firstID(slotOf(s.name))}
	defer a.close()
	over, err := a.mapLayers(root.over, s.userns)
	if err != nil {
		return nil, err
	}
	for _, b := range binds {
		p := part{Bind: b}
		switch {
		case b.Source != "":
			p.file, p.dir, err = a.mapSource(b, s.userns)
		case len(b.Layers) > 0:
			p.layers, err = a.mapLayers(b.Layers, s.userns)
		}
		if err != nil {
			return nil, fmt.Errorf("bind %s: %w", b.Target, err)
		}
		a.parts = append(a.parts, p)
	}
	return a.assemble(over, root.layers)
}

// assembly is a root file system being assembled for a job.
type assembly struct {
	*stagingMount
	owner int // the host's id of the sandbox's root
	parts []part
	open  []*os.File // closed at the end
	dirs  int        // made so far, for their names
}

// part is a bind, and what it needs.
type part struct {
	runtime.Bind
	file   *os.File   // the detached mount of a source
	dir    bool       // the source is a directory, not a file
	layers []*os.File // detached mounts, top first
}

func (a *assembly) close() {
	for _, f := range a.open {
		f.Close()
	}
}

// mapLayers returns directories as detached mounts with the sandbox's ids.
func (a *assembly) mapLayers(dirs []string, userns *os.File) (files []*os.File, err error) {
	for _, dir := range dirs {
		f, err := mappedTree(dir, userns, false)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", dir, err)
		}
		files, a.open = append(files, f), append(a.open, f)
	}
	return files, nil
}

func (a *assembly) mapSource(b runtime.Bind, userns *os.File) (f *os.File, dir bool, err error) {
	st, err := os.Stat(b.Source)
	if err != nil {
		return nil, false, err
	}
	if f, err = mappedTree(b.Source, userns, b.Write); err != nil {
		return nil, false, err
	}
	a.open = append(a.open, f)
	return f, st.IsDir(), nil
}

// assemble is stagingMount.assemble with more layers over those of the image, and with
// mounts in it.
func (a *assembly) assemble(over []*os.File, layers []string) (root *os.File, err error) {
	err = a.mounts.do(func() error {
		lowers, err := a.mountLayers(over)
		if err != nil {
			return err
		}
		for _, l := range layers {
			lowers = append(lowers, filepath.Join("layers", l))
		}
		for i := range a.parts {
			if err := a.prepare(&a.parts[i]); err != nil {
				return fmt.Errorf("bind %s: %w", a.parts[i].Target, err)
			}
		}
		root, err = a.overlay(lowers, a.bindAll)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the root file system of sandbox %s: %w", a.name, err)
	}
	return root, nil
}

// mountLayers mounts layers in the staging mount and returns their names there.
func (a *assembly) mountLayers(layers []*os.File) (names []string, err error) {
	for _, f := range layers {
		name, err := a.mkdir("layer")
		if err != nil {
			return nil, err
		}
		if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, a.name+"/"+name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return nil, fmt.Errorf("mount a layer: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

// mkdir makes a directory of a new name in the staging mount.
func (a *assembly) mkdir(kind string) (string, error) {
	name := kind + strconv.Itoa(a.dirs)
	a.dirs++
	return name, unix.Mkdir(a.name+"/"+name, 0o700)
}

// prepare makes what a part binds, as a detached mount, unless it has that already.
func (a *assembly) prepare(p *part) (err error) {
	switch {
	case p.Memory != nil:
		err = a.memory(p)
	case len(p.layers) > 0:
		err = a.files(p)
	}
	return err
}

// files prepares a part of layers.
func (a *assembly) files(p *part) error {
	lowers, err := a.mountLayers(p.layers)
	if err != nil {
		return err
	}
	from := lowers[0]
	if len(lowers) > 1 || p.Write { // a single layer that is only read needs no overlay
		if from, err = a.merge(lowers, p.Write); err != nil {
			return err
		}
	}
	top, err := unix.Open(a.name+"/"+from, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(top, path.Join(".", p.Path), &how)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join("/", p.Path), err)
	}
	defer unix.Close(fd)
	return a.take(p, fd, "")
}

// take makes a detached mount of a mounted file or directory the part's own.
func (a *assembly) take(p *part, at int, name string) error {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(at, name, flags)
	if err != nil {
		return err
	}
	p.file = os.NewFile(uintptr(fd), p.Target)
	a.open = append(a.open, p.file)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	p.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !p.dir && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it is neither a directory nor a file")
	}
	return nil
}

// merge mounts layers over one another and returns the name of the mount.
func (a *assembly) merge(lowers []string, write bool) (string, error) {
	target, err := a.mkdir("merged")
	if err != nil {
		return "", err
	}
	options, flags := "", uintptr(unix.MS_NODEV|unix.MS_NOSUID)
	if write {
		dir := a.name + "/disk/" + target
		for _, d := range []string{dir, dir + "/upper", dir + "/work"} {
			if err := unix.Mkdir(d, 0o755); err != nil {
				return "", err
			}
		}
		if err := unix.Lchown(dir+"/upper", a.owner, a.owner); err != nil {
			return "", err
		}
		options = ",upperdir=" + dir + "/upper,workdir=" + dir + "/work,volatile"
	} else {
		flags |= unix.MS_RDONLY
	}
	names, close, err := a.descriptors(lowers)
	if err != nil {
		return "", err
	}
	defer close()
	err = unix.Mount("overlay", a.name+"/"+target, "overlay", flags, "lowerdir="+names+options+",redirect_dir=nofollow,metacopy=off")
	return target, err
}

// memory prepares a part in memory.
func (a *assembly) memory(p *part) error {
	m := p.Memory
	mode := uint32(m.Mode.Perm())
	if m.Mode&fs.ModeSticky != 0 {
		mode |= unix.S_ISVTX
	}
	target, err := a.mkdir("memory")
	if err != nil {
		return err
	}
	at := a.name + "/" + target
	options := "mode=0755"
	switch {
	case m.File:
		options += ",size=" + strconv.Itoa(maxMemoryFile+1<<16)
	default:
		if mode == 0 {
			mode = 0o1777
		}
		options = fmt.Sprintf("mode=%o,uid=%d,gid=%d", mode, a.owner+m.UID, a.owner+m.GID)
		if m.Size > 0 {
			options += ",size=" + strconv.FormatInt(m.Size, 10)
		}
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		return err
	}
	if !m.File {
		return a.take(p, unix.AT_FDCWD, at)
	}
	if err := writeMemory(at+"/file", m.Data, mode, a.owner+m.UID, a.owner+m.GID); err != nil {
		return err
	}
	if err := a.take(p, unix.AT_FDCWD, at+"/file"); err != nil || p.Write {
		return err
	}
	return unix.MountSetattr(int(p.file.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

func writeMemory(name string, data []byte, mode uint32, uid, gid int) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chown(uid, gid), unix.Fchmod(int(f.Fd()), mode), f.Close())
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

// bindAll mounts the parts at their targets in a root file system. The image may be
// hostile: a target that leads through a symbolic link is refused.
func (a *assembly) bindAll(root int) error {
	for _, p := range a.parts {
		at, err := mountPoint(root, strings.TrimPrefix(p.Target, "/"), p.dir, a.owner)
		if err != nil {
			return fmt.Errorf("bind %s: %w", p.Target, err)
		}
		err = unix.MoveMount(int(p.file.Fd()), "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		unix.Close(at)
		if err != nil {
			return fmt.Errorf("bind %s: %w", p.Target, err)
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
