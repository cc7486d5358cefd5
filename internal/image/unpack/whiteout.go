package unpack

import (
	"archive/tar"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"

	opaqueXattr = "trusted.overlay.opaque"
)

// whiteoutDir reports whether dir is inside an AUFS metadata directory.
func whiteoutDir(dir string) bool {
	return strings.HasPrefix(dir, whiteoutMeta) || strings.Contains(dir, "/"+whiteoutMeta)
}

// whiteout handles the entry ".wh.<name>" in parent: it hides <name> of the
// layers below, or all their entries.
func (t *tree) whiteout(h *tar.Header, parent int, base string) error {
	if base == whiteoutOpaque {
		fd, err := unix.Openat(parent, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := t.removeCopies(fd, func(entryKey) bool { return true }); err != nil {
			return err
		}
		return setOpaque(fd)
	}
	name := strings.TrimPrefix(base, whiteoutPrefix)
	if name == "" || name == "." || name == ".." {
		return refuse(h.Name, "is a whiteout without a name")
	}
	if err := t.removeCopies(parent, func(p entryKey) bool { return p.base == name }); err != nil {
		return err
	}
	err := unix.Mknodat(parent, name, unix.S_IFCHR, 0)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	return t.hideBelow(parent, name)
}

// removeCopies removes files copied up from lower layers that are in the
// directory parent only for the sake of their other names.
func (t *tree) removeCopies(parent int, which func(entryKey) bool) error {
	if len(t.copiedUp) == 0 {
		return nil
	}
	here, err := entryKeyOf(parent, "")
	if err != nil {
		return err
	}
	for p := range t.copiedUp {
		if p.dir != here.dir || !which(p) {
			continue
		}
		delete(t.copiedUp, p)
		if err := unix.Unlinkat(parent, p.base, 0); err != nil {
			return err
		}
	}
	return nil
}

// forgetCopy forgets that base was copied up: an entry of this layer replaces
// it.
func (t *tree) forgetCopy(parent int, base string) error {
	if len(t.copiedUp) == 0 {
		return nil
	}
	at, err := entryKeyOf(parent, base)
	delete(t.copiedUp, at)
	return err
}

// hideBelow is a whiteout of a name that this layer has as well. A whiteout
// hides only lower layers, in whichever order the tar has the two. A file hides
// them anyway; a directory must be made opaque.
func (t *tree) hideBelow(parent int, name string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return setOpaque(fd)
}

func setOpaque(fd int) error {
	return unix.Fsetxattr(fd, opaqueXattr, []byte("y"), 0)
}

func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}
