package detect_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/openslipway/slipway/internal/source/detect"
)

// FuzzDetect gives any tree: detection ends, gives the same each time, never names a
// path outside, and what it finds is a configuration that is accepted.
func FuzzDetect(f *testing.F) {
	for _, name := range corpus(f) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := split(data)
		inside := &recorder{FS: tree}
		r, err := detect.Detect(inside)
		again, errAgain := detect.Detect(tree)
		if diff := cmp.Diff(outcome(r, err), outcome(again, errAgain)); diff != "" {
			t.Fatalf("two runs differ:\n%s", diff)
		}
		for _, name := range inside.names {
			if !fs.ValidPath(name) {
				t.Errorf("%q was opened", name)
			}
		}
		if err != nil || r.Configuration != "" {
			return
		}
		for _, text := range append(r.Why, r.Warnings...) {
			if strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Errorf("%q can't be printed", text)
			}
		}
		checkConfiguration(t, "fuzzed", r)
	})
}

// FuzzFile gives any content to each file that is parsed.
func FuzzFile(f *testing.F) {
	for _, name := range corpus(f) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for i, file := range a.Files {
			if i < 3 {
				f.Add(filepath.Base(file.Name), file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || name == "." {
			return
		}
		tree := fstest.MapFS{name: {Data: data}, "package.json": {Data: []byte(`{"scripts": {"start": "node server.js"}}`)}}
		tree[name] = &fstest.MapFile{Data: data}
		_, _ = detect.Detect(tree)
	})
}

// split reads an archive as txtar does, which panics at some.
func split(data []byte) fstest.MapFS {
	tree := fstest.MapFS{}
	name := ""
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok {
			if marked, ok := strings.CutSuffix(strings.TrimSpace(rest), " --"); ok {
				if name = ""; fs.ValidPath(marked) && marked != "." {
					name = marked
				}
				continue
			}
		}
		if name == "" {
			continue
		}
		if tree[name] == nil {
			tree[name] = &fstest.MapFile{Mode: 0o644}
		}
		tree[name].Data = append(tree[name].Data, line...)
	}
	return tree
}

// recorder notes the names that are opened.
type recorder struct {
	fs.FS
	names []string
}

func (r *recorder) Open(name string) (fs.File, error) {
	r.names = append(r.names, name)
	return r.FS.Open(name)
}

// Links that lead out of the tree are not followed when the tree is an os.Root's.
func TestLinksStayInside(t *testing.T) {
	t.Parallel()
	outside, inside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inside, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"main.go": filepath.Join(outside, "main.go"), "cmd": outside, "Dockerfile": "../../../etc/passwd", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r, err := detect.Detect(root.FS())
	if err == nil || !strings.Contains(err.Error(), "no main package") {
		t.Errorf("%+v, %v", r, err)
	}
}

// A link to a file within the tree counts as the file.
func TestLinksInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "deploy/web"), []byte("FROM alpine\nEXPOSE 81\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("deploy/web", filepath.Join(dir, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r, err := detect.Detect(root.FS())
	if err != nil || r.Dockerfile != "Dockerfile" || r.File.Port != 81 {
		t.Errorf("%+v, %v", r, err)
	}
}
