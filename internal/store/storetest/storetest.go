// Package storetest makes databases for tests.
//
// A new database runs all migrations, which takes a second or more under the race
// detector. The tests of one process share them: each database is a copy of one that has
// run them.
package storetest

import (
	"context"
	"errors"
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
