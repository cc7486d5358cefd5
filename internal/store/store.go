package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/openslipway/slipway/internal/room"
)

// readers is how many read transactions of a file database run at once.
const readers = 4

// Store is an open database.
type Store struct {
	db       *sql.DB
	writer   chan *conn // holds the writing connection while no transaction writes
	reader   chan *conn // idle reading connections; the same channel as writer in memory
	unopened chan bool  // one entry for each reading connection that is not open yet
	journal  *journal
	watch    watchers
	writeErr atomic.Pointer[error] // see WriteFailure
	signs    signs
	damage   damage // see OnDamage
	routes   routeChanges
	ballast  *room.Ballast // see HoldRoom
}

// Open opens the SQLite database in the file at path and migrates it. ":memory:"
// opens a new database in memory. Only the file's owner may read it.
//
// Commits are atomic and ordered after any crash, and survive a crash of the
// process. SQLite syncs only what its own consistency needs (WAL,
// synchronous=NORMAL); Update and UpdateUnsynced say what survives a power loss.
func Open(ctx context.Context, path string) (*Store, error) {
	return OpenOn(ctx, path, fdatasync)
}

// OpenOn is Open with another function that writes what was written to a file to disk:
// tests hold it up or have it fail.
func OpenOn(ctx context.Context, path string, datasync func(*os.File) error) (*Store, error) {
	if path != ":memory:" {
		if err := makePrivate(path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	db, err := sql.Open(driverName, dsn(path))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := newStore(db, openJournal(path, datasync))
	if path == ":memory:" {
		s = newStore(db, &journal{})
		db.SetMaxOpenConns(1) // each further connection would be another database
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

// OpenMemory opens a new database in memory that begins as a copy of a database file.
// content is the file, which no journal belongs to. The tables must have this program's
// version: they are not migrated, which is what makes it fast.
func OpenMemory(ctx context.Context, content []byte) (*Store, error) {
	db, err := sql.Open(driverName, dsn(":memory:"))
	if err != nil {
		return nil, fmt.Errorf("open database in memory: %w", err)
	}
	db.SetMaxOpenConns(1) // each further connection would be another database
	s := newStore(db, &journal{})
	if err := errors.Join(load(ctx, db, content), s.connect(ctx, true)); err != nil {
		db.Close()
		return nil, fmt.Errorf("open database in memory: %w", err)
	}
	return s, nil
}

// newStore returns a store without connections.
func newStore(db *sql.DB, j *journal) *Store {
	s := &Store{db: db, writer: make(chan *conn, 1), journal: j}
	s.journal.lost = make(chan struct{})
	return s
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
	s.reader, s.unopened = make(chan *conn, readers), make(chan bool, readers)
	for range readers {
		s.unopened <- true
	}
	return nil
}

// acquireReader returns a connection to read with. It opens one only when all open
// ones are in use, as opening takes milliseconds and memory.
func (s *Store) acquireReader(ctx context.Context) (*conn, error) {
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
	case <-s.unopened:
		c, err := newConn(ctx, s.db)
		if err != nil {
			s.unopened <- true
		}
		return c, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close waits for running transactions, then closes the database.
func (s *Store) Close() error {
	w := <-s.writer
	w.close()
	if s.reader != s.writer {
		for range readers {
			select {
			case c := <-s.reader:
				c.close()
			case <-s.unopened:
			}
		}
	}
	return errors.Join(s.journal.close(), s.db.Close())
}

// View runs f in a read transaction: all its queries see the same state. f must
// not keep tx. When View returns, everything that f has seen is on disk, also if f
// failed: a client may be told of it.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	return s.settle(ctx, s.ViewUnsynced(ctx, f))
}

// ViewUnsynced is View without the wait for the disk: a power loss may undo what f has
// seen. Use it for what is decided again after a power loss, such as what to start and
// where to route. What is told to a client, or destroys what cannot be had again,
// needs View.
func (s *Store) ViewUnsynced(ctx context.Context, f func(*Tx) error) error {
	c, err := s.acquireReader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.reader <- c }()
	if err := s.journal.failure(); err != nil {
		return err
	}
	tx := &Tx{conn: c, signs: &s.signs, routes: &s.routes, damage: &s.damage}
	if err := tx.control(beginRead); err != nil {
		return err
	}
	defer tx.control("COMMIT")
	return f(tx)
}

// Update runs f in a write transaction, commits when f returns nil, and notifies
// watchers. When it returns, the commit and all earlier ones are on disk, and so is
// what f has seen if it failed.
// Write transactions run one at a time. ctx can cancel the wait for the others, but
// not f: a transaction is short and completes. The error wraps ErrFull if the disk
// is full.
//
// Watchers see the commit before it is on disk: what follows from it may start at once.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	if err := s.UpdateUnsynced(ctx, f); err != nil {
		return s.settle(ctx, err)
	}
	return s.Sync()
}

// UpdateUnsynced is Update without the wait for the disk: a power loss may undo the
// commit with all later ones, and no earlier one. Use it for what is done or
// observed again after a power loss, such as the state of instances. What a client
// was promised needs Update or Sync.
func (s *Store) UpdateUnsynced(ctx context.Context, f func(*Tx) error) error {
	c, err := acquire(ctx, s.writer)
	if err != nil {
		return err
	}
	if s.ballast != nil {
		_ = s.ballast.Balance() // the transaction tells whether it can be written
	}
	tx := &Tx{conn: c, signs: &s.signs, routes: &s.routes, damage: &s.damage, writes: true}
	if err := s.commit(tx, f); err != nil {
		if s.ballast != nil && errors.Is(wrapFull(err), ErrFull) {
			_ = s.ballast.Give() // to the next attempt
		}
		if unwritten(err) {
			s.writeErr.Store(&err)
		}
		return wrapFull(err)
	}
	if s.writeErr.Load() != nil {
		s.writeErr.Store(nil)
	}
	s.watch.notify(tx.touched)
	return nil
}

// HoldRoom has the transactions that write use a ballast on the database's disk when that
// is full. Call it before the store is used.
func (s *Store) HoldRoom(b *room.Ballast) { s.ballast = b }

// WriteFailure returns the error of the last write transaction, if the disk or the
// database's files made it fail; nil if it succeeded or failed for what it contained.
func (s *Store) WriteFailure() error {
	if err := s.writeErr.Load(); err != nil {
		return wrapFull(*err)
	}
	return nil
}

// Sync returns when all commits so far are on disk.
func (s *Store) Sync() error { return s.journal.sync(s.journal.commits.Load()) }

// Lost is closed when a sync has failed, so that it is not known what the disk has. From
// then on every transaction fails, readers' too: they would tell of what may be undone.
// The process should end; the next one reads what the disk has.
func (s *Store) Lost() <-chan struct{} { return s.journal.lost }

// commit runs f and returns the connection, even if f panics.
func (s *Store) commit(tx *Tx, f func(*Tx) error) error {
	defer func() { s.writer <- tx.conn }()
	if err := s.journal.failure(); err != nil {
		return err
	}
	return tx.run(s.journal, f)
}

func acquire(ctx context.Context, from chan *conn) (*conn, error) {
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

// conn is a connection with its prepared statements. One transaction at a time
// uses it.
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
