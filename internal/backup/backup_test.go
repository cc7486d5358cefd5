package backup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/openslipway/slipway/internal/backup"
)

// file is a file of a backup in a test.
type file struct{ name, text string }

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, backup.Header{Slipway: "v1", Schema: 16, At: time.Unix(1700000000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := w.Add(f.name, int64(len(f.text)), strings.NewReader(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func extract(t testing.TB, r io.Reader) (dir string, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := backup.NewReader(r)
	if err != nil {
		return dir, err
	}
	allowed := func(name string) bool { return name == "slipway.db" || strings.HasPrefix(name, "images/") }
	return dir, b.Extract(dir, allowed, func(int64) {})
}

// wantProblem checks the error of a backup that is refused.
func wantProblem(t testing.TB, what string, err error, message string) {
	t.Helper()
	if _, ok := errors.AsType[backup.Problem](err); !ok || !strings.Contains(err.Error(), message) {
		t.Errorf("%s: %v, want %q", what, err, message)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	files := []file{{"slipway.db", "rows"}, {"images/blobs/a", "layer"}, {"images/<&>\"", ""}}
	dir, err := extract(t, bytes.NewReader(archive(t, files...)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if got, err := os.ReadFile(path); string(got) != f.text || err != nil {
			t.Errorf("%s is %q, %v", f.name, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has the mode %v, %v", f.name, info.Mode(), err)
		}
	}
	if _, err := extract(t, bytes.NewReader(archive(t))); err != nil {
		t.Errorf("a backup without files: %v", err)
	}
}

// A file that can't be read to its end is not in the backup, and the others are.
func TestVoid(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, backup.Header{Slipway: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	half := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(fs.ErrNotExist))
	if err := w.Add("images/a", 10_000, half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half of a file: %v", err)
	}
	if err := w.Add("images/b", 10, strings.NewReader("short")); !errors.Is(err, io.EOF) {
		t.Errorf("a file that got shorter: %v", err)
	}
	if err := errors.Join(w.Add("images/c", 5, strings.NewReader("whole")), w.Close()); err != nil {
		t.Fatal(err)
	}
	dir, err := extract(t, &b)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a": false, "b": false, "c": true} {
		if _, err := os.Stat(filepath.Join(dir, "images", name)); (err == nil) != want {
			t.Errorf("images/%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

// Every beginning of a backup, and every backup with a wrong byte in a file, is refused.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	whole := archive(t, file{"slipway.db", "rows"}, file{"images/blobs/a", strings.Repeat("layer", 500)})
	for n := 0; n <= bytes.LastIndexByte(whole, ']'); n += 100 {
		_, err := extract(t, bytes.NewReader(whole[:n]))
		wantProblem(t, "the beginning of a backup", err, "backup")
	}
	for _, text := range []string{"rows", "layerlayer", `"sha256":"`} {
		wrong := bytes.Clone(whole)
		wrong[bytes.Index(wrong, []byte(text))+len(text)] ^= 1
		if text == "rows" {
			wrong = bytes.Replace(whole, []byte("rows"), []byte("Rows"), 1)
		}
		_, err := extract(t, bytes.NewReader(wrong))
		wantProblem(t, "a wrong byte after "+text, err, "checksums")
	}
	for name, more := range map[string][]byte{"a byte": {0}, "another": archive(t), "blocks": make([]byte, 4096)} {
		_, err := extract(t, bytes.NewReader(append(bytes.Clone(whole), more...)))
		wantProblem(t, name+" after the end", err, "after its end")
	}
}

// A disk that can't be read is not called a damaged backup.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	whole := archive(t, file{"slipway.db", strings.Repeat("rows", 1000)})
	for _, n := range []int{0, 700, 3000, len(whole) - 600, len(whole)} {
		_, err := extract(t, io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)))
		if _, blamed := errors.AsType[backup.Problem](err); blamed || !errors.Is(err, broken) {
			t.Errorf("after %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tar.Header
		message string
	}{
		"above":     {tar.Header{Name: "../slipway.db"}, `do not have, ../slipway.db`},
		"absolute":  {tar.Header{Name: "/etc/cron.d/x"}, "do not have"},
		"through":   {tar.Header{Name: "images/../../x"}, "do not have"},
		"unclean":   {tar.Header{Name: "images//x"}, "do not have"},
		"unknown":   {tar.Header{Name: "credentials"}, "do not have"},
		"dot":       {tar.Header{Name: "."}, "do not have"},
		"backslash": {tar.Header{Name: `images/..\x`}, "do not have"},
		"terminal":  {tar.Header{Name: "images/\x1b[2J"}, `images/\x1b[2J`},
		"unicode":   {tar.Header{Name: "images/\u202ex"}, "do not have"},
		"long":      {tar.Header{Name: "images/" + strings.Repeat("x/", 600) + "x"}, "do not have"},
		"long name": {tar.Header{Name: "images/" + strings.Repeat("x", 400)}, "too long a name"},
		"link":      {tar.Header{Name: "images/x", Linkname: "/etc", Typeflag: tar.TypeSymlink}, "no plain file"},
		"hard":      {tar.Header{Name: "images/x", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}, "no plain file"},
		"device":    {tar.Header{Name: "images/x", Typeflag: tar.TypeBlock, Devmajor: 8}, "no plain file"},
		"fifo":      {tar.Header{Name: "images/x", Typeflag: tar.TypeFifo}, "no plain file"},
		"dir":       {tar.Header{Name: "images/x", Typeflag: tar.TypeDir}, "no plain file"},
		"twice":     {tar.Header{Name: "images/there"}, "a file twice"},
		"below":     {tar.Header{Name: "images/there/x"}, "as a directory, too"},
		"over":      {tar.Header{Name: "images/deep"}, "as a directory, too"},
		"sparse":    {tar.Header{Name: "images/x", PAXRecords: map[string]string{"XNU.sparse.major": "0", "XNU.sparse.minor": "1", "XNU.sparse.numblocks": "0", "XNU.sparse.map": "", "XNU.sparse.size": "9999"}}, "a sparse file"},
		"huge":      {tar.Header{Name: "images/x", Size: 1 << 60}, "incomplete"},
		"list":      {tar.Header{Name: "checksums.json", Size: 1 << 60}, "incomplete"},
	} {
		valid := archive(t, file{"images/there", "1"}, file{"images/deep/er", "2"})
		b := bytes.NewBuffer(valid[:lastHeader(t, valid)])
		w := tar.NewWriter(b)
		c.Mode = 0o6777
		if c.Typeflag == 0 {
			c.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&c.Header); err != nil {
			t.Fatal(name, err)
		}
		w.Close()
		dir, err := extract(t, bytes.NewReader(bytes.ReplaceAll(b.Bytes(), []byte("XNU.sparse"), []byte("GNU.sparse"))))
		wantProblem(t, name, err, c.message)
		if beside, _ := os.ReadDir(filepath.Dir(dir)); len(beside) != 1 {
			t.Errorf("%s leaves %v beside the directory", name, beside)
		}
	}
	newer := bytes.Replace(archive(t), []byte(`"format":1`), []byte(`"format":9`), 1)
	_, err := extract(t, bytes.NewReader(newer))
	wantProblem(t, "a newer format", err, "format 9; this program reads up to format 1")
}

// lastHeader returns where the list of checksums begins.
func lastHeader(t testing.TB, b []byte) int {
	t.Helper()
	at := bytes.LastIndex(b, []byte("checksums.json"))
	if at < 0 || at%512 != 0 {
		t.Fatalf("no checksums in the backup: %d", at)
	}
	return at
}

// Whatever a file has, it is refused as a backup or extracted below the directory.
func FuzzReader(f *testing.F) {
	whole := archive(f, file{"slipway.db", "rows"}, file{"images/a", "layer"})
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(append(bytes.Clone(whole), 1))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, err := extract(t, bytes.NewReader(b))
		if _, ok := errors.AsType[backup.Problem](err); err != nil && !ok {
			t.Fatalf("the backup is not blamed: %v", err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("unprintable: %q", err)
		}
		if beside, _ := os.ReadDir(filepath.Dir(dir)); len(beside) != 1 {
			t.Fatalf("it leaves %v beside the directory", beside)
		}
		var size int64
		walked := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode() != 0o600 {
				t.Fatalf("%s has the mode %v", path, info.Mode())
			}
			size += info.Size()
			return err
		})
		if walked != nil || size > int64(len(b)) {
			t.Fatalf("%d bytes of %d, %v", size, len(b), walked)
		}
	})
}
