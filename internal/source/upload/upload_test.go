package upload_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/upload"
)

// directory makes files; "*path" is executable, "->to" a symbolic link.
func directory(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for p, text := range files {
		p, executable := strings.CutPrefix(p, "*")
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		to, link := strings.CutPrefix(text, "->")
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		err := error(nil)
		if link {
			err = os.Symlink(to, full)
		} else {
			err = os.WriteFile(full, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func paths(m upload.Manifest) []string {
	var all []string
	for _, f := range m.Files {
		all = append(all, f.Path)
	}
	return all
}

func TestIgnore(t *testing.T) {
	t.Parallel()
	root := directory(t, map[string]string{
		".gitignore":       "# comment\n*.log\n!keep.log\n/build\nnode_modules/\ndoc/*.txt\na/**/z\nsp\\ ace\n[xy].tmp\n[!a-c].bak\n",
		".dockerignore":    "secret*\n**/cache\nDockerfile\nlarge\n!large/kept\n",
		"Dockerfile":       "x",
		".git/config":      "x",
		"a.log":            "x",
		"keep.log":         "x",
		"build/out":        "x",
		"src/build/in":     "x",
		"src/.gitignore":   "!b.log\n/local\n",
		"src/b.log":        "x",
		"src/c.log":        "x",
		"src/local":        "x",
		"src/x/local":      "x",
		"node_modules/m":   "x",
		"src/node_modules": "a file",
		"doc/a.txt":        "x",
		"doc/b/a.txt":      "x",
		"a/b/c/z":          "x",
		"a/z":              "x",
		"sp ace":           "x",
		"x.tmp":            "x",
		"z.tmp":            "x",
		"a.bak":            "x",
		"d.bak":            "x",
		"secret.txt":       "x",
		"src/secret.txt":   "x",
		"src/cache/x":      "x",
		"large/dropped":    "x",
		"large/kept/file":  "x",
	})
	m, err := upload.Scan(root, upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".dockerignore", ".gitignore", "Dockerfile", "a.bak", "doc/b/a.txt", "keep.log", "large/kept/file",
		"src/.gitignore", "src/b.log", "src/build/in", "src/node_modules", "src/secret.txt", "src/x/local", "z.tmp",
	}
	if diff := cmp.Diff(want, paths(m)); diff != "" {
		t.Error(diff)
	}
}

// TestRoundTrip uploads a directory twice: the second time only what changed is
// sent.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.txt": "one", "same.txt": "one", "*bin/run": "#!", "bin/link": "->../a.txt", "empty": ""}
	root := directory(t, files)
	s, err := upload.Open(t.TempDir(), upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	send := func(m upload.Manifest, from *os.Root) int {
		missing, err := s.Missing(m, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			if !slices.Contains(missing, f.Digest) {
				continue
			}
			r, err := from.Open(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(f.Digest, r); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
		return len(missing)
	}
	m, err := upload.Scan(root, upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(m, now); slipway.CodeOf(err) == "" {
		t.Errorf("committed without contents: %v", err)
	}
	if n := send(m, root); n != 3 {
		t.Errorf("%d contents were sent, want 3", n)
	}
	id, err := s.Commit(m, now)
	if err != nil || id != m.ID() {
		t.Fatal(id, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := s.Materialize(t.Context(), id, out, time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	made, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	again, err := upload.Scan(made, upload.DefaultLimits())
	if err != nil || again.ID() != id {
		t.Errorf("what was made differs: %v, %v", cmp.Diff(m, again), err)
	}
	if info, err := os.Stat(filepath.Join(out, "bin")); err != nil || info.ModTime().Unix() != 1700000000 {
		t.Errorf("time of a directory: %v, %v", info, err)
	}
	files["a.txt"] = "two"
	changed := directory(t, files)
	m2, err := upload.Scan(changed, upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if n := send(m2, changed); n != 1 || m2.ID() == id {
		t.Errorf("%d contents were sent, want 1", n)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	s, err := upload.Open(t.TempDir(), upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, text := range []string{"kept", "old"} {
		root := directory(t, map[string]string{"f": text, "shared": "shared"})
		m, err := upload.Scan(root, upload.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			content, err := root.Open(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(f.Digest, content); err != nil {
				t.Fatal(err)
			}
			content.Close()
		}
		id, err := s.Commit(m, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	keep := func(id string) bool { return id == ids[0] }
	if freed, err := s.Collect(time.Now().Add(-time.Hour), keep); freed != 0 || err != nil {
		t.Errorf("young ones are gone: %d bytes, %v", freed, err)
	}
	if freed, err := s.Collect(time.Now().Add(time.Hour), keep); freed != 3 || err != nil {
		t.Errorf("freed %d bytes, %v, want those of %q", freed, err, "old")
	}
	if _, err := s.Manifest(ids[1]); slipway.CodeOf(err) != slipway.NotFound {
		t.Errorf("error %v", err)
	}
	if err := s.Materialize(t.Context(), ids[0], filepath.Join(t.TempDir(), "out"), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("a", 64)
	limits := upload.Limits{Files: 2, Bytes: 100, File: 60}
	for text, manifest := range map[string]string{
		"clean":           `{"files":[{"path":"../x","sha256":"` + digest + `"}]}`,
		"is not relative": `{"files":[{"path":"/etc/passwd","sha256":"` + digest + `"}]}`,
		".git":            `{"files":[{"path":"a/.GIT/config","sha256":"` + digest + `"}]}`,
		"leads out":       `{"files":[{"path":"a/b","link":"../../etc"}]}`,
		"out of the":      `{"files":[{"path":"a","link":"/etc"}]}`,
		"to \"d/..\"":     `{"files":[{"path":"a","link":"d/.."},{"path":"d","link":"."}]}`,
		"as a directory":  `{"files":[{"path":"a","link":"b"},{"path":"a/x","sha256":"` + digest + `"}]}`,
		"sorted":          `{"files":[{"path":"b","link":"x"},{"path":"a","link":"x"}]}`,
		"each once":       `{"files":[{"path":"a","link":"x"},{"path":"a","link":"x"}]}`,
		"no SHA-256":      `{"files":[{"path":"a","sha256":"ABC"}]}`,
		"size":            `{"files":[{"path":"a","size":-1,"sha256":"` + digest + `"}]}`,
		"for one file":    `{"files":[{"path":"a","size":61,"sha256":"` + digest + `"}]}`,
		"take more":       `{"files":[{"path":"a","size":60,"sha256":"` + digest + `"},{"path":"b","size":60,"sha256":"` + digest + `"}]}`,
		"3 files":         `{"files":[{"path":"a","link":"x"},{"path":"b","link":"x"},{"path":"c","link":"x"}]}`,
		"not understood":  `{"files":[{"path":"a","owner":"root"}]}`,
		"something else":  `{"files":[]} {}`,
		"has a content":   `{"files":[{"path":"a","link":"x","size":4}]}`,
		"more than 255":   `{"files":[{"path":"` + strings.Repeat("a", 256) + `","link":"x"}]}`,
		"deeper than":     `{"files":[{"path":"` + strings.Repeat("a/", 200) + `x","link":"x"}]}`,
		"has a zero byte": `{"files":[{"path":"a\u0000b","link":"x"}]}`,
	} {
		_, err := upload.ParseManifest([]byte(manifest), limits)
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one about %q", manifest, err, text)
		}
	}
	s, err := upload.Open(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	for text, err := range map[string]error{
		"another one": s.Put(digest, strings.NewReader("x")),
		"more than":   s.Put(digest, strings.NewReader(strings.Repeat("x", 61))),
		"digest":      s.Put("../../x", strings.NewReader("x")),
	} {
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one about %q", err, text)
		}
	}
	if _, err := upload.Scan(directory(t, map[string]string{"out": "->/etc"}), limits); slipway.CodeOf(err) == "" {
		t.Errorf("a link that leaves the directory: %v", err)
	}
	if _, err := upload.Scan(directory(t, map[string]string{"f": strings.Repeat("x", 61)}), limits); slipway.CodeOf(err) == "" {
		t.Errorf("a large file: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"files":[{"path":"a/b","size":3,"sha256":"` + strings.Repeat("a", 64) + `","executable":true},{"path":"c","link":"a/b"}]}`))
	f.Add([]byte(`{"files":[{"path":"a/b","link":"../../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := upload.ParseManifest(data, upload.Limits{Files: 100, Bytes: 1000, File: 100})
		if err != nil {
			if slipway.CodeOf(err) == "" {
				t.Errorf("error %v is not the user's", err)
			}
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(file.Path) || file.Link != "" && (filepath.IsAbs(file.Link) || !filepath.IsLocal(filepath.Join(filepath.Dir(file.Path), file.Link))) {
				t.Errorf("accepted %+v", file)
			}
		}
	})
}
