package store

// This file holds what only SQLite has: how it is opened, locked, migrated and
// synced, and its errors; sqlite_copy.go how a file is copied and checked. The other
// files hold SQL that PostgreSQL takes, too.

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	driverName = "sqlite"
	dialect    = goose.DialectSQLite3

	beginRead  = "BEGIN"           // the first query takes the snapshot
	beginWrite = "BEGIN IMMEDIATE" // takes the write lock now: no later statement can fail to get it
)

//go:embed migrations/*.sql
var migrations embed.FS

// dsn returns the name by which the driver opens the database at path, with the
// settings of every connection.
func dsn(path string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(NORMAL)", // Store.Sync makes commits durable
		"cache_size(-1024)",   // KiB a connection: the operating system caches the file
		"foreign_keys(ON)",
	}}
	// Escape what has a meaning in a URI.
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + q.Encode()
}

// migrate brings the tables up to date.
func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	if err := refuseNewer(ctx, p); err != nil {
		return wrapDamaged(err)
	}
	_, err = p.Up(ctx)
	return wrapDamaged(err)
}

// load makes the only connection of a database in memory hold the content of a file.
func load(ctx context.Context, db *sql.DB, content []byte) error {
	const versions = 18 // where the header says that the file has a write-ahead log: 2
	if len(content) < 100 {
		return ErrDamaged
	}
	content = slices.Clone(content)
	content[versions], content[versions+1] = 1, 1 // a database in memory can't have one
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(driver any) error {
		return driver.(interface{ Deserialize([]byte) error }).Deserialize(content)
	})
}

// provider knows the migrations. db may be nil to list them.
func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if db == nil {
		db = &sql.DB{}
	}
	return goose.NewProvider(dialect, db, dir)
}

// wrapDamaged says of errors of SQLite about the file itself what to do.
func wrapDamaged(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB) {
		return fmt.Errorf("%w (%w). Keep its files for later, and restore a backup into another --data-dir (slipway restore FILE)", ErrDamaged, err)
	}
	return err
}

// ErrLost is wrapped by the errors of all transactions after a sync has failed. What was
// committed shortly before may be on disk or not, and the file system does not say:
// only a new process, which reads what is there, knows.
var ErrLost = errors.New("it is not known what the disk has of the database")

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

// unwritten reports whether a transaction failed because the database's files could not be
// written or read.
func unwritten(err error) bool {
	if errors.Is(err, ErrLost) {
		return true
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
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

// journal syncs SQLite's write-ahead log to disk. One sync serves all callers that
// wait at the same time: it takes as long as ten commits. It does not block
// writers, whose commits the next sync covers.
//
// SQLite holds no locks on the log's file (they are on the database and its
// shared memory), so opening and closing a descriptor of it is safe. The file stays
// the same as long as a connection is open, and SQLite syncs pages before it moves
// them from the log to the database.
type journal struct {
	path      string               // "": the database is in memory
	fdatasync func(*os.File) error // see OpenOn
	begun     atomic.Int64         // commits that readers may see: commits, and one more while one is under way
	commits   atomic.Int64         // commits that are in the file
	synced    atomic.Int64         // commits that are on disk
	lost      chan struct{}        // closed when a sync has failed

	mu   sync.Mutex // guards what follows, and is held by the sync under way
	file *os.File   // the first sync opens it
	err  error      // of the first sync that failed, or that the database is closed
}

// openJournal returns the journal of the database at path. What a process before this one
// has committed counts as one commit: a process that was killed has not synced its last
// ones, and who reads them may tell of them.
func openJournal(path string, datasync func(*os.File) error) *journal {
	j := &journal{path: path + "-wal", fdatasync: datasync}
	j.begun.Store(1)
	j.commits.Store(1)
	return j
}

// commit counts the commit that do makes. One is made at a time.
func (j *journal) commit(do func() error) error {
	j.begun.Add(1)
	if err := do(); err != nil {
		j.begun.Add(-1)
		return err
	}
	j.commits.Add(1)
	return nil
}

// visible returns the number of the newest commit that a transaction which ends now can
// have seen. It counts one that is under way, as readers see a commit before its writer
// goes on.
func (j *journal) visible() int64 { return j.begun.Load() }

// failure returns the error of the sync that failed, nil if none did.
func (j *journal) failure() error {
	select {
	case <-j.lost:
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.err
	default:
		return nil
	}
}

// sync returns when the commit with the number want, which was made or seen, and all
// before it are on disk. It does not wait for what is there already, nor for a sync of
// later commits. After a failure all later syncs fail: the kernel may have dropped what
// it could not write and would then report success.
func (j *journal) sync(want int64) error {
	if j.path == "" || j.synced.Load() >= want {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || j.synced.Load() >= want {
		return j.err
	}
	// The commit with the number want is in the file, as the caller has made or seen it,
	// but need not be counted in commits yet: whoever else waits for it syncs again.
	upTo := j.commits.Load()
	if err := j.flush(); err != nil {
		j.err = fmt.Errorf("%w: sync the database to disk: %w", ErrLost, err)
		close(j.lost)
		return j.err
	}
	j.synced.Store(upTo)
	return nil
}

func (j *journal) flush() (err error) {
	if j.file == nil {
		if j.file, err = os.Open(j.path); err != nil {
			return err
		}
	}
	return j.fdatasync(j.file)
}

func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
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
	j.file = nil
	if j.err == nil {
		j.err = errors.New("the database is closed")
	}
	return err
}
