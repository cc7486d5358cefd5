//go:build linux

package upload_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
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

// What builds make again is left out, unless the .gitignore says otherwise.
func TestUsual(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"a": "x", "web/node_modules/m/i.js": "x", "node_modules/m/i.js": "x", "pkg/__pycache__/a.pyc": "x",
		"env/pyvenv.cfg": "x", "env/bin/python": "->/usr/bin/python3", "src/pyvenv.cfg.md": "x",
	}
	for _, c := range []struct{ gitignore, want string }{
		{"*.log\n", ".gitignore a src/pyvenv.cfg.md"},
		{"!node_modules/\n", ".gitignore a node_modules/m/i.js src/pyvenv.cfg.md web/node_modules/m/i.js"},
	} {
		files[".gitignore"] = c.gitignore
		m, err := upload.Scan(directory(t, files), upload.DefaultLimits())
		if got := strings.Join(paths(m), " "); err != nil || got != c.want {
			t.Errorf("with %q: %q, %v, want %q", c.gitignore, got, err, c.want)
		}
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
		put(t, s, m, from, missing)
		return len(missing)
	}
	m, err := upload.Scan(root, upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if id, missing, err := s.Commit(m, now); err != nil || id != "" || len(missing) != 3 {
		t.Errorf("committed without contents: %q, %v, %v", id, missing, err)
	}
	if n := send(m, root); n != 3 {
		t.Errorf("%d contents were sent, want 3", n)
	}
	id, _, err := s.Commit(m, now)
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

// put sends those files of a directory whose digests are missing.
func put(t *testing.T, s *upload.Store, m upload.Manifest, from *os.Root, missing []string) {
	t.Helper()
	for _, f := range m.Files {
		if !slices.Contains(missing, f.Digest) {
			continue
		}
		content, err := from.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if complete, err := s.Put(f.Digest, f.Size, 0, content, time.Now()); err != nil || !complete {
			t.Fatal(complete, err)
		}
	}
}

// TestParts sends a content in parts, and breaks it off.
func TestParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := upload.Open(dir, upload.Limits{Files: 10, Bytes: 100, File: 50, Stored: 120})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text := strings.Repeat("0123456789", 4)
	digest := digestOf(text)
	part := func(size, offset int64, data string) error {
		_, err := s.Put(digest, size, offset, []byte(data), now)
		return err
	}
	for _, err := range []error{part(40, 10, text[10:20]), part(40, 20, "x")} {
		if slipway.CodeOf(err) != slipway.InvalidState {
			t.Errorf("a part without a beginning: %v", err)
		}
	}
	if err := errors.Join(part(40, 0, text[:5]), part(40, 0, text[:10]), part(40, 10, text[10:30])); err != nil {
		t.Fatal(err)
	}
	if err := part(41, 30, text[30:]); slipway.CodeOf(err) != slipway.InvalidState {
		t.Errorf("a part of a file of another size: %v", err)
	}
	if err := part(40, 30, text[30:]); err != nil {
		t.Fatal(err)
	}
	m := upload.Manifest{Files: []upload.File{{Path: "a", Size: 40, Digest: digest}}}
	if missing, err := s.Missing(m, now); err != nil || len(missing) != 0 {
		t.Errorf("%v, %v", missing, err)
	}
	if err := part(40, 0, strings.Repeat("x", 40)); slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("another content: %v", err)
	}
	if missing, err := s.Missing(m, now); err != nil || len(missing) != 0 {
		t.Errorf("after another content was refused: %v, %v", missing, err)
	}

	other := strings.Repeat("y", 50)
	if _, err := s.Put(digestOf(other), 50, 0, []byte(other), now); err != nil {
		t.Fatal(err)
	}
	full := strings.Repeat("z", 50)
	if _, err := s.Put(digestOf(full), 50, 0, []byte(full), now); !errors.Is(err, upload.ErrFull) {
		t.Errorf("a full store: %v", err)
	}
	if _, err := s.Put(digestOf(full), 50, 0, []byte(full[:20]), now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(now.Add(time.Hour), func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "incoming")); err != nil || len(left) != 0 {
		t.Errorf("left of a broken upload: %v, %v", left, err)
	}
	if _, err := s.Put(digestOf(full), 50, 0, []byte(full), now); err != nil {
		t.Errorf("after a collection: %v", err)
	}
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
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
		put(t, s, m, root, m.Digests())
		id, _, err := s.Commit(m, time.Now())
		if err != nil || id == "" {
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

// A snapshot that cannot be read keeps all contents, as it may need any, and no other snapshot
// from its removal. Uploading the directory again replaces it.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"cut short":      func(path string) error { return os.Truncate(path, 10) },
		"empty":          func(path string) error { return os.Truncate(path, 0) },
		"an input error": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/proc/self/mem", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := upload.Open(dir, upload.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			var kept upload.Manifest
			for _, text := range []string{"old", "kept"} {
				root := directory(t, map[string]string{"f": text})
				m, err := upload.Scan(root, upload.DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				put(t, s, m, root, m.Digests())
				id, _, err := s.Commit(m, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				ids, kept = append(ids, id), m
			}
			if err := harm(filepath.Join(dir, "snapshots", ids[1]+".json")); err != nil {
				t.Fatal(err)
			}
			keep := func(id string) bool { return id == ids[1] }
			if freed, err := s.Collect(time.Now().Add(time.Hour), keep); freed != 0 || err == nil || !strings.Contains(err.Error(), ids[1]) {
				t.Errorf("freed %d bytes, %v, want none and the name of the snapshot", freed, err)
			}
			if _, err := s.Manifest(ids[0]); slipway.CodeOf(err) != slipway.NotFound {
				t.Errorf("the old snapshot: %v", err)
			}
			if id, missing, err := s.Commit(kept, time.Now()); err != nil || id != ids[1] || len(missing) > 0 {
				t.Errorf("uploaded again it is %s, lacks %v, %v", id, missing, err)
			}
			if freed, err := s.Collect(time.Now().Add(time.Hour), keep); freed != 3 || err != nil {
				t.Errorf("then it freed %d bytes, %v", freed, err)
			}
			if err := s.Materialize(t.Context(), ids[1], filepath.Join(t.TempDir(), "out"), time.Now()); err != nil {
				t.Error(err)
			}
		})
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
		"has a content":   `{"files":[{"path":"a","link":"x","size":4}]}`,
		"more than 255":   `{"files":[{"path":"` + strings.Repeat("a", 256) + `","link":"x"}]}`,
		"deeper than":     `{"files":[{"path":"` + strings.Repeat("a/", 200) + `x","link":"x"}]}`,
		"has a zero byte": `{"files":[{"path":"a\u0000b","link":"x"}]}`,
	} {
		var m upload.Manifest
		if err := json.Unmarshal([]byte(manifest), &m); err != nil {
			t.Fatal(err)
		}
		err := m.Check(limits)
		if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one about %q", manifest, err, text)
		}
	}
	s, err := upload.Open(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []upload.File{{Path: "a\xff", Link: "x"}, {Path: "a", Link: "x\xff"}} {
		if err := (upload.Manifest{Files: []upload.File{f}}).Check(limits); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%q, %q: %v", f.Path, f.Link, err)
		}
	}
	put := func(digest string, size, offset int64, data string) error {
		_, err := s.Put(digest, size, offset, []byte(data), time.Now())
		return err
	}
	for text, err := range map[string]error{
		"another one": put(digest, 1, 0, "x"),
		"more than":   put(digest, 61, 0, "x"),
		"digest":      put("../../x", 1, 0, "x"),
		"not a part":  put(digest, 1, 1, "x"),
		"at -1":       put(digest, 1, -1, "x"),
		"is empty":    put(digest, 1, 0, ""),
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

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"files":[{"path":"a/b","size":3,"sha256":"` + strings.Repeat("a", 64) + `","executable":true},{"path":"c","link":"a/b"}]}`))
	f.Add([]byte(`{"files":[{"path":"a/b","link":"../../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m upload.Manifest
		if json.Unmarshal(data, &m) != nil {
			return
		}
		if err := m.Check(upload.Limits{Files: 100, Bytes: 1000, File: 100}); err != nil {
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

// The reserve of the disk stays free whatever users may still upload.
func TestReserveOfTheDisk(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=8m")
	s, err := upload.Open(filepath.Join(dir, "store"), upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var full *room.Error
	for i := range 10 {
		data := []byte(strings.Repeat("x", 1<<20-1) + string(rune('a'+i)))
		sum := sha256.Sum256(data)
		if _, err = s.Put(hex.EncodeToString(sum[:]), int64(len(data)), 0, data, time.Now()); err != nil {
			break
		}
	}
	if left, _, e := room.Left(dir); !errors.As(err, &full) || e != nil || left < 0 {
		t.Errorf("error %v with %d bytes left beside the reserve (%v)", err, left, e)
	}
}

// A file of which a part meets a full disk gives back what its other parts took.
func TestFullDiskKeepsNoPart(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=8m")
	s, err := upload.Open(filepath.Join(dir, "store"), upload.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(strings.Repeat("x", 2<<20))
	sum := sha256.Sum256(data)
	put := func(from, to int) error {
		_, err := s.Put(hex.EncodeToString(sum[:]), int64(len(data)), int64(from), data[from:to], time.Now())
		return err
	}
	if err := put(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	before, _, err := room.Left(dir)
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(1<<20, 2<<20); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a part on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if after, _, err := room.Left(dir); err != nil || after < before+1<<20 {
		t.Errorf("%d bytes are left after the refusal, want 1 MiB more than the %d before (%v)", after, before, err)
	}
	if err := errors.Join(put(0, 1<<20), put(1<<20, 2<<20)); err != nil {
		t.Errorf("the file again: %v", err)
	}
}
