package plan_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/plan"
	"github.com/openslipway/slipway/internal/source/config"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func twoMains(t *testing.T) string {
	t.Helper()
	return tree(t, map[string]string{"go.mod": "module m\n", "cmd/a/main.go": "package main\n\nfunc main() {}\n", "cmd/b/main.go": "package main\n\nfunc main() {}\n"})
}

// A question is asked until it is answered, by number or by value.
func TestAsk(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"2\n", "./cmd/b\n", "0\n9\nnonsense\n\n2\n", "2"} {
		var out bytes.Buffer
		a, err := plan.Read(plan.Request{Path: twoMains(t), In: bufio.NewReader(strings.NewReader(answer)), Out: &out})
		if err != nil {
			t.Fatalf("%q: %v", answer, err)
		}
		if build := a.Result.File.Build; !strings.HasSuffix(build[0], " ./cmd/b") {
			t.Errorf("%q chose %q", answer, build)
		}
		if !strings.Contains(out.String(), "2) ./cmd/b (cmd/b/main.go)\nWhich main? [1-2] ") {
			t.Errorf("%q was asked %q", answer, out.String())
		}
	}
}

// When the terminal is closed, the question becomes the error.
func TestAskWithoutAnswer(t *testing.T) {
	t.Parallel()
	_, err := plan.Read(plan.Request{Path: twoMains(t), In: bufio.NewReader(strings.NewReader("")), Out: &bytes.Buffer{}})
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || !strings.Contains(p.Hint, "--choose main=./cmd/a") {
		t.Errorf("%v", err)
	}
}

// The choice of a directory goes on below it, and its file is written there.
func TestAskForDirectory(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"api/go.mod": "module m\n", "api/main.go": "package main\n\nfunc main() {}\n", "web/package.json": `{"scripts": {"start": "node x.js"}}`,
	})
	a, err := plan.Read(plan.Request{Path: dir, In: bufio.NewReader(strings.NewReader("web\n")), Out: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Path != filepath.Join(dir, "web") || a.Result.Language != "nodejs" {
		t.Errorf("%+v", a)
	}
	name, err := plan.Write(a, false)
	if err != nil || name != filepath.Join(dir, "web", config.FileName) {
		t.Errorf("%s, %v", name, err)
	}
}

// A link is not written through, whatever it leads to.
func TestWriteRefusesLink(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"index.html": "x"})
	target := filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(target, filepath.Join(dir, config.FileName)); err != nil {
		t.Fatal(err)
	}
	a, err := plan.Read(plan.Request{Path: dir, Anew: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Write(a, true); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the link's target was written")
	}
}
