package store

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
)

// The identity of a database is told without making one, whatever is in its place.
func TestIdentify(t *testing.T) {
	t.Parallel()
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	execute := func(query string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open(driverName, dsn(path))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := slipway.NewID()
	made := func(with string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if with == "" {
				return
			}
			if err := s.Update(t.Context(), func(tx *Tx) error {
				first, err := tx.DatabaseID(with)
				again, err2 := tx.DatabaseID(slipway.NewID())
				if first != with || again != with {
					t.Errorf("its id is %s, then %s, want %s", first, again, with)
				}
				return errors.Join(err, err2)
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		make  func(*testing.T, string)
		want  Identity
		error string
	}{
		{"missing", func(*testing.T, string) {}, Identity{Lack: "is missing"}, ""},
		{"empty", write(""), Identity{Lack: "is empty"}, ""},
		{"no tables", execute("PRAGMA user_version = 1"), Identity{Lack: "has no tables"}, ""},
		{"of an earlier version", made(""), Identity{Exists: true}, ""},
		{"older than seeds", execute("CREATE TABLE goose_db_version (id INTEGER)"), Identity{Exists: true}, ""},
		{"with an id", made(id), Identity{Exists: true, ID: id}, ""},
		{"of another program", execute("CREATE TABLE other (x)"), Identity{}, "another program's"},
		{"damaged", write(strings.Repeat("no database", 1000)), Identity{}, "damaged"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, Identity{}, "is no file"},
		{"unreadable", func(t *testing.T, path string) {
			if err := os.Symlink(path, path); err != nil {
				t.Fatal(err)
			}
		}, Identity{}, "too many levels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "slipway.db")
			c.make(t, path)
			before, statErr := os.Stat(path)
			got, err := Identify(t.Context(), path)
			if got != c.want || (err == nil) != (c.error == "") || err != nil && !strings.Contains(err.Error(), c.error) {
				t.Errorf("it is %+v, %v; want %+v, %q", got, err, c.want, c.error)
			}
			if after, err := os.Stat(path); (err == nil) != (statErr == nil) || err == nil && before.Mode().IsRegular() && before.Size() != after.Size() {
				t.Errorf("the file has changed: %v", err)
			}
		})
	}
}

// A journal beside an empty file is not lost by a look at it: SQLite would remove it.
func TestIdentifyKeepsJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slipway.db")
	for name, content := range map[string]string{path: "", path + "-wal": "pages"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Identify(t.Context(), path); err != nil || got.Exists {
		t.Errorf("it is %+v, %v", got, err)
	}
	if b, err := os.ReadFile(path + "-wal"); string(b) != "pages" {
		t.Errorf("the journal has %q, %v", b, err)
	}
}
