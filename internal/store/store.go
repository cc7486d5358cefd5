package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the "sqlite" driver
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is how many read transactions run at once on a file database.
const readers = 4

// Store is an open database.
type Store struct {
	db      *sql.DB
	writer  chan *conn // holds the writing connection while nobody writes
	reader  chan *conn // the reading ones that nobody uses; the same channel as writer in memory
	unread  chan bool  // one entry for each reading connection that was not needed yet
	journal journal
	watch   watchers
}

// Open opens the SQLite database in the file at path, or a new one in memory
// when path is ":memory:", and brings its tables up to date. Nobody
// but its owner may read the file.
//
// Each commit is whole and in order whatever dies, and survives the death of
// the process. SQLite itself syncs only what its own consistency takes (WAL,
// synchronous=NORMAL); see Update and UpdateUnsynced for what survives the
// death of the machine.
func Open(ctx context.Context, path string) (*Store, error) {
	if path != ":memory:" {
		if err := private(path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := &Store{db: db, writer: make(chan *conn, 1)}
	if path == ":memory:" {
		db.SetMaxOpenConns(1) // each further connection would be another database
	} else {
		s.journal.path = path + "-wal"
	}
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("migrate database %s: %w", path, err)
	}
	if err := s.connect(ctx, path == ":memory:"); err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return s, nil
}

func dsn(path string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(NORMAL)", // Sync does the rest
		"cache_size(-1024)",   // KiB a connection: the operating system caches the file
		"foreign_keys(ON)",
	}}
	// What means something in a URI must not in a path.
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + q.Encode()
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (s *Store) connect(ctx context.Context, memory bool) error {
	c, err := newConn(ctx, s.db)
	if err != nil {
		return err
	}
	s.writer <- c
	if memory {
		s.reader = s.writer
		return nil
	}
	s.reader, s.unread = make(chan *conn, readers), make(chan bool, readers)
	for range readers {
		s.unread <- true
	}
	return nil
}

// forReading takes a connection to read with. Each is opened when all others are
// in use: a connection takes milliseconds and memory.
func (s *Store) forReading(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-s.reader:
		return c, nil
	default:
	}
	select {
	case c := <-s.reader:
		return c, nil
	case <-s.unread:
		c, err := newConn(ctx, s.db)
		if err != nil {
			s.unread <- true
		}
		return c, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close waits for running transactions and closes the database.
func (s *Store) Close() error {
	w := <-s.writer
	w.close()
	if s.reader != s.writer {
		for range readers {
			select {
			case c := <-s.reader:
				c.close()
			case <-s.unread:
			}
		}
	}
	return errors.Join(s.journal.close(), s.db.Close())
}

// View runs f in a read transaction: all its queries see one state. f must not
// keep tx.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	c, err := s.forReading(ctx)
	if err != nil {
		return err
	}
	defer func() { s.reader <- c }()
	tx := &Tx{conn: c}
	if err := tx.control("BEGIN"); err != nil {
		return err
	}
	defer tx.control("COMMIT")
	return f(tx)
}

// Update runs f in a write transaction and commits when it returns nil; then
// watchers are told. When it returns, the commit and all before it are on disk.
// Writers run one after another. Once f has begun, ctx no longer stops it: a
// transaction is short and ends whole. Its error wraps ErrFull when there is no
// room for the change. What rides along in ctx ([WithRider]) is part of the
// transaction.
//
// Watchers are told, and others may read, before the disk has it: who answers
// somebody outside waits for Update, and everybody else may begin.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	if err := s.UpdateUnsynced(ctx, f); err != nil {
		return err
	}
	return s.Sync()
}

// UpdateUnsynced is Update that does not wait for the disk: a loss of power may
// undo the commit, along with all later ones and no earlier one. It is for what
// is done or found out again then, as instances have to be started again
// anyway; what somebody outside was promised takes Update or Sync.
func (s *Store) UpdateUnsynced(ctx context.Context, f func(*Tx) error) error {
	c, err := take(ctx, s.writer)
	if err != nil {
		return err
	}
	tx := &Tx{conn: c, writes: true}
	f, committed := withRider(ctx, f)
	if err := s.commit(tx, f); err != nil {
		return full(err)
	}
	committed()
	s.watch.notify(tx.touched)
	return nil
}

// Sync returns when all that was committed before is on disk.
func (s *Store) Sync() error { return s.journal.sync() }

// commit runs f and gives the connection back, also when f panics.
func (s *Store) commit(tx *Tx, f func(*Tx) error) error {
	defer func() { s.writer <- tx.conn }()
	err := tx.run(f)
	if err == nil {
		s.journal.grew()
	}
	return err
}

func take(ctx context.Context, from chan *conn) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-from:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn is one connection with its prepared statements. One transaction uses it
// at a time.
type conn struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]*sql.Stmt{}}, nil
}

func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	c.stmts[query] = st
	return st, nil
}

func (c *conn) close() {
	for _, st := range c.stmts {
		st.Close()
	}
	c.c.Close()
}
