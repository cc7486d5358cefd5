package builds

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// keepEnv names a directory with runtimes that the tests of internal/build have made.
const keepEnv = "SLIPWAY_TEST_RUNTIMES"

// made is a data directory with the runtime that most tests need: made once, since
// that takes a minute.
var made struct {
	sync.Once
	dir       string // "" if it could not be made
	temporary string // a directory to remove at the end
}

// forgetRuntimes removes them.
func forgetRuntimes() {
	if made.temporary != "" {
		os.RemoveAll(made.temporary)
	}
}

// giveRuntimes gives a server that has not started yet the runtimes that are there, at
// least Python. The test is skipped where that could not be made.
func giveRuntimes(t *testing.T, dataDir string) {
	t.Helper()
	made.Do(func() { makeRuntimes(t) })
	if made.dir == "" {
		t.Skip("the runtime python311 could not be made; the first test says why")
	}
	if err := copyRuntimes(made.dir, dataDir); err != nil {
		t.Fatal(err)
	}
}

// makeRuntimes finds the runtimes of earlier tests, or has a server make Python.
func makeRuntimes(t *testing.T) {
	t.Helper()
	if dir := os.Getenv(keepEnv); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "runtimes", "made", "python311@.json")); err == nil {
			made.dir = dir
			return
		}
	}
	s := prepareCode(t)
	s.begin(t)
	r := s.repository(t, "first", map[string]string{"app.py": app, "built.txt": "made"})
	s.create(t, "first", s.source(r, "", apiPython("true", "9000", "first")))
	s.DeleteAll()
	s.Stop()
	dir, err := os.MkdirTemp("", "slipway-runtimes-*")
	if err != nil {
		t.Fatal(err)
	}
	made.temporary = dir
	if err := copyRuntimes(s.DataDir, dir); err != nil {
		t.Fatal(err)
	}
	made.dir = dir
}

// copyRuntimes links the runtimes of a data directory, and the images that they are,
// into another one. Servers replace such files and never change them.
func copyRuntimes(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{"images", "runtimes"} {
		out, err := exec.Command("cp", "-al", filepath.Join(from, name), to).CombinedOutput()
		if err != nil { // another file system
			out, err = exec.Command("cp", "-a", filepath.Join(from, name), to).CombinedOutput()
		}
		if err != nil {
			errs = append(errs, errors.New(string(out)))
		}
	}
	// Each server locks its own.
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(to, "images", "lock")))...)
}
