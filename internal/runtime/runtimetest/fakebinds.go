package runtimetest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

// bindsOf returns binds that all have a source: what is to be in memory, or of several
// layers, is made in a directory.
func bindsOf(binds []runtime.Bind, dir string) (list []runtime.Bind, err error) {
	for i, b := range binds {
		at := filepath.Join(dir, strconv.Itoa(i))
		switch {
		case b.Memory != nil:
			b.Source, err = at, makeMemory(at, *b.Memory)
			b.Write = b.Write || !b.Memory.File
		case len(b.Layers) > 0:
			if err = mergeLayers(b.Layers, at); err != nil {
				return nil, err
			}
			b.Source = at + path.Join("/", b.Path)
			err = isIn(at, b.Path)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

// isIn refuses a path that leads out of a directory, or to nothing in it.
func isIn(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = root.Stat(path.Join(".", name))
	return err
}

func makeMemory(at string, m runtime.Memory) error {
	if m.File {
		return errors.Join(os.WriteFile(at, m.Data, 0o600), os.Lchown(at, m.UID, m.GID), os.Chmod(at, m.Mode))
	}
	if m.Mode == 0 {
		m.Mode = 0o777 | fs.ModeSticky
	}
	return errors.Join(os.Mkdir(at, 0o700), os.Lchown(at, m.UID, m.GID), os.Chmod(at, m.Mode))
}

// mergeLayers copies layers, top first, over one another.
func mergeLayers(layers []string, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for i := len(layers) - 1; i >= 0; i-- {
		if err := mergeLayer(layers[i], to); err != nil {
			return err
		}
	}
	return nil
}

func mergeLayer(layer, to string) error {
	return filepath.WalkDir(layer, func(from string, e fs.DirEntry, err error) error {
		if err != nil || from == layer {
			return err
		}
		at := to + strings.TrimPrefix(from, layer)
		var st unix.Stat_t
		if err := unix.Lstat(from, &st); err != nil {
			return err
		}
		opaque := false
		if e.IsDir() {
			if opaque, err = pack.IsOpaque(from); err != nil {
				return err
			}
		}
		if !e.IsDir() || opaque {
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
		switch {
		case pack.IsWhiteout(&st):
			return nil
		case e.IsDir():
			err = os.MkdirAll(at, 0o755)
		case e.Type()&fs.ModeSymlink != 0:
			target, lerr := os.Readlink(from)
			return errors.Join(lerr, os.Symlink(target, at))
		default:
			text, rerr := os.ReadFile(from)
			err = errors.Join(rerr, os.WriteFile(at, text, 0o600))
		}
		return errors.Join(err, os.Lchown(at, int(st.Uid), int(st.Gid)), os.Chmod(at, e.Type().Perm()|fs.FileMode(st.Mode&0o777)))
	})
}
