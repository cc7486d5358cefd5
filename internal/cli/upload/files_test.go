package upload

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/openslipway/slipway/internal/source/upload"
)

// What is not sent does not exist for detection, and the rest is a file system.
func TestSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "web/b.txt", "web/secret", "left/out"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	f := sent(os.DirFS(dir), upload.Manifest{Files: []upload.File{{Path: "a.txt"}, {Path: "web/b.txt"}}})
	if err := fstest.TestFS(f, "a.txt", "web/b.txt"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"web/secret", "left", "left/out"} {
		if _, err := fs.Stat(f, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := fs.ReadDir(f, "."); err != nil || len(entries) != 2 {
		t.Errorf("the root has %v, %v", entries, err)
	}
}
