package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// baseFile names the commit whose binary is the old side of an upgrade: the
// last release. CONTRIBUTING.md says when it moves.
const baseFile = "BASE"

// errNoHistory is returned where the repository lacks the base commit.
var errNoHistory = errors.New("the repository does not hold the base commit")

// base returns the path of the slipway of the base commit. The test is skipped
// where there is no history; a whole history without the base commit is an error.
func base(t *testing.T) string {
	t.Helper()
	path, err := buildBase()
	if errors.Is(err, errNoHistory) {
		t.Skipf("%v: fetch the whole history (git fetch --unshallow)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildBase builds the base commit with its own Makefile. The binary is stored below
// bin under the commit's name, so that it is built once.
var buildBase = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(baseFile)
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(text))
	out, err := filepath.Abs(filepath.Join(harness.Root, "bin", "base", commit, "slipway"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(out); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return out, err
	}
	if err := checkHistory(commit); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "slipway-base-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := checkout(commit, dir); err != nil {
		return "", err
	}
	cmd := exec.Command("make", "--no-print-directory", "-s", "-C", dir, "build")
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false -trimpath") // a cache key without the directory
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build of %s: %w\n%s", commit, err, text)
	}
	return out, install(filepath.Join(dir, "bin", "slipway"), out)
})

// checkHistory checks that the repository holds a commit. Without git, a
// repository or the whole history it returns errNoHistory.
func checkHistory(commit string) error {
	text, err := exec.Command("git", "-C", harness.Root, "cat-file", "-e", commit+"^{commit}").CombinedOutput()
	if err == nil {
		return nil
	}
	_, noRepository := os.Stat(filepath.Join(harness.Root, ".git"))
	shallow, _ := exec.Command("git", "-C", harness.Root, "rev-parse", "--is-shallow-repository").Output()
	if errors.Is(err, exec.ErrNotFound) || noRepository != nil || strings.TrimSpace(string(shallow)) == "true" {
		return fmt.Errorf("%w %s", errNoHistory, commit)
	}
	return fmt.Errorf("find the base commit %s: git cat-file: %w\n%s", commit, err, text)
}

// checkout writes the files of a commit into a directory.
func checkout(commit, dir string) error {
	archive := exec.Command("git", "-C", harness.Root, "archive", "--format=tar", commit)
	var complaints bytes.Buffer
	archive.Stderr = &complaints
	files, err := archive.Output()
	if err != nil {
		return fmt.Errorf("git archive %s: %w\n%s", commit, err, &complaints)
	}
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = bytes.NewReader(files)
	if text, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w\n%s", err, text)
	}
	return nil
}

// install copies a binary to its place in one step.
func install(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", b, 0o755); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
