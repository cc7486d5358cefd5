package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/store"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	idC = "cccccccccccccccccccccccccccccccc"
)

// What a start does with what the directory knows of its database and what is there.
func TestDecideIdentity(t *testing.T) {
	t.Parallel()
	lost, old := store.Identity{Lack: "is missing"}, store.Identity{Exists: true}
	of := func(id string) store.Identity { return store.Identity{Exists: true, ID: id} }
	none, some := []string(nil), []string{"2 instances"}
	for _, c := range []struct {
		name    string
		known   identity
		has     store.Identity
		left    []string
		want    identity // zero: refused
		renewed identity // with --new-database
	}{
		{"first start", identity{}, lost, none, identity{idC, true}, identity{idC, true}},
		{"first start, interrupted before the database", identity{idA, true}, lost, none, identity{idA, true}, identity{idA, true}},
		{"interrupted before the database has its id", identity{idA, true}, old, none, identity{idA, true}, identity{idA, true}},
		{"interrupted before the directory has it for good", identity{idA, true}, of(idA), none, identity{idA, true}, identity{idA, true}},
		{"every start", identity{idA, false}, of(idA), some, identity{idA, false}, identity{idA, false}},
		{"of an earlier version", identity{}, old, some, identity{idC, false}, identity{idC, false}},
		{"of an earlier version, interrupted, or restored", identity{}, of(idA), some, identity{idA, false}, identity{idA, false}},
		{"put back as an earlier version had it", identity{idA, false}, old, some, identity{idA, false}, identity{idA, false}},
		{"lost", identity{idA, false}, lost, some, identity{}, identity{idC, true}},
		{"lost, with nothing beside it", identity{idA, false}, lost, none, identity{}, identity{idC, true}},
		{"lost in an earlier version", identity{}, lost, some, identity{}, identity{idC, true}},
		{"another", identity{idA, false}, of(idB), some, identity{}, identity{idB, false}},
		{"another one after a begin that was interrupted", identity{idA, true}, of(idB), some, identity{}, identity{idB, false}},
	} {
		for anew, want := range map[bool]identity{false: c.want, true: c.renewed} {
			got, err := decideIdentity(c.known, c.has, c.left, anew, idC)
			if _, refused := errors.AsType[*identityError](err); got != want || refused != (want == identity{}) {
				t.Errorf("%s (anew %v): it has %+v, %v; want %+v", c.name, anew, got, err, want)
			}
		}
	}
}

// startStore opens the store of a data directory as a start does.
func startStore(t *testing.T, d dirs, anew bool) error {
	t.Helper()
	c := newCore(Config{DataDir: string(d), NewDatabase: anew, Connections: 1}, slog.New(slog.DiscardHandler))
	return errors.Join(c.openStore(t.Context()), c.close())
}

// A directory whose database is lost, in whichever way, is refused and left as it is; its own
// database, put back, is taken; and a new one is made for whoever asks for it.
func TestLostDatabase(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, d dirs) {
		if err := os.Remove(d.database()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		lose func(t *testing.T, d dirs)
		want string
	}{
		{"missing", remove, "is missing"},
		{"empty", func(t *testing.T, d dirs) {
			if err := os.Truncate(d.database(), 0); err != nil {
				t.Fatal(err)
			}
		}, "is empty"},
		{"of another server", func(t *testing.T, d dirs) {
			other := dirs(t.TempDir())
			if err := errors.Join(startStore(t, other, false), os.Rename(other.database(), d.database())); err != nil {
				t.Fatal(err)
			}
		}, "is another one"},
		{"missing, in an earlier version", func(t *testing.T, d dirs) {
			remove(t, d)
			if err := os.Remove(d.identity()); err != nil {
				t.Fatal(err)
			}
		}, "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := dirs(t.TempDir())
			if err := startStore(t, d, false); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(d.instances(), "instances", "one", "spec.json"), "{}")
			write(t, d.masterKey(), "key")
			kept, err := os.ReadFile(d.database())
			if err != nil {
				t.Fatal(err)
			}
			c.lose(t, d)
			for range 2 {
				err := startStore(t, d, false)
				if _, refused := errors.AsType[*identityError](err); !refused {
					t.Fatalf("it starts, or says %v", err)
				}
				for _, want := range []string{c.want, "1 instances", "master.key", "slipway restore", "--new-database"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in %q", want, err)
					}
				}
			}
			lost, err := os.ReadFile(d.database())
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			write(t, d.database(), string(kept))
			if err := startStore(t, d, false); err != nil {
				t.Errorf("with its own database: %v", err)
			}
			if err := os.Remove(d.database()); err != nil {
				t.Fatal(err)
			}
			if len(lost) > 0 {
				write(t, d.database(), string(lost))
			}
			if err := errors.Join(startStore(t, d, true), startStore(t, d, false)); err != nil {
				t.Errorf("with --new-database, then without: %v", err)
			}
		})
	}
}

