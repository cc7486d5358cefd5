package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/openslipway/slipway/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "key")
	for i, write := range []func(content []byte) error{
		func(b []byte) error { return atomicfile.Write(path, b, 0o644) },
		func(b []byte) error { return atomicfile.WriteVia(temp, path, b, 0o600) },
		func(b []byte) error { return atomicfile.Write(path, b, 0o600) },
	} {
		want := string(rune('a' + i))
		if err := write([]byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("the file holds %q, %v; want %q", got, err, want)
		}
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", fi.Mode(), err)
	}
	wantEntries(t, dir, 1)
	wantEntries(t, temp, 0)
}

// A file that can't be replaced keeps its content, and nothing is left behind.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	wantEntries(t, dir, 1)
	if err := atomicfile.Write(filepath.Join(dir, "none", "file"), []byte("x"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v, want %v", err, fs.ErrNotExist)
	}
}

func wantEntries(t *testing.T, dir string, n int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != n {
		t.Errorf("%s has %v, %v; want %d entries", dir, entries, err, n)
	}
}
