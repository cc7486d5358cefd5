// Package atomicfile replaces files atomically and durably: after a crash or a
// power loss a file has either its old content or all of the new.
//
// It is for small files that are written whole: keys, credentials, metadata. It
// does not lock: the last of two concurrent writers wins. Every package may use
// it. github.com/google/renameio does the same but does not sync the directory,
// without which a power loss may undo the rename.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write replaces the file at path with content and gives it the mode; it makes
// the file if there is none. The directory must exist. The content is first
// written to a temporary file beside it, whose name begins with a dot.
func Write(path string, content []byte, mode fs.FileMode) error {
	return WriteVia(filepath.Dir(path), path, content, mode)
}

// WriteVia is Write with the temporary file in the directory temp, which must be
// on the same file system: for directories whose entries all mean something.
func WriteVia(temp, path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(temp, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// SyncDir makes a directory's entries durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
