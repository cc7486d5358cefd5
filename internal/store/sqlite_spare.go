package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// Spare is a copy of a database beside it, from before it was migrated: whoever had it
// before goes on with the copy if the program that migrates it does not get to serve. No
// method may be called while somebody has the database open.
type Spare struct {
	database string
	copy     string // whole, and as the database was
	back     string // the copy, while it replaces the database
}

// SpareOf returns the spare of the database at path, which may not be there.
func SpareOf(path string) Spare { return Spare{path, path + ".elder", path + ".back"} }

// Keep copies the database. The disk must have room for it.
func (s Spare) Keep(ctx context.Context) (err error) {
	part := s.copy + ".part"
	if err := remove(part); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("keep the database as it is for the server that runs: %w", err), remove(part))
		}
	}()
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // as it holds keys
	if err != nil {
		return err
	}
	defer f.Close()
	if err := copyTo(ctx, s.database, part); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(part, s.copy)
}

// PutBack has the database be what it was, if a copy was kept.
func (s Spare) PutBack() error {
	err := os.Rename(s.copy, s.back)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Finish()
}

// Finish ends a PutBack that was interrupted, if one was. The journal of the database that
// is replaced must not be applied to the other one, and that one must not be opened without
// its journal. So the copy has a name of its own until the journal is gone.
func (s Spare) Finish() error {
	if _, err := os.Stat(s.back); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dir := filepath.Dir(s.database)
	err := atomicfile.SyncDir(dir)
	for _, suffix := range []string{"-wal", "-shm"} {
		err = errors.Join(err, remove(s.database+suffix))
	}
	if err == nil {
		err = atomicfile.SyncDir(dir)
	}
	if err == nil {
		err = os.Rename(s.back, s.database)
	}
	if err == nil {
		err = atomicfile.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("put the database back as it was before a server that did not get to serve migrated it: %w", err)
	}
	return nil
}

// Drop removes the copy.
func (s Spare) Drop() error { return errors.Join(remove(s.copy), remove(s.copy+".part")) }

// remove removes a file, if it is there.
func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
