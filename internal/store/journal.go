package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// journal brings SQLite's write-ahead log to the disk, once for all who wait at
// a time: a sync takes as long as ten commits, and holding up no writer it lets
// the next ones be part of the next.
//
// SQLite holds no locks on the log's file (they are on the database and its
// shared memory), so a descriptor of our own is safe to open and close. The file
// is the same for as long as a connection is open, and what leaves it for the
// database has been synced by then.
type journal struct {
	path    string // "": the database is in memory
	commits atomic.Int64

	mu     sync.Mutex // guards what follows
	file   *os.File   // opened by the first sync
	synced int64      // commits that are on disk
	err    error      // of the first sync that failed
}

// grew notes a commit.
func (j *journal) grew() { j.commits.Add(1) }

// sync returns when all commits so far are on disk. One that fails fails all
// later ones: the kernel may have dropped what it could not write and would
// report success the next time.
func (j *journal) sync() error {
	if j.path == "" {
		return nil
	}
	want := j.commits.Load()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || j.synced >= want {
		return j.err
	}
	upTo := j.commits.Load()
	if err := j.flush(); err != nil {
		j.err = fmt.Errorf("the database cannot be brought to disk: %w", err)
		return j.err
	}
	j.synced = upTo
	return nil
}

func (j *journal) flush() (err error) {
	if j.file == nil {
		if j.file, err = os.Open(j.path); err != nil {
			return err
		}
	}
	for {
		err := unix.Fdatasync(int(j.file.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.err = nil, errors.New("the database is closed")
	return err
}
