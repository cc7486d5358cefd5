package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// writeFile replaces the file at path with content, atomically and durably. The
// directory must exist.
func (s *Store) writeFile(path string, content []byte) error {
	if err := errors.Join(s.makeWay(path), atomicfile.WriteVia(s.path("tmp"), path, content, 0o600)); err != nil {
		return s.explain(err)
	}
	return nil
}

// readFile reads a file. The error is fs.ErrNotExist only if there is nothing of that name.
func readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	return b, unlessMissing(path, err)
}

// unlessMissing returns the error of opening a path. A link to nothing is not missing: it is
// something else than what should be there.
func unlessMissing(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if target, lerr := os.Readlink(path); lerr == nil {
		return fmt.Errorf("%s is a link to %s, which does not exist", path, target)
	}
	return err
}

// exists reports whether path exists.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// touch marks the file as used now and reports whether it exists.
func touch(path string) (bool, error) {
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readDir returns the names in a directory in order, none if it does not exist.
func readDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}
