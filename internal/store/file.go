package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrFull is wrapped by the errors of transactions that failed because the disk is
// full. They changed nothing.
var ErrFull = errors.New("the database's disk is full")

// wrapFull wraps errors of SQLite that mean a full disk in ErrFull.
func wrapFull(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if ok && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// makePrivate makes the database's files readable and writable only by their
// owner, as they hold access keys and applications' variables. SQLite creates the
// other files with the mode of the first.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
