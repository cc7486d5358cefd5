package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"time"

	// Its package v1 decodes as encoding/json does, in half the time.
	"github.com/go-json-experiment/json/v1"
)

// ErrNotFound is returned by methods that read or write one row if it is missing.
var ErrNotFound = errors.New("not found")

// ErrNameTaken is wrapped by methods that insert a row with a unique name, if the
// name exists.
var ErrNameTaken = errors.New("name is taken")

// Tx is a transaction. Its methods are grouped by table, one file each.
type Tx struct {
	conn    *conn
	signs   *signs
	damage  *damage
	routes  *routeChanges
	writes  bool
	touched map[string]Topic // service id to what changed of it
}

func (tx *Tx) run(j *journal, f func(*Tx) error) error {
	if err := tx.control(beginWrite); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // f panicked or failed
			tx.control("ROLLBACK")
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	version, err := tx.bumpRoutes()
	if err != nil {
		return err
	}
	committed := tx.routes.begin(version)
	defer func() { committed(done) }()
	if err := j.commit(func() error { return tx.control("COMMIT") }); err != nil {
		return err
	}
	done = true
	return nil
}

func (tx *Tx) control(verb string) error {
	if _, err := tx.exec(verb); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// exec and query do not take the caller's context: cancelling a statement would
// leave the transaction in an unknown state, and statements are short.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	st, err := tx.conn.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	st, err := tx.conn.prepare(query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

type scanner interface{ Scan(dest ...any) error }

// all scans every row of a query.
func all[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamagedRow, err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// one scans the only row of a query. It returns ErrNotFound without a row.
func one[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	list, err := all(tx, scan, query, args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return list[0], nil
}

func (tx *Tx) count(query string, args ...any) (int, error) {
	return one(tx, scanValue[int], query, args...)
}

// Ping reads a row of the database's file.
func (tx *Tx) Ping() error {
	_, err := tx.exists(`SELECT 1 FROM router`)
	return err
}

// exists reports whether a query has a row. EXISTS is a number in SQLite and a
// boolean in PostgreSQL; CASE is a number in both.
func (tx *Tx) exists(query string, args ...any) (bool, error) {
	n, err := tx.count(`SELECT CASE WHEN EXISTS (`+query+`) THEN 1 ELSE 0 END`, args...)
	return n == 1, err
}

// scanValue scans a query's only column.
func scanValue[T any](s scanner) (v T, err error) {
	err = s.Scan(&v)
	return v, err
}

// insert adds one row. It returns ErrNameTaken if ON CONFLICT skipped it.
func (tx *Tx) insert(what, query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		err = ErrNameTaken
	}
	if err != nil {
		return fmt.Errorf("insert %s: %w", what, err)
	}
	return nil
}

// mustAffect returns ErrNotFound if a statement affected no row.
func mustAffect(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// noBound is a bound above every value.
const noBound int64 = math.MaxInt64

// atMost returns the LIMIT for a limit where 0 means all.
func atMost(limit int) int64 { return cmp.Or(int64(limit), noBound) }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// instant scans a time column.
type instant struct{ t *time.Time }

func (i instant) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is %T in the database, not an integer", v)
	}
	*i.t = time.Time{}
	if n != 0 {
		*i.t = time.Unix(0, n).UTC()
	}
	return nil
}

// document scans or writes v as a JSON column.
type document struct{ v any }

func (d document) Scan(v any) error {
	switch s := v.(type) {
	case string:
		return json.Unmarshal([]byte(s), d.v)
	case []byte:
		return json.Unmarshal(s, d.v)
	}
	return fmt.Errorf("a JSON column is %T in the database, not text", v)
}

func (d document) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

// sealed scans or writes a column of ciphertext, as base64.
type sealed struct{ b *[]byte }

func (c sealed) Scan(v any) (err error) {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a column of ciphertext is %T in the database, not text", v)
	}
	*c.b = nil
	if s != "" {
		*c.b, err = base64.StdEncoding.DecodeString(s)
	}
	return err
}

func (c sealed) Value() (driver.Value, error) {
	return base64.StdEncoding.EncodeToString(*c.b), nil
}
