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

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
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
		ctx: ctx, from: "/proc/self/fd/" + strconv.Itoa(int(j.upper.Fd())), to: to, left: j.sandbox.disk,
		ids:     handoff.IDMaps(uint32(j.sandbox.factory.firstID(slotOf(j.sandbox.name)))),
		links:   map[inode]string{},
		mounted: mountPoints(j.want.Binds),
	}
	defer c.close()
	if err := c.copy(j.root.lowers); err != nil {
		return nil, fmt.Errorf("keep its changes: %w", err)
	}
	l := pack.Layer{Entries: min(c.entries, 1)}
	if !j.want.Unidentified {
		var err error
		if l, err = pack.Digest(ctx, to); err != nil {
			return nil, fmt.Errorf("keep its changes: %w", err)
		}
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

// The link that the init makes where an image has none: no change, whoever made it.
const mtab, mtabTarget = "etc/mtab", "/proc/mounts"

// errLargerThanDisk is returned for files that have more bytes than the disk that they
// are on: they have holes, which no layer has.
var errLargerThanDisk = errors.New("the changes have more bytes than the disk")

// copiers is how many files are copied at once: most of the time goes into making them.
const copiers = 4

// changes copies the upper directory of an overlay. Nothing changes it meanwhile,
// and the walk follows no link, so paths lead where they seem to.
//
// The walk makes directories and all else that is small. Several goroutines copy the
// contents of regular files meanwhile. What depends on these comes last: further names
// of files, and the attributes of directories, whose times change with what is made in
// them.
type changes struct {
	ctx      context.Context //nolint:containedctx // lives for one copy
	from, to string
	left     int64 // bytes that files may still have
	ids      []handoff.IDMap
	lowers   []*os.Root // the layers below, top first
	links    map[inode]string
	mounted  map[string]bool // see mountPoints

	entries  int // of the root
	files    chan entry
	further  [][2]string // first name and another one of the same file
	finished []entry     // directories, each after those in it
}

// entry is a file or a directory to copy.
type entry struct {
	name   string
	st     unix.Stat_t
	opaque bool // a directory that hides what is below it
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
	if err := c.copyFiles(); err != nil {
		return err
	}
	for _, names := range c.further {
		if err := os.Link(c.to+"/"+names[0], c.to+"/"+names[1]); err != nil {
			return err
		}
	}
	for _, d := range c.finished {
		from, to := c.from+"/"+d.name, c.to+"/"+d.name
		if d.opaque {
			if err := pack.SetOpaque(to); err != nil {
				return err
			}
		}
		if err := c.finish(from, to, &d.st); err != nil {
			return err
		}
	}
	return nil
}

// copyFiles walks, and copies regular files meanwhile.
func (c *changes) copyFiles() error {
	g, ctx := errgroup.WithContext(c.ctx)
	c.ctx, c.files = ctx, make(chan entry, 2*copiers)
	for range copiers {
		g.Go(func() error {
			buffer := make([]byte, 256<<10)
			for e := range c.files {
				if err := c.file(e, buffer); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var err error
	c.entries, err = c.children("")
	close(c.files)
	if failed := g.Wait(); failed != nil {
		return failed // the walk may have ended because of it
	}
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
	case unix.S_IFLNK:
		if name == mtab {
			if target, err := os.Readlink(from); err == nil && target == mtabTarget {
				return false, nil
			}
		}
	case unix.S_IFIFO:
	default:
		return false, nil // a socket: it belongs to a process that is gone
	}
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, seen := c.links[id]; seen {
			c.further = append(c.further, [2]string{first, name})
			return true, nil
		}
		c.links[id] = name
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return true, c.queue(entry{name: name, st: st})
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

// queue has a regular file copied.
func (c *changes) queue(e entry) error {
	if c.left -= e.st.Size; c.left < 0 {
		return errLargerThanDisk
	}
	select {
	case c.files <- e:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// file copies a regular file. It makes the calls itself: package os makes several more
// for each file.
func (c *changes) file(e entry, buffer []byte) error {
	from, to := c.from+"/"+e.name, c.to+"/"+e.name
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: e.name, Err: err}
	}
	defer unix.Close(in)
	out, err := unix.Open(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: e.name, Err: err}
	}
	err = copyBytes(out, in, e.st.Size, buffer)
	if cerr := unix.Close(out); err == nil {
		err = cerr
	}
	if err != nil {
		return &os.PathError{Op: "copy", Path: e.name, Err: err}
	}
	return c.finish(from, to, &e.st)
}

// copyBytes copies so many bytes.
func copyBytes(out, in int, size int64, buffer []byte) error {
	for size > 0 {
		n, err := unix.Read(in, buffer[:min(int64(len(buffer)), size)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		size -= int64(n)
		for rest := buffer[:n]; len(rest) > 0; {
			n, err := unix.Write(out, rest)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
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
	c.finished = append(c.finished, entry{name, *st, opaque})
	return true, nil
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
	if n, ok := handoff.Inside(c.ids, id); ok {
		return int(n)
	}
	return nobody
}

// finish gives a copy the owner, mode, attributes and time of the original.
func (c *changes) finish(from, to string, st *unix.Stat_t) error {
	// What the daemon makes belongs to root already.
	if uid, gid := c.owner(st.Uid), c.owner(st.Gid); uid != 0 || gid != 0 {
		if err := os.Lchown(to, uid, gid); err != nil {
			return err
		}
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
		if name == pack.AttributeCapability {
			// The instance's kernel wrote whose root gave it.
			var ok bool
			if value, ok = pack.PlainCapability(value, c.ids[0].Host); !ok {
				continue
			}
		}
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
