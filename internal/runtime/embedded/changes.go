package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

// takeChanges copies what the job changed to where its specification says. The
// copy has the image's ids and nothing that overlayfs left for itself. (A disk is
// a file system of its own, or under a quota of its own: its directory cannot be
// renamed out of it.)
func (j *job) takeChanges(ctx context.Context) (*runtime.JobLayer, error) {
	if pids, err := j.group.Procs(); err != nil || len(pids) > 0 {
		return nil, errors.Join(fmt.Errorf("%d of its processes are still there", len(pids)), err)
	}
	to := path.Join(j.dir, fileChanges)
	c := &changes{
		ctx: ctx, from: "/proc/self/fd/" + strconv.Itoa(int(j.upper.Fd())), to: to,
		firstID: j.sandbox.factory.firstID(slotOf(j.sandbox.name)),
		links:   map[inode]string{},
		mounted: mountPoints(j.want.Binds),
	}
	defer c.close()
	if err := c.copy(j.root.lowers); err != nil {
		return nil, fmt.Errorf("keep its changes: %w", err)
	}
	l, err := pack.Digest(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("keep its changes: %w", err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, to, unix.AT_FDCWD, j.want.Changes, unix.RENAME_NOREPLACE); err != nil {
		return nil, fmt.Errorf("keep its changes: %w", &os.LinkError{Op: "rename", Old: to, New: j.want.Changes, Err: err})
	}
	return &runtime.JobLayer{DiffID: l.DiffID, Size: l.Size, Entries: l.Entries}, nil
}

// mountPoints returns the paths at which something is mounted, or replaced by the
// init, with the directories above them: what of them is in the upper directory
// was not the job's doing. The value is true for the paths themselves.
func mountPoints(binds []runtime.Bind) map[string]bool {
	points := map[string]bool{
		"proc": true, "sys": true, "dev": true,
		"etc/hosts": true, "etc/hostname": true, "etc/resolv.conf": true, "etc": false,
	}
	for _, b := range binds {
		name := strings.TrimPrefix(b.Target, "/")
		points[name] = true
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := points[dir]; !ok {
				points[dir] = false
			}
		}
	}
	return points
}

// changes copies the upper directory of an overlay. Nothing changes it meanwhile,
// and the walk follows no link, so paths lead where they seem to.
type changes struct {
	ctx      context.Context //nolint:containedctx // lives for one copy
	from, to string
	firstID  int        // of the host, for id 0
	lowers   []*os.Root // the layers below, top first
	links    map[inode]string
	mounted  map[string]bool // see mountPoints
}

func (c *changes) close() {
	for _, r := range c.lowers {
		r.Close()
	}
}

func (c *changes) copy(lowers []string) error {
	for _, dir := range lowers {
		r, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		c.lowers = append(c.lowers, r)
	}
	if err := os.Mkdir(c.to, 0o755); err != nil {
		return err
	}
	_, err := c.children("")
	return err
}

// children copies what is in a directory, "" for the root, and reports how much.
func (c *changes) children(name string) (entries int, err error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	list, err := os.ReadDir(c.from + "/" + name)
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		copied, err := c.entry(path.Join(name, e.Name()))
		if err != nil {
			return entries, err
		}
		if copied {
			entries++
		}
	}
	return entries, nil
}

// entry copies one entry, unless it is no change.
func (c *changes) entry(name string) (copied bool, err error) {
	from, to := c.from+"/"+name, c.to+"/"+name
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return false, &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	if pack.IsWhiteout(&st) {
		return true, unix.Mknod(to, unix.S_IFCHR, 0)
	}
	point, known := c.mounted[name]
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.directory(name, &st, known)
	case unix.S_IFREG:
		if point {
			return false, nil
		}
	case unix.S_IFLNK, unix.S_IFIFO:
	default:
		return false, nil // a socket: it belongs to a process that is gone
	}
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, seen := c.links[id]; seen {
			return true, os.Link(c.to+"/"+first, to)
		}
		c.links[id] = name
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = c.file(from, to)
	case unix.S_IFLNK:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	case unix.S_IFIFO:
		err = unix.Mkfifo(to, 0o600)
	}
	if err == nil {
		err = c.finish(from, to, &st)
	}
	return true, err
}

// file copies a regular file's contents.
func (c *changes) file(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// directory copies a directory and what is in it. A mount point, or a directory on
// the way to one, is no change if nothing is in it and it looks as below.
func (c *changes) directory(name string, st *unix.Stat_t, mounted bool) (copied bool, err error) {
	from, to := c.from+"/"+name, c.to+"/"+name
	below, found := c.below(name)
	opaque, err := pack.IsOpaque(from)
	if err != nil {
		return false, &os.PathError{Op: "getxattr", Path: name, Err: err}
	}
	// The kernel also sets the attribute where there is nothing to hide.
	opaque = opaque && found
	if err := os.Mkdir(to, 0o700); err != nil {
		return false, err
	}
	entries, err := c.children(name)
	if err != nil {
		return false, err
	}
	if mounted && entries == 0 && !opaque && c.owner(st.Uid) == below.uid && c.owner(st.Gid) == below.gid && st.Mode&0o7777 == below.mode {
		return false, os.Remove(to)
	}
	if opaque {
		if err := pack.SetOpaque(to); err != nil {
			return false, err
		}
	}
	return true, c.finish(from, to, st)
}

// look is what a directory looks like.
type look struct {
	mode     uint32
	uid, gid int
}

// below returns what the uppermost lower layer has of a name, and whether one has
// it. Where none does, it returns what mount points are made with.
func (c *changes) below(name string) (l look, found bool) {
	for _, r := range c.lowers {
		info, err := r.Lstat(name)
		if err != nil {
			continue
		}
		if info.Mode()&fs.ModeCharDevice != 0 {
			break // a whiteout hides what is below it
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return look{uint32(st.Mode & 0o7777), int(st.Uid), int(st.Gid)}, true
		}
	}
	return look{mode: 0o755}, false
}

// owner translates an id of the host to one of the image. An id that the sandbox
// does not have becomes nobody (65534).
func (c *changes) owner(id uint32) int {
	const nobody = 65534
	if n := int(id) - c.firstID; n >= 0 && n < idsPerSandbox {
		return n
	}
	return nobody
}

// finish gives a copy the owner, mode, attributes and time of the original.
func (c *changes) finish(from, to string, st *unix.Stat_t) error {
	if err := os.Lchown(to, c.owner(st.Uid), c.owner(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: to, Err: err}
		}
	}
	list, err := pack.Attributes(from)
	if err != nil {
		return &os.PathError{Op: "read the attributes of", Path: from, Err: err}
	}
	for name, value := range list {
		if err := unix.Lsetxattr(to, name, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return &os.PathError{Op: "set attribute " + name + " of", Path: to, Err: err}
		}
	}
	modified := unix.Timespec{Sec: st.Mtim.Sec}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{modified, modified}, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "set the time of", Path: to, Err: err}
	}
	return nil
}
