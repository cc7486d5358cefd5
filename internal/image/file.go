package image

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// writeFile replaces the file at path with content, atomically and durably. The
// directory must exist.
func (s *Store) writeFile(path string, content []byte) error {
	if err := atomicfile.WriteVia(s.path("tmp"), path, content, 0o600); err != nil {
		return s.explain(err)
	}
	return nil
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
