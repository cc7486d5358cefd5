package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
)

// form is part of every key: another one builds everything again.
const form = 1

// keyOf returns the key of some values.
func keyOf(kind string, values ...any) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s\n", form, kind)
	e := json.NewEncoder(h)
	for _, v := range values {
		if err := e.Encode(v); err != nil { // they are structs of strings and numbers
			panic(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// contents returns a digest of the files below a directory: of their names, contents,
// modes, owners and attributes, and not of their times. Nothing changes them meanwhile,
// and no link is followed.
func contents(ctx context.Context, dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		return describe(h, name, strings.TrimPrefix(name, dir))
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// describe writes to a hash what one file is.
func describe(h hash.Hash, path, name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if name == "" { // the root: a layer says nothing of it
		st.Mode, st.Uid, st.Gid = unix.S_IFDIR, 0, 0
	}
	fmt.Fprintf(h, "%q %o %d:%d ", name, st.Mode, st.Uid, st.Gid)
	attributes, err := pack.Attributes(path)
	if err != nil {
		return err
	}
	for _, a := range slices.Sorted(maps.Keys(attributes)) {
		fmt.Fprintf(h, "%q=%q ", a, attributes[a])
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		opaque, err := pack.IsOpaque(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%t", opaque)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q", target)
	case unix.S_IFREG:
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d ", st.Size)
		n, err := io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if n != st.Size {
			return &os.PathError{Op: "read", Path: path, Err: io.ErrUnexpectedEOF}
		}
	}
	fmt.Fprintln(h)
	return nil
}
