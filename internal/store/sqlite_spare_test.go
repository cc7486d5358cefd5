package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

// openAs opens the database as a program does that may have migrated it.
func openAs(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// copyOf writes what is in a file to another one.
func copyOf(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantRows checks what the database holds, and that it is whole.
func wantRows(t *testing.T, path string, want string) {
	t.Helper()
	db := openAs(t, path)
	defer db.Close()
	var rows, verdict string
	if err := db.QueryRowContext(t.Context(), `SELECT group_concat(x) FROM t`).Scan(&rows); err != nil || rows != want {
		t.Errorf("the database holds %q, %v; want %q", rows, err, want)
	}
	if err := db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the database is %q, %v", verdict, err)
	}
}

// A database that a killed server has migrated, with a journal that it left, is put back as
// it was, also when the process that does it is killed at any step.
func TestPutBack(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(t *testing.T, path string, s Spare){
		"at once": func(t *testing.T, _ string, s Spare) {
			if err := s.PutBack(); err != nil {
				t.Fatal(err)
			}
		},
		"after the first name": func(t *testing.T, _ string, s Spare) {
			if err := os.Rename(s.copy, s.back); err != nil {
				t.Fatal(err)
			}
		},
		"without the journal": func(t *testing.T, path string, s Spare) {
			if err := os.Rename(s.copy, s.back); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path + "-wal"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "slipway.db")
			db := openAs(t, path)
			execute(t, db, `CREATE TABLE t (x)`, `INSERT INTO t VALUES (1), (2)`)
			db.Close()
			s := SpareOf(path)
			if err := s.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(s.copy); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the copy: %v, %v", info, err)
			}
			// As a process leaves it that is killed: what it has done last is in the journal.
			db = openAs(t, path)
			execute(t, db, `ALTER TABLE t ADD COLUMN y`, `PRAGMA wal_checkpoint(TRUNCATE)`, `DELETE FROM t`, `INSERT INTO t (x) VALUES (9)`)
			copyOf(t, path+"-wal", path+".saved")
			copyOf(t, path, path+".main")
			db.Close()
			copyOf(t, path+".saved", path+"-wal")
			copyOf(t, path+".main", path)
			wantKilled := func() { // of a copy, as looking changes it
				at := filepath.Join(t.TempDir(), "slipway.db")
				copyOf(t, path, at)
				copyOf(t, path+"-wal", at+"-wal")
				wantRows(t, at, "9")
			}
			wantKilled()

			interrupt(t, path, s)
			for range 2 { // it is done once
				if err := s.Finish(); err != nil {
					t.Fatal(err)
				}
				wantRows(t, path, "1,2")
			}
			if err := s.PutBack(); err != nil { // there is nothing more
				t.Fatal(err)
			}
			wantRows(t, path, "1,2")
		})
	}
}

// What an attempt has left that did not get far is in nobody's way.
func TestKeepAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slipway.db")
	s := SpareOf(path)
	if err := s.Keep(t.Context()); err == nil {
		t.Error("a database that is not there is kept")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) > 0 {
		t.Errorf("it leaves %v, %v", entries, err)
	}
	db := openAs(t, path)
	execute(t, db, `CREATE TABLE t (x)`, `INSERT INTO t VALUES (1)`)
	db.Close()
	if err := os.WriteFile(s.copy+".part", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := s.PutBack(); err != nil {
		t.Fatal(err)
	}
	wantRows(t, path, "1")
}
