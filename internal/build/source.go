package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
)

// source makes the layer with the source tree in /app.
func (r *run) source(ctx context.Context) (image.NewLayer, error) {
	dir := filepath.Join(r.dir, "source")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return image.NewLayer{}, err
	}
	if err := r.takeTree(ctx, filepath.Join(dir, "app")); err != nil {
		return image.NewLayer{}, err
	}
	if !isDirBelow(dir, r.r.dir()) {
		return image.NewLayer{}, r.noSourceDirectory()
	}
	l, err := pack.Digest(ctx, dir)
	if err != nil {
		return image.NewLayer{}, err
	}
	return image.NewLayer{Dir: dir, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: "slipway build: source"}, nil
}

// takeTree takes the request's source tree as a directory, and cleans it.
func (r *run) takeTree(ctx context.Context, to string) error {
	if st, err := os.Lstat(r.r.Tree); err != nil || !st.IsDir() {
		return errors.Join(errNotTree, err)
	}
	if err := take(r.r.Tree, to); err != nil {
		return fmt.Errorf("take the source tree: %w", err)
	}
	c := cleaner{ctx: ctx, dir: to, at: r.r.Time}
	if err := c.clean(); err != nil {
		return err
	}
	if c.dropped > 0 {
		r.log.say(fmt.Sprintf("Left out of the source: %d device files, pipes or sockets.", c.dropped))
	}
	return nil
}

func (r *run) noSourceDirectory() error {
	return slipway.Errorf(slipway.InvalidRequest,
		"The source directory %q is not a directory of the repository. Correct SourceDirectory.", r.r.SourceDirectory)
}

// isDirBelow reports whether name is a directory below dir, by links that stay there.
func isDirBelow(dir, name string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	st, err := root.Stat(strings.TrimPrefix(name, "/"))
	return err == nil && st.IsDir()
}

// take moves a tree, or copies it from another file system.
func take(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer root.Close()
	return os.CopyFS(to, root.FS())
}

// cleaner makes a source tree a part of a layer: everything belongs to root, nothing is
// a device or has a setuid bit, and all has the commit's time. Nobody else has access
// to the tree, and the walk follows no link, so paths lead where they seem to.
type cleaner struct {
	ctx     context.Context //nolint:containedctx // lives for one walk
	dir     string
	at      time.Time
	dropped int
}

func (c *cleaner) clean() error {
	if err := os.RemoveAll(filepath.Join(c.dir, ".git")); err != nil {
		return err
	}
	// Directories last: their times change with what is removed from them.
	var dirs []string
	err := filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = c.ctx.Err()
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".wh.") {
			return slipway.Errorf(slipway.InvalidRequest, "The source has a file %.100q; names in an image cannot begin with \".wh.\". Rename it.", e.Name())
		}
		if e.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		return c.file(path)
	})
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := c.owner(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) file(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return c.owner(path, 0)
	case unix.S_IFREG:
		return c.owner(path, st.Mode&0o777|0o444)
	}
	c.dropped++
	return os.Remove(path)
}

// owner gives a file to root, and sets its mode (0: leave it) and its time.
func (c *cleaner) owner(path string, mode uint32) error {
	if os.Geteuid() == 0 { // tests run without
		if err := os.Lchown(path, 0, 0); err != nil {
			return err
		}
	}
	if mode != 0 {
		if err := unix.Chmod(path, mode); err != nil {
			return &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	if c.at.IsZero() {
		return nil
	}
	at := unix.NsecToTimespec(c.at.Truncate(time.Second).UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