// A start that ends between any two steps of a first start is followed by one that works.
func TestFirstStartInterrupted(t *testing.T) {
	t.Parallel()
	begun := identity{idA, true}
	for name, steps := range map[string]func(t *testing.T, d dirs) error{
		"nothing":                    func(*testing.T, dirs) error { return nil },
		"a master key for it":        func(t *testing.T, d dirs) error { write(t, d.masterKey(), "key"); return nil },
		"the id":                     func(_ *testing.T, d dirs) error { return d.keepIdentity(begun) },
		"the id and the file":        func(t *testing.T, d dirs) error { write(t, d.database(), ""); return d.keepIdentity(begun) },
		"a database without its id":  func(t *testing.T, d dirs) error { return errors.Join(d.keepIdentity(begun), bare(t, d)) },
		"one of an earlier version":  bare,
		"its id's temporary file":    func(t *testing.T, d dirs) error { write(t, filepath.Join(string(d), ".database.id-1"), ""); return nil },
		"all but the directory's id": func(t *testing.T, d dirs) error { return errors.Join(startStore(t, d, false), os.Remove(d.identity())) },
		"all but the end of it":      func(t *testing.T, d dirs) error { return errors.Join(startStore(t, d, false), rebegin(d)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dirs(t.TempDir())
			if err := steps(t, d); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(startStore(t, d, false), startStore(t, d, false)); err != nil {
				t.Fatal(err)
			}
			known, err := d.readIdentity(false)
			has, err2 := store.Identify(t.Context(), d.database())
			if err := errors.Join(err, err2); err != nil || known.begun || known.id == "" || known.id != has.ID {
				t.Errorf("the directory knows %+v, the database is %+v, %v", known, has, err)
			}
		})
	}
}

// bare makes a database as an earlier version did.
func bare(t *testing.T, d dirs) error {
	s, err := store.Open(t.Context(), d.database())
	if err != nil {
		return err
	}
	return s.Close()
}

// rebegin sets the directory back to before the last step of its first start.
func rebegin(d dirs) error {
	i, err := d.readIdentity(false)
	i.begun = true
	return errors.Join(err, d.keepIdentity(i))
}

// An id that cannot be read is not taken for one that is missing.
func TestUnreadableIdentity(t *testing.T) {
	t.Parallel()
	d := dirs(t.TempDir())
	if err := startStore(t, d, false); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(d.identity())
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func() error{
		"damaged":            func() error { return os.WriteFile(d.identity(), []byte("?"), 0o600) },
		"empty":              func() error { return os.WriteFile(d.identity(), nil, 0o600) },
		"directory":          func() error { return os.Mkdir(d.identity(), 0o700) },
		"input/output error": func() error { return os.Symlink("/proc/self/mem", d.identity()) },
	} {
		if err := errors.Join(os.RemoveAll(d.identity()), harm()); err != nil {
			t.Fatal(err)
		}
		if err := startStore(t, d, false); err == nil || !strings.Contains(err.Error(), name) && name != "empty" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(os.RemoveAll(d.identity()), os.WriteFile(d.identity(), []byte("?"), 0o600), startStore(t, d, true)); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(d.identity()); string(again) != string(good) {
		t.Errorf("with --new-database it is written as %q, %v; it was %q", again, err, good)
	}
}
