package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
)

// A full disk has its own error, the transaction changes nothing, and the store
// works again once there is room.
func TestFull(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	limit := func(pages string) { // SQLite then fails as on a full disk
		t.Helper()
		if err := s.Update(t.Context(), func(tx *Tx) error { _, err := tx.count("PRAGMA max_page_count = " + pages); return err }); err != nil {
			t.Fatal(err)
		}
	}
	v := slipway.Service{ID: slipway.NewID(), Name: strings.Repeat("large", 1<<20), CreatedAt: time.Now()}
	insert := func() error {
		return s.Update(t.Context(), func(tx *Tx) error { return tx.InsertService(v) })
	}
	limit("1") // SQLite never limits to fewer pages than exist
	if err := insert(); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want an error that says the disk is full", err)
	}
	limit("1000000")
	if err := insert(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := insert(); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a second one of that name: %v, want an error that is not of the disk", err)
	}
}

// Only their owner may read the files, even if an earlier server created them
// readable for everybody.
func TestPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slipway.db")
	for range 2 {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("slipway.db%s has mode %v, want 0600", suffix, info.Mode().Perm())
			}
		}
		s.Close()
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
