package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// journal syncs SQLite's write-ahead log to disk. One sync serves all callers that
// wait at the same time: it takes as long as ten commits. It does not block
// writers, whose commits the next sync covers.
//
// SQLite holds no locks on the log's file (they are on the database and its
// shared memory), so opening and closing a descriptor of it is safe. The file stays
// the same as long as a connection is open, and SQLite syncs pages before it moves
// them from the log to the database.
type journal struct {
	path    string // "": the database is in memory
	commits atomic.Int64

	mu     sync.Mutex // guards what follows
	file   *os.File   // the first sync opens it
	synced int64      // commits that are on disk
	err    error      // of the first sync that failed
}

// committed counts a commit.
func (j *journal) committed() { j.commits.Add(1) }

// sync returns when all commits so far are on disk. After a failure all later calls
// fail: the kernel may have dropped what it could not write and would then report
// success.
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
		j.err = fmt.Errorf("sync the database to disk: %w", err)
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
