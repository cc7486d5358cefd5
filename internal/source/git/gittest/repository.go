// Package gittest makes git repositories and serves them for tests: by https with a
// token, and by ssh with a deploy key.
//
// It is for tests of package git and of what uses it. It needs the git program.
package gittest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repository is a repository with a work tree, and the directory that servers serve
// it from.
type Repository struct {
	t   testing.TB
	Dir string
}

// New makes an empty repository called name below root, with the default branch
// main.
func New(t testing.TB, root, name string) *Repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := &Repository{t, filepath.Join(root, name)}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Git("init", "-q", "-b", "main", ".")
	return r
}

// Git runs git in the repository and returns its output, trimmed.
func (r *Repository) Git(args ...string) string {
	r.t.Helper()
	return r.GitInput("", args...)
}

// GitInput runs git with an input.
func (r *Repository) GitInput(input string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.Dir
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + r.Dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Write writes a file of the work tree; a path that begins with "*" is executable,
// a content that begins with "->" makes a symbolic link.
func (r *Repository) Write(path, content string) {
	r.t.Helper()
	path, executable := strings.CutPrefix(path, "*")
	full := filepath.Join(r.Dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if to, link := strings.CutPrefix(content, "->"); link {
		if err := os.Symlink(to, full); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	if err := os.WriteFile(full, []byte(content), mode); err != nil {
		r.t.Fatal(err)
	}
}

// Commit writes files as Write does, commits everything and returns the commit's
// id.
func (r *Repository) Commit(subject string, files map[string]string) string {
	r.t.Helper()
	for path, content := range files {
		r.Write(path, content)
	}
	r.Git("add", "-A", ".")
	r.Git("commit", "-q", "--allow-empty", "-m", subject)
	return r.Git("rev-parse", "HEAD")
}
