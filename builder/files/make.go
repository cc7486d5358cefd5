package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/sys/user"
	copier "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// owner returns who gets what is made; nil if nobody was named. A name without an
// account means root, as with BuildKit.
func owner(o *graph.Owner) (*copier.User, error) {
	if o == nil {
		return nil, nil
	}
	var u copier.User
	if o.User != "" {
		if n, err := strconv.ParseUint(o.User, 10, 31); err == nil {
			u.UID, u.GID = int(n), int(n)
		} else if list, err := accounts("/etc/passwd", func(r io.Reader) ([]user.User, error) {
			return user.ParsePasswdFilter(r, func(a user.User) bool { return a.Name == o.User })
		}); err != nil {
			return nil, err
		} else if len(list) > 0 {
			u.UID, u.GID = list[0].Uid, list[0].Gid
		}
	}
	if o.Group != "" {
		if n, err := strconv.ParseUint(o.Group, 10, 31); err == nil {
			u.GID = int(n)
		} else if list, err := accounts("/etc/group", func(r io.Reader) ([]user.Group, error) {
			return user.ParseGroupFilter(r, func(a user.Group) bool { return a.Name == o.Group })
		}); err != nil {
			return nil, err
		} else if len(list) > 0 {
			u.GID = list[0].Gid
		}
	}
	if u.UID >= ids || u.GID >= ids {
		return nil, fmt.Errorf("the owner %d:%d is outside of the %d ids that build steps have", u.UID, u.GID, ids)
	}
	return &u, nil
}

// ids is how many users and groups a sandbox has.
const ids = 65536

// maxAccounts bounds a file of accounts, in bytes.
const maxAccounts = 10 << 20

// accounts reads a file of accounts; a root without one has none.
func accounts[T any](path string, parse func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxAccounts {
		return nil, fmt.Errorf("%s cannot be read: it is no file of a common size", path)
	}
	return parse(f)
}

// chowner returns the function by which BuildKit's copier asks for the owner of a copy:
// with nobody named, files keep theirs, and new directories belong to root.
func chowner(u *copier.User) copier.Chowner {
	return func(old *copier.User) (*copier.User, error) {
		if u == nil {
			return old, nil
		}
		return u, nil
	}
}

// at returns a time of an action; nil leaves it as it is.
func at(ns int64) *time.Time {
	if ns == graph.NoTime {
		return nil
	}
	t := time.Unix(0, ns)
	return &t
}

func makeDir(m graph.Make, u *copier.User) error {
	p := filepath.Join("/", m.Path)
	mode := os.FileMode(m.Mode) & 0o777
	if m.Parents {
		_, err := copier.MkdirAll(p, mode, chowner(u), at(m.Time))
		return err
	}
	if err := os.Mkdir(p, mode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return finish(p, m, u)
}

// makeFile writes a file beside its place and renames it there: what is in its place is
// never opened.
func makeFile(m graph.Make, u *copier.User) error {
	p := filepath.Join("/", m.Path)
	if p == "/" {
		return errors.New("a file cannot be written to /")
	}
	f, err := os.CreateTemp(filepath.Dir(p), ".slipway-*")
	if err != nil {
		return err
	}
	_, err = f.Write(m.Data)
	err = errors.Join(err, f.Chmod(os.FileMode(m.Mode)&0o777), f.Close())
	if err == nil {
		err = finish(f.Name(), m, u)
	}
	if err == nil {
		err = os.Rename(f.Name(), p)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func makeLink(m graph.Make, u *copier.User) error {
	p := filepath.Join("/", m.Path)
	if err := os.Symlink(m.To, p); err != nil {
		return err
	}
	return finish(p, m, u)
}

// finish sets the owner and the time of what was made.
func finish(p string, m graph.Make, u *copier.User) error {
	if err := copier.Chown(p, nil, chowner(u)); err != nil {
		return err
	}
	return copier.Utimes(p, at(m.Time))
}

func remove(m graph.Make) error {
	list := []string{m.Path}
	if m.Wildcard {
		var err error
		if list, err = copier.ResolveWildcards("/", filepath.Join("/", m.Path), false); err != nil {
			return err
		}
	}
	for _, name := range list {
		p := filepath.Join("/", name)
		if p == "/" {
			return errors.New("/ cannot be removed")
		}
		if _, err := os.Lstat(p); err != nil && !m.Missing {
			return err
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}
