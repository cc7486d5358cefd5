package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openslipway/slipway/internal/cli/lint"
	"github.com/openslipway/slipway/internal/source/config"
)

const (
	right  = "version: 1.0\nruntime: nodejs22 # the newest\nbuild:\n  commands:\n    build:\n      - npm ci\nrun:\n  command: node server.js\n"
	token  = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
	broken = "version: 1.0\nruntime: node22 # the newest\nbuild:\n  commands:\n    build:\n      - npm ci\nrun:\n  command: node server.js\n  env:\n    GITHUB_TOKEN: " + token + "\n"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := lint.Run(dir, false); err == nil || !strings.Contains(err.Error(), "there is no apprunner.yaml in "+dir) {
		t.Errorf("an empty directory: %v", err)
	}
	write(t, dir, "apprunner.yml", right)
	r, err := lint.Run(dir, false)
	if err != nil || filepath.Base(r.Path) != "apprunner.yml" || len(r.Findings) != 1 || r.Findings[0].Code != config.CodeFileName {
		t.Errorf("apprunner.yml alone: %+v, %v", r, err)
	}
	write(t, dir, "apprunner.yaml", right)
	r, err = lint.Run(dir, false)
	if err != nil || filepath.Base(r.Path) != "apprunner.yaml" || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Message, "apprunner.yml is beside") {
		t.Errorf("both: %+v, %v", r, err)
	}
}

func TestFileBelow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "api"), 0o755); err != nil {
		t.Fatal(err)
	}
	below := write(t, dir, "api/apprunner.yaml", right)
	if _, err := lint.Run(dir, false); err == nil || !strings.Contains(err.Error(), "but there is "+below) {
		t.Error(err)
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, dir, "apprunner.yml", broken)
	r, err := lint.Run(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.Path != filepath.Join(dir, config.FileName) || len(r.Repaired) != 3 || r.Errors() != 0 {
		t.Errorf("%+v", r)
	}
	if strings.Contains(r.Diff, token) || !strings.Contains(r.Diff, "[redacted]") || !strings.Contains(r.Diff, "rename ") {
		t.Errorf("the diff is\n%s", strings.ReplaceAll(r.Diff, token, "TOKEN"))
	}
	got, err := os.ReadFile(r.Path)
	want := strings.Replace(strings.Replace(broken, "node22", "nodejs22", 1), "    GITHUB_TOKEN: ", "    - name: GITHUB_TOKEN\n      value: ", 1)
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", strings.ReplaceAll(string(got), token, "TOKEN"), err)
	}
	if info, err := os.Stat(r.Path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode changed: %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the former name is left: %v", err)
	}
	again, err := lint.Run(r.Path, true)
	if err != nil || len(again.Repaired) > 0 || again.Diff != "" {
		t.Errorf("a second repair: %+v, %v", again, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("files are left: %v", entries)
	}
}

// TestRepairOverwritesNothing repairs apprunner.yml beside an apprunner.yaml.
func TestRepairOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := write(t, dir, "apprunner.yaml", "# mine\n")
	path := write(t, dir, "apprunner.yml", strings.Replace(right, "nodejs22", "node22", 1))
	r, err := lint.Run(path, true)
	if err != nil || r.Path != path || len(r.Repaired) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if got, _ := os.ReadFile(other); string(got) != "# mine\n" {
		t.Errorf("the other file is %q", got)
	}
	if got, _ := os.ReadFile(path); string(got) != right {
		t.Errorf("the file is %q", got)
	}
}

func TestRepairKeepsLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := write(t, dir, "service.yaml", strings.Replace(right, "nodejs22", "node22", 1))
	link := filepath.Join(dir, config.FileName)
	if err := os.Symlink("service.yaml", link); err != nil {
		t.Fatal(err)
	}
	if _, err := lint.Run(link, true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if got, _ := os.ReadFile(target); string(got) != right {
		t.Errorf("the file is %q", got)
	}
}

func TestNoRegularFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, config.FileName)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := lint.Run(path, true); err == nil || !strings.Contains(err.Error(), "is no regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := lint.Run(filepath.Join(dir, "none"), false); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestLargeFile(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), config.FileName, right+strings.Repeat("# long\n", 20000))
	r, err := lint.Run(path, true)
	if err != nil || r.Errors() != 1 || r.Findings[0].Code != config.CodeTooLarge || len(r.Repaired) > 0 {
		t.Errorf("%d errors, %v", r.Errors(), err)
	}
}
