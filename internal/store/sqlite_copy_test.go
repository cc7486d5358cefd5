package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/openslipway/slipway/internal/store"
)

// A copy is complete and consistent while transactions run.
func TestCopyWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "slipway.db")
	st, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, stop := context.WithCancel(t.Context())
	var writes sync.WaitGroup
	writes.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = st.Update(ctx, func(tx *store.Tx) error { _, err := tx.Seed("n", strings.Repeat("x", i%1000)); return err })
		}
	})
	version, err := store.Copy(t.Context(), path, filepath.Join(dir, "copy.db"))
	stop()
	writes.Wait()
	if schema, _ := store.Schema(); err != nil || version != schema {
		t.Fatalf("version %d, %v; want %d", version, err, schema)
	}
	again, err := store.Open(t.Context(), filepath.Join(dir, "copy.db"))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := store.Copy(t.Context(), filepath.Join(dir, "none.db"), filepath.Join(dir, "x")); err == nil || !strings.Contains(err.Error(), "there is no database") {
		t.Errorf("a copy of nothing: %v", err)
	}
}

// A copy of an older database keeps its version, and is migrated when it is opened.
func TestCopyOfOlder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, to := filepath.Join(dir, "slipway.db"), filepath.Join(dir, "copy.db")
	for _, version := range []int64{5, 8} { // before and after there were data keys
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		db.Close()
		got, err := store.Copy(t.Context(), path, to)
		if err != nil || got != version {
			t.Fatalf("version %d, %v; want %d", got, err, version)
		}
		if keys, err := store.ReadDataKeys(t.Context(), to); err != nil || len(keys) > 0 {
			t.Errorf("data keys %v, %v", keys, err)
		}
		st, err := store.Open(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		st.Close()
		if got, err := store.Verify(t.Context(), to); err != nil || got <= version {
			t.Errorf("opened, the copy has version %d, %v", got, err)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
}

// A database of a newer program is refused by both versions, and one that is damaged
// with what to do.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	newer := filepath.Join(t.TempDir(), "slipway.db")
	st, err := store.Open(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	db, err := sql.Open("sqlite", newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err = store.Open(t.Context(), newer); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "its tables have version 9999, and this slipway knows versions up to") {
		t.Errorf("a newer database: %v", err)
	}

	if _, err := store.Copy(t.Context(), newer, newer+".copy"); !errors.Is(err, store.ErrNewer) {
		t.Errorf("a copy of a newer database: %v", err)
	}

	damaged := filepath.Join(t.TempDir(), "slipway.db")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = store.Open(t.Context(), damaged); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "slipway restore") {
		t.Errorf("a damaged database: %v", err)
	}
}
