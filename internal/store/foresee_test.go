package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// Foresee tells what Open would do, while a server uses the database.
func TestForesee(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slipway.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	newest, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	set := func(version int64) {
		t.Helper()
		if _, err := s.db.ExecContext(t.Context(), `DELETE FROM goose_db_version WHERE version_id >= $1`, newest); err != nil {
			t.Fatal(err)
		}
		if version >= newest {
			if _, err := s.db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, 1)`, version); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		version  int64
		migrates bool
		err      error
	}{{newest, false, nil}, {newest - 1, true, nil}, {newest + 1, false, ErrNewer}} {
		set(c.version)
		migrates, err := Foresee(context.Background(), path)
		if migrates != c.migrates || !errors.Is(err, c.err) {
			t.Errorf("version %d of %d: %t, %v", c.version, newest, migrates, err)
		}
	}
}
