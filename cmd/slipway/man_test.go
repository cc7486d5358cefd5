package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command has a page, with all of its flags, and nothing in it is taken for a
// request of roff.
func TestManual(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, stderr := newSession(t).quietly(t.Context(), "man", dir); code != exitOK {
		t.Fatalf("man exits with %d: %s", code, stderr)
	}
	up, err := os.ReadFile(filepath.Join(dir, "slipway-up.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".TH \"SLIPWAY\\-UP\" 1", ".SH NAME\nslipway\\-up \\- ", "\\-\\-env\\-file file", ".SH EXAMPLES", ".BR slipway (1)"} {
		if !strings.Contains(string(up), want) {
			t.Errorf("slipway-up.1 has no %q:\n%s", want, up)
		}
	}
	for _, page := range []string{"slipway.1", "slipway-iam-user-create.1", "slipway-serve.1", "slipway-completion-bash.1"} {
		if _, err := os.Stat(filepath.Join(dir, page)); err != nil {
			t.Error(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range pages {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if request, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, "'") ||
				strings.HasPrefix(line, ".") && !strings.Contains(" .TH .SH .B .BR .PP .TP .nf .fi .nh ", " "+request+" ") {
				t.Errorf("%s has a line like a request: %q", filepath.Base(file), line)
			}
		}
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a-b":            `a\-b`,
		`C:\x`:           `C:\ex`,
		".gitignore\n'x": "\\&.gitignore\n\\&'x",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
