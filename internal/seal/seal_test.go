package seal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// fixture is a database and a key file, on which keyrings are opened one after
// another.
type fixture struct {
	testing.TB
	dir   string
	store *store.Store
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), filepath.Join(dir, "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &fixture{t, dir, s}
}

func (b *fixture) path() string { return filepath.Join(b.dir, "master.key") }

func (b *fixture) try(options ...func(*Config)) (*Keyring, error) {
	cfg := Config{Store: b.store, File: b.path(), Log: slog.New(slog.DiscardHandler), workFactor: 10}
	for _, o := range options {
		o(&cfg)
	}
	return Open(b.Context(), cfg)
}

func (b *fixture) open(options ...func(*Config)) *Keyring {
	b.Helper()
	k, err := b.try(options...)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

func (b *fixture) rows() (rows []slipway.DataKey) {
	b.Helper()
	err := b.store.View(b.Context(), func(tx *store.Tx) (err error) { rows, err = tx.DataKeys(); return err })
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

func (b *fixture) mustOpen(k *Keyring, context string, sealed []byte, want string) {
	b.Helper()
	if got, err := k.Open(context, sealed); err != nil || string(got) != want {
		b.Errorf("Open = %q, %v; want %q", got, err, want)
	}
}

var t0 = time.Unix(1_800_000_000, 0)

func passphrase(p string) func(*Config) { return func(c *Config) { c.Passphrase = p } }

func TestSealOpen(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	k := b.open()
	for _, secret := range []string{"", "hunter2", strings.Repeat("x", 64<<10)} {
		sealed := k.Seal("a", []byte(secret))
		b.mustOpen(k, "a", sealed, secret)
		if secret != "" && bytes.Contains(sealed, []byte(secret)) {
			t.Error("the envelope holds the secret in clear")
		}
		if again := k.Seal("a", []byte(secret)); bytes.Equal(sealed, again) {
			t.Error("the same secret is sealed to the same envelope twice")
		}
	}
	b.mustOpen(b.open(), "a", k.Seal("a", []byte("kept")), "kept") // after a restart
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	k := b.open()
	sealed := k.Seal("row 1", []byte("secret"))
	if _, err := k.Open("row 2", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("an envelope opens in another context: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("row 1", bad); !errors.Is(err, ErrSealed) {
			t.Errorf("an envelope with byte %d changed opens: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := k.Open("row 1", sealed[:n]); !errors.Is(err, ErrSealed) {
			t.Errorf("an envelope cut to %d bytes opens: %v", n, err)
		}
	}
	if _, err := newFixture(t).open().Open("row 1", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("an envelope of another keyring opens: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	sealed := b.open().Seal("a", []byte("secret"))
	if i, err := os.Stat(b.path()); err != nil || i.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v, %v", i.Mode(), err)
	}
	plain, err := os.ReadFile(b.path())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, want string, options ...func(*Config)) {
		t.Helper()
		_, err := b.try(options...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}

	// A passphrase given later encrypts the file.
	b.mustOpen(b.open(passphrase("correct horse")), "a", sealed, "secret")
	encrypted, err := os.ReadFile(b.path())
	if err != nil || bytes.Contains(encrypted, []byte("AGE-SECRET-KEY")) {
		t.Errorf("the file is not encrypted: %v", err)
	}
	k := b.open(passphrase("correct horse"))
	b.mustOpen(k, "a", sealed, "secret")
	if !k.Master().Encrypted {
		t.Error("the file is said not to be encrypted")
	}
	refused("no passphrase", "no passphrase was given")
	refused("wrong passphrase", "cannot be decrypted", passphrase("battery"))

	for name, c := range map[string]struct{ content, want string }{
		"empty":       {"", "no AGE-SECRET-KEY"},
		"damaged key": {strings.TrimSpace(string(plain)) + "X", "line 3 is not"},
		"another key": {func() string { m, _ := newMaster(); return m.text }(), "cannot be unwrapped"},
		"long":        {strings.Repeat("#", maxKeyFile+1), "longer"},
	} {
		if err := os.WriteFile(b.path(), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(name, c.want)
	}
	if err := os.Remove(b.path()); err != nil {
		t.Fatal(err)
	}
	refused("lost", "is missing")
	if err := os.WriteFile(b.path(), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	b.mustOpen(b.open(), "a", sealed, "secret")
}

// The rows of two data keys can't be exchanged either.
// Check finds out without a server whether a key file is the database's.
func TestCheck(t *testing.T) {
	t.Parallel()
	b, other := newFixture(t), newFixture(t)
	b.open()
	other.open()
	read := func(b *fixture) []byte {
		text, err := os.ReadFile(b.path())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if err := Check(read(b), "key", "", b.rows()); err != nil {
		t.Errorf("the key: %v", err)
	}
	if err := Check(read(other), "key", "", b.rows()); err == nil || !strings.Contains(err.Error(), b.rows()[0].Master) {
		t.Errorf("another key: %v, want one that names %s", err, b.rows()[0].Master)
	}
	b.open(passphrase("p"))
	if err := Check(read(b), "key", "", b.rows()); !errors.Is(err, ErrEncrypted) {
		t.Errorf("the encrypted key: %v", err)
	}
	if err := Check(read(b), "key", "p", b.rows()); err != nil {
		t.Errorf("the encrypted key with its passphrase: %v", err)
	}
}

func TestWrappingIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	k := b.open()
	if _, err := k.Rotate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	rows := b.rows()
	rows[0].Wrapped, rows[1].Wrapped = rows[1].Wrapped, rows[0].Wrapped
	err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.RewrapDataKey(rows[0]), tx.RewrapDataKey(rows[1]))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.try(); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("exchanged rows are taken: %v", err)
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "correct horse"} {
		b := newFixture(t)
		k := b.open(passphrase(secret))
		before, sealed := k.Master(), k.Seal("a", []byte("old"))
		oldFile, err := os.ReadFile(b.path())
		if err != nil {
			t.Fatal(err)
		}
		after, err := k.Rotate(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if after.Public == before.Public || after.DataKeys != 2 {
			t.Errorf("rotated from %+v to %+v", before, after)
		}
		newer := k.Seal("a", []byte("new"))
		if bytes.Equal(newer[:header], sealed[:header]) {
			t.Error("the old data key still seals")
		}
		for _, k := range []*Keyring{k, b.open(passphrase(secret))} {
			b.mustOpen(k, "a", sealed, "old")
			b.mustOpen(k, "a", newer, "new")
		}
		if err := os.WriteFile(b.path(), oldFile, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.try(passphrase(secret)); err == nil {
			t.Error("the old master key still opens the data keys")
		}
	}
}

// A rotation that was interrupted at any point is completed by the next start,
// and by the next rotation.
func TestRotationAtEveryPointOfDeath(t *testing.T) {
	t.Parallel()
	points := []string{"both keys in the file", "data keys wrapped anew", "old key gone"}
	for _, at := range points {
		for _, again := range []string{"start", "rotation"} {
			t.Run(at+", "+again, func(t *testing.T) {
				t.Parallel()
				b := newFixture(t)
				seen, killed := 0, errors.New("killed")
				k := b.open(func(c *Config) {
					c.Checkpoint = func(point string) error {
						if seen == 0 && point == at {
							seen++
							return killed
						}
						return nil
					}
				})
				old, sealed := k.Master(), k.Seal("a", []byte("secret"))
				if _, err := k.Rotate(t.Context(), nil); !errors.Is(err, killed) {
					t.Fatalf("it was not killed at %q: %v", at, err)
				}
				if again == "rotation" {
					if _, err := k.Rotate(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					b.mustOpen(k, "a", sealed, "secret")
				}
				k = b.open()
				b.mustOpen(k, "a", sealed, "secret")
				masters, err := k.file.read()
				if err != nil || len(masters) != 1 || masters[0].public == old.Public || masters[0].public != k.Master().Public {
					t.Errorf("the file holds %d keys: %v", len(masters), err)
				}
				for _, row := range b.rows() {
					if row.Master != masters[0].public {
						t.Errorf("data key %s is wrapped for %s", row.ID, row.Master)
					}
				}
			})
		}
	}
}

// If the file can't be written, a rotation changes nothing.
func TestRotationWithoutFile(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	k := b.open()
	before, rows := k.Master(), b.rows()
	k.file.path = filepath.Join(b.dir, "missing", "master.key")
	if _, err := k.Rotate(t.Context(), nil); err == nil {
		t.Error("it was rotated")
	}
	if got := b.rows(); k.Master() != before || len(got) != len(rows) || got[0].Master != rows[0].Master {
		t.Error("the keys changed")
	}
}

func TestUseWhileRotating(t *testing.T) {
	t.Parallel()
	b := newFixture(t)
	k := b.open()
	var running sync.WaitGroup
	for n := range 4 {
		running.Go(func() {
			for i := range 300 {
				secret := fmt.Sprint(n, i)
				b.mustOpen(k, "a", k.Seal("a", []byte(secret)), secret)
			}
		})
	}
	for range 5 {
		if _, err := k.Rotate(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	running.Wait()
	if n := k.Master().DataKeys; n != 6 {
		t.Errorf("%d data keys after five rotations", n)
	}
}

func FuzzOpen(f *testing.F) {
	k := newFixture(f).open()
	sealed := k.Seal("a", []byte("secret"))
	f.Add("a", sealed)
	f.Add("b", sealed)
	f.Add("", sealed[:header])
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, context string, b []byte) {
		got, err := k.Open(context, b)
		genuine := context == "a" && bytes.Equal(b, sealed)
		if genuine != (err == nil) || err != nil && (!errors.Is(err, ErrSealed) || got != nil) {
			t.Errorf("Open(%q, %x) = %q, %v", context, b, got, err)
		}
	})
}

func FuzzParseMasters(f *testing.F) {
	m, err := newMaster()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("# comment\n\n" + m.text + "\n")
	f.Add(m.text + "\r\n" + m.text)
	f.Add("AGE-SECRET-KEY-PQ-1")
	f.Fuzz(func(t *testing.T, text string) {
		masters, err := parseMasters(text)
		if (err == nil) != (len(masters) > 0) {
			t.Errorf("%d keys, %v", len(masters), err)
		}
		for _, m := range masters {
			row, err := newDataKey(m, t0)
			if err == nil {
				_, _, err = unwrap(masters, row)
			}
			if err != nil {
				t.Errorf("a key that was read does not work: %v", err)
			}
		}
	})
}
