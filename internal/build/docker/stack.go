package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
)

// stack is the files of a step: layers over a base image. The zero stack has no files.
type stack struct {
	base   string        // manifest digest of the base image; "" for none
	under  []string      // directories of its layers, top first
	layers []cache.Layer // over it, lowest first
}

// over returns the stack with a layer over it.
func (s stack) over(l cache.Layer) stack {
	if l.Dir == "" {
		return s
	}
	s.layers = append(slices.Clip(s.layers), l)
	return s
}

// dirs returns the directories of the layers, top first. One that occurs twice is
// returned at its uppermost place, as overlayfs demands.
func (s stack) dirs() []string {
	var dirs []string
	for _, l := range slices.Backward(s.layers) {
		if !slices.Contains(dirs, l.Dir) {
			dirs = append(dirs, l.Dir)
		}
	}
	return append(dirs, s.under...)
}

// own returns those of the directories that are not the base image's.
func (s stack) own() []string {
	dirs := s.dirs()
	return dirs[:len(dirs)-len(s.under)]
}

// result copies the layers for the image: an image store moves them, and the cache keeps
// them. The copies are links.
func (b *build) result(ctx context.Context, st stack) (list []image.NewLayer, err error) {
	dir := filepath.Join(b.Dir, "result")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for i, l := range st.layers {
		to := filepath.Join(dir, strconv.Itoa(i))
		if err := link(ctx, l.Dir, to); err != nil {
			return nil, fmt.Errorf("copy a layer: %w", err)
		}
		list = append(list, image.NewLayer{Dir: to, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: l.By})
	}
	return list, nil
}

// link copies a layer whose files nobody changes: directories are made, all else is
// linked.
func link(ctx context.Context, from, to string) error {
	type made struct {
		path string
		st   unix.Stat_t
	}
	var dirs []made
	err := filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		at := to + strings.TrimPrefix(name, from)
		if !e.IsDir() {
			return os.Link(name, at)
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: name, Err: err}
		}
		dirs = append(dirs, made{at, st})
		return linkDir(name, at, &st)
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(dirs) { // what is made in a directory changes its time
		at := []unix.Timespec{d.st.Mtim, d.st.Mtim}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, d.path, at, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "set the time of", Path: d.path, Err: err}
		}
	}
	return nil
}

// linkDir makes a directory that looks like another.
func linkDir(from, to string, st *unix.Stat_t) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	opaque, err := pack.IsOpaque(from)
	if err != nil {
		return err
	}
	if opaque {
		if err := pack.SetOpaque(to); err != nil {
			return err
		}
	}
	list, err := pack.Attributes(from)
	if err != nil {
		return err
	}
	for name, value := range list {
		if err := unix.Lsetxattr(to, name, []byte(value), 0); err != nil {
			return &os.PathError{Op: "set attribute " + name + " of", Path: to, Err: err}
		}
	}
	return errors.Join(os.Lchown(to, int(st.Uid), int(st.Gid)), unix.Chmod(to, st.Mode&0o7777))
}

// maxLinks is how many links a path may lead through.
const maxLinks = 40

// realPath returns a path of a root file system without links: what it is when links are
// followed in the root. What does not exist has no links. Layers are directories, top
// first.
func realPath(layers []string, name string) (string, error) {
	rest := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at, here := "/", layers
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			back := strings.Split(strings.Trim(path.Dir(at), "/"), "/")
			at, here, rest = "/", layers, append(back, rest...)
			continue
		}
		next, target, err := look(here, path.Join(at, part))
		if err != nil {
			return "", err
		}
		if target == "" {
			at, here = path.Join(at, part), next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", name, unix.ELOOP)
		}
		to := strings.Split(strings.Trim(target, "/"), "/")
		if path.IsAbs(target) {
			at, here = "/", layers
		}
		rest = append(to, rest...)
	}
	return at, nil
}

// look finds an entry of a directory that the layers have, top first. It returns the
// layers that have the entry as a directory, or where the entry leads to if it is a link.
func look(layers []string, name string) (dirs []string, target string, err error) {
	for _, dir := range layers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, "", err
		}
		st, err := root.Lstat(strings.TrimPrefix(name, "/"))
		if err == nil && st.Mode()&fs.ModeSymlink != 0 {
			target, err = root.Readlink(strings.TrimPrefix(name, "/"))
		}
		root.Close()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, "", err
		case st.Mode()&fs.ModeSymlink != 0 && len(dirs) == 0:
			return nil, target, nil
		case !st.IsDir():
			return dirs, "", nil // a file, a deleted one, or a link below a directory: nothing below shows
		}
		dirs = append(dirs, dir)
		if opaque, err := pack.IsOpaque(dir + name); err != nil || opaque {
			return dirs, "", err
		}
	}
	return dirs, "", nil
}
