// Package storetest makes databases for tests.
//
// A new database runs all migrations, which takes a second or more under the race
// detector. The tests of one process share them: each database is a copy of one that has
// run them.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/openslipway/slipway/internal/store"
)

// Create writes an empty database to a new file, which store.Open opens.
func Create(t testing.TB, path string) {
	t.Helper()
	b, err := empty()
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Damage changes rows of the database in a file that nobody has open.
func Damage(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		r, err := db.Exec(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s: changes %d rows, %v", s, n, err)
		}
	}
}

// Value is a column of the rows of a table in which another column has a value.
type Value struct{ Table, Column, Where, Is string }

// Spoil makes values unreadable in the database in a file that nobody has open.
func Spoil(t testing.TB, path string, values ...Value) {
	t.Helper()
	for _, v := range values {
		Damage(t, path, fmt.Sprintf(`UPDATE %s SET %s = '{{' || %s WHERE %s = '%s'`, v.Table, v.Column, v.Column, v.Where, v.Is))
	}
}

// Mend undoes Spoil.
func Mend(t testing.TB, path string, values ...Value) {
	t.Helper()
	for _, v := range values {
		Damage(t, path, fmt.Sprintf(`UPDATE %s SET %s = substr(%s, 3) WHERE %s = '%s'`, v.Table, v.Column, v.Column, v.Where, v.Is))
	}
}

// Memory opens an empty database in memory. It is the caller's to close: in a bubble of
// testing/synctest a cleanup of the test might come too late.
func Memory(t testing.TB) *store.Store {
	t.Helper()
	b, err := empty()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenMemory(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// empty returns the file of a database that has run all migrations.
var empty = sync.OnceValues(func() (b []byte, err error) {
	dir, err := os.MkdirTemp("", "storetest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "slipway.db")
	s, err := store.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // nothing is left in the journal
		return nil, err
	}
	return os.ReadFile(path)
})
