package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/backup"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

func quiet(int64, int64) {}

// backedUpDir returns a data directory with a database, a master key and a file of each
// kind.
func backedUpDir(t *testing.T) dirs {
	t.Helper()
	d := dirs(filepath.Join(t.TempDir(), "data"))
	for name, text := range map[string]string{
		"credentials": "secret", "node": "id", "logs/a": "line", "build/cache/x": "package",
		"images/blobs/sha256/ab": "blob", "images/tmp/x": "part", "images/repositories/shop/_tags/1": "sha256:ab",
		"uploads/u/contents/ab/abcd": "code", "uploads/u/snapshots/1.json": "{}", "uploads/u/incoming/x": "part",
		"runtimes/made/python.json": "{}", "runtimes/made/.python.json-1": "part", "runtimes/work/x": "part",
	} {
		write(t, filepath.Join(string(d), name), text)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(string(d), "images/blobs/sha256/link")); err != nil {
		t.Fatal(err)
	}
	withKeys(t, d, func(*seal.Keyring) {})
	return d
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// withKeys opens the database and the keys of a data directory as a server does.
func withKeys(t *testing.T, d dirs, f func(*seal.Keyring)) {
	t.Helper()
	st, err := store.Open(t.Context(), d.database())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	k, err := seal.Open(t.Context(), seal.Config{Store: st, File: d.masterKey(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f(k)
}

// backUp returns a backup of a data directory.
func backUp(t *testing.T, d dirs, withKey bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := WriteBackup(t.Context(), BackupConfig{DataDir: string(d), Out: &b, Version: "v1", IncludeKey: withKey, Progress: quiet}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func restore(t *testing.T, to string, b []byte, keyFile string) (Backup, error) {
	t.Helper()
	return RestoreBackup(t.Context(), RestoreConfig{DataDir: to, From: bytes.NewReader(b), Name: "b.tar", KeyFile: keyFile, Progress: quiet})
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func wantError(t *testing.T, what string, err error, message string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), message) {
		t.Errorf("%s: %v, want %q", what, err, message)
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	var sealed []byte
	withKeys(t, d, func(k *seal.Keyring) { sealed = k.Seal("row", []byte("word")) })
	for _, withKey := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "b.tar")
		done, err := WriteBackup(t.Context(), BackupConfig{DataDir: string(d), File: file, Version: "v1", IncludeKey: withKey, Progress: quiet})
		if err != nil || done.Key != withKey || !strings.HasPrefix(done.Master, "age1") {
			t.Fatalf("%+v, %v", done, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("the file has the mode %v, %v", info.Mode(), err)
		}
		if left := entries(t, filepath.Dir(file)); len(left) != 1 {
			t.Errorf("beside the backup is %v", left)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := dirs(filepath.Join(t.TempDir(), "data"))
		got, err := restore(t, string(to), b, "")
		if err != nil || got != done {
			t.Fatalf("restored %+v, %v; want %+v", got, err, done)
		}
		for name, want := range map[string]bool{
			"slipway.db": true, "images/blobs/sha256/ab": true, "images/repositories/shop/_tags/1": true,
			"uploads/u/contents/ab/abcd": true, "uploads/u/snapshots/1.json": true, "runtimes/made/python.json": true,
			"master.key": withKey, "credentials": false, "node": false, "logs": false, "build": false, "images/tmp": false, "uploads/u/incoming": false,
			"runtimes/made/.python.json-1": false, "runtimes/work": false, "images/blobs/sha256/link": false, restoring: false,
		} {
			if _, err := os.Lstat(filepath.Join(string(to), name)); (err == nil) != want {
				t.Errorf("with the key %v: %s is restored: %v, want %v", withKey, name, err == nil, want)
			}
		}
		if err := to.checkRestored(); err != nil {
			t.Error(err)
		}
		if withKey {
			withKeys(t, to, func(k *seal.Keyring) {
				if word, err := k.Open("row", sealed); string(word) != "word" {
					t.Errorf("the secret is %q, %v", word, err)
				}
			})
		}
		_, err = restore(t, string(to), b, "")
		wantError(t, "restored twice", err, "is not empty: it has")
	}
	if left, _ := os.Lstat(filepath.Join(string(d), ".backup")); left != nil {
		t.Error("the copy of the database is left")
	}
}

// A layer that was built here, which is only a directory, is in a backup as its tar, and
// a restored image store unpacks it.
func TestBackupOfAdoptedLayer(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	images := func(d dirs) *image.Store {
		s, err := image.Open(image.Config{Dir: d.images(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := images(d)
	layer := filepath.Join(t.TempDir(), "layer")
	write(t, filepath.Join(layer, "app/main"), "program")
	l, err := pack.Digest(t.Context(), layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Adopt(t.Context(), image.Adoption{
		Layers: []image.NewLayer{{Dir: layer, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries}}, Config: image.RunConfig{Entrypoint: []string{"/app/main"}}, Name: "built:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	b := backUp(t, d, true) // while the store is open
	s.Close()
	to := dirs(filepath.Join(t.TempDir(), "data"))
	if _, err := restore(t, string(to), b, ""); err != nil {
		t.Fatal(err)
	}
	again := images(to)
	defer again.Close()
	list, err := again.Layers(t.Context(), img.Digest)
	if err != nil || len(list) != 1 {
		t.Fatalf("layers %v, %v", list, err)
	}
	if text, err := os.ReadFile(filepath.Join(list[0], "app/main")); string(text) != "program" {
		t.Errorf("the program is %q, %v", text, err)
	}
}

// What is removed while a backup is made is not in it, and the rest is.
func TestBackupWhileRemoving(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	layer := filepath.Join(d.images(), "layers", "cd")
	write(t, filepath.Join(layer, "note.json"), `{"tar":100000}`) // longer than what there is
	write(t, filepath.Join(layer, "fs/a"), strings.Repeat("a", 5000))
	var b bytes.Buffer
	_, err := WriteBackup(t.Context(), BackupConfig{DataDir: string(d), Out: &b, Version: "v1", Progress: func(int64, int64) {
		if err := errors.Join(os.RemoveAll(filepath.Join(d.images(), "blobs/sha256/ab")), os.RemoveAll(filepath.Join(layer, "fs"))); err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "data")
	if _, err := restore(t, to, b.Bytes(), ""); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, filepath.Join(to, "images/blobs/sha256")); len(got) > 0 {
		t.Errorf("restored %v", got)
	}
	if got := entries(t, filepath.Join(to, "uploads/u")); len(got) != 2 {
		t.Errorf("restored uploads %v", got)
	}
}

// The key in a backup opens the database in it, also if the key is rotated after it was
// read and before the database is copied: the key file is a pipe, which tells when.
func TestBackupWhileRotating(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	pipe := filepath.Join(t.TempDir(), "key")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	withKeys(t, d, func(k *seal.Keyring) {
		var serving sync.WaitGroup
		serving.Go(func() {
			to, err := os.OpenFile(pipe, os.O_WRONLY, 0) // when somebody reads
			if err != nil {
				t.Error(err)
				return
			}
			key, err := os.ReadFile(d.masterKey())
			_, werr := to.Write(key)
			_, rerr := k.Rotate(t.Context(), nil)
			if err := errors.Join(err, werr, rerr, os.Remove(pipe), os.Symlink(d.masterKey(), pipe), to.Close()); err != nil {
				t.Error(err)
			}
		})
		var b bytes.Buffer
		_, err := WriteBackup(t.Context(), BackupConfig{DataDir: string(d), Out: &b, Version: "v1", IncludeKey: true, KeyFile: pipe, Progress: quiet})
		if err != nil {
			t.Fatal(err)
		}
		serving.Wait()
		if _, err := restore(t, filepath.Join(t.TempDir(), "data"), b.Bytes(), ""); err != nil {
			t.Error(err)
		}
	})
}

// What is refused leaves nothing.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	whole, withKey := backUp(t, d, false), backUp(t, d, true)
	schema, err := store.Schema()
	if err != nil {
		t.Fatal(err)
	}
	made := func(h backup.Header, files ...string) []byte {
		var b bytes.Buffer
		w, err := backup.NewWriter(&b, h)
		for _, f := range files {
			err = errors.Join(err, w.Add(f, 4, strings.NewReader("text")))
		}
		if errors.Join(err, w.Close()) != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	otherKey, noKey, encrypted := backedUpDir(t).masterKey(), filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "key")
	write(t, noKey, "AGE-SECRET-KEY-1")
	write(t, encrypted, "age-encryption.org/v1\n")
	for name, c := range map[string]struct {
		content []byte
		key     string
		message string
	}{
		"half":           {whole[:len(whole)/2], "", "incomplete"},
		"newer":          {made(backup.Header{Slipway: "v99", Schema: 9999}), "", `it was written by slipway "v99", whose database has version 9999; this one knows versions up to`},
		"nothing":        {[]byte("x"), "", "no backup of Slipway"},
		"no state":       {made(backup.Header{Slipway: "v1", Schema: 1}), "", "there is no database"},
		"no database":    {made(backup.Header{Slipway: "v1", Schema: 1}, "slipway.db"), "", "the database is damaged"},
		"other header":   {bytes.Replace(whole, []byte(`"schema":`), []byte(`"schem1":`), 1), "", "its header says 0"},
		"too large":      {made(backup.Header{Slipway: "v1", Schema: schema, Bytes: 1 << 62}), "", "MB are free"},
		"too many":       {made(backup.Header{Slipway: "v1", Schema: schema, Files: 1 << 50}), "", "MB are free"},
		"others":         {made(backup.Header{Slipway: "v1", Schema: schema}, "node"), "", "backups do not have, node"},
		"unpacked layer": {made(backup.Header{Slipway: "v1", Schema: schema}, "images/layers/ab/note.json"), "", "backups do not have"},
		"wrong key":      {whole, otherKey, "which is the key of another database"},
		"no key":         {whole, noKey, "is not an AGE-SECRET-KEY"},
		"no key file":    {whole, noKey + "x", "read the master key"},
		"encrypted key":  {whole, encrypted, "SLIPWAY_KEY_PASSPHRASE"},
		"key is missing": {bytes.Replace(whole, []byte(`"key":false`), []byte(`"key":true `), 1), "", "master.key: no such file"},
		"another's key":  {withKey, otherKey, "which is the key of another database"},
	} {
		to, empty := filepath.Join(t.TempDir(), "data"), t.TempDir()
		for _, dir := range []string{to, empty} {
			_, err := restore(t, dir, c.content, c.key)
			wantError(t, name, err, c.message)
		}
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) || len(entries(t, empty)) > 0 {
			t.Errorf("%s leaves %v and %v", name, entries(t, to), entries(t, empty))
		}
	}
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("interrupted"))
	to := filepath.Join(t.TempDir(), "data")
	_, err = RestoreBackup(stopped, RestoreConfig{DataDir: to, From: bytes.NewReader(whole), Name: "b.tar", Progress: quiet})
	wantError(t, "a restoration that is stopped", err, "interrupted")
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a restoration that is stopped leaves %v", entries(t, to))
	}
}

// A restoration that was killed keeps a server from starting. It is begun again, unless
// something is in its place already.
func TestRestoreAfterKill(t *testing.T) {
	t.Parallel()
	b := backUp(t, backedUpDir(t), true)
	to := t.TempDir()
	write(t, filepath.Join(to, restoring, "images/blobs/sha256/ab"), "half")
	wantError(t, "a server", dirs(to).checkRestored(), "run slipway restore again")
	if _, err := restore(t, to, b, ""); err != nil {
		t.Error(err)
	}
	to = t.TempDir()
	write(t, filepath.Join(to, restoring, "slipway.db"), "whole")
	write(t, filepath.Join(to, "images/blobs/sha256/ab"), "whole")
	_, err := restore(t, to, b, "")
	wantError(t, "half in its place", err, "is not empty: it has images")
	if got := entries(t, to); len(got) != 2 {
		t.Errorf("there is only %v", got)
	}
	to = t.TempDir()
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	_, err = restore(t, to, b, "")
	wantError(t, "two at once", err, "another backup is being restored")
}

func TestBackupTarget(t *testing.T) {
	t.Parallel()
	d := backedUpDir(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar")
	c := BackupConfig{DataDir: string(d), File: file, Version: "v1", Progress: quiet}
	try := func(c BackupConfig) error { _, err := WriteBackup(t.Context(), c); return err }
	write(t, file, "precious")
	wantError(t, "over a file", try(c), "replace it with --force")
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if len(entries(t, dir)) != 1 {
		t.Errorf("a refusal leaves %v", entries(t, dir))
	}

	// What killed backups left is removed; what another is writing is not.
	write(t, filepath.Join(dir, ".slipway-backup-1"), "half")
	write(t, filepath.Join(string(d), ".backup/slipway.db"), "half")
	other, err := newPartial(filepath.Join(dir, "other.tar"))
	if err != nil {
		t.Fatal(err)
	}
	c.Replace = true
	if err := try(c); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); len(got) != 2 || got[0] != filepath.Base(other.file.Name()) {
		t.Errorf("after the backup there are %v", got)
	}
	write(t, filepath.Join(dir, "other.tar"), "appeared")
	wantError(t, "a file that appeared", other.keep(false), "exists by now")
	other.discard()
	if got := entries(t, dir); len(got) != 2 {
		t.Errorf("discarded, it leaves %v", got)
	}

	c.File = dir
	wantError(t, "a directory", try(c), "is a directory")
	c.File = filepath.Join(dir, "none", "b.tar")
	wantError(t, "in no directory", try(c), "no such file or directory")
	c.File = filepath.Join(dir, "link")
	if err := os.Symlink(file, c.File); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a link", try(c), "no plain file")
	c.File, c.DataDir = filepath.Join(dir, "new.tar"), t.TempDir()
	wantError(t, "no server's directory", try(c), "is not the data directory of a server")
	c.DataDir, c.IncludeKey, c.KeyFile = string(d), true, backedUpDir(t).masterKey()
	wantError(t, "another server's key", try(c), "which is the key of another database")
	c.KeyFile = filepath.Join(dir, "none")
	wantError(t, "no key", try(c), "--key-file")
	c.KeyFile = ""

	ctx, stop := context.WithCancelCause(t.Context())
	c.Progress = func(int64, int64) { stop(errors.New("interrupted")) }
	_, err = WriteBackup(ctx, c)
	wantError(t, "a backup that is stopped", err, "interrupted")
	if got := entries(t, dir); len(got) != 3 {
		t.Errorf("stopped and refused backups leave %v", got)
	}
	if _, err := os.Lstat(filepath.Join(string(d), ".backup")); err == nil {
		t.Error("they leave a copy of the database")
	}
	_, free, err := d.copyPlace()
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	wantError(t, "two at once", try(c), "another backup")
}
