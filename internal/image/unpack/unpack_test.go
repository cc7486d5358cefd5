package unpack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	. "github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/image/unpack"
)

var testLimits = unpack.Limits{Bytes: 64 << 20, Entries: 10_000, Ratio: 200, Slack: 8 << 20}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking needs root: whiteouts are device nodes and owners differ")
	}
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// unpackTar unpacks an uncompressed tar and returns the directory.
func unpackTar(t testing.TB, b []byte, l unpack.Limits) (string, unpack.Stats, error) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	d := unpack.Digests{Blob: digest(b), Diff: digest(b)}
	st, err := unpack.Layer(t.Context(), bytes.NewReader(b), d, dir, unpack.Below{Known: true}, l.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
	return dir, st, err
}

func unpackFiles(t testing.TB, files ...File) (string, error) {
	t.Helper()
	dir, _, err := unpackTar(t, Tar(t, files...), testLimits)
	return dir, err
}

// ls describes everything below dir: "path kind mode uid:gid rest".
func ls(t testing.TB, dir string) []string {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		line, err := describe(dir, path)
		got = append(got, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func describe(dir, path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	rel, _ := filepath.Rel(dir, path)
	line := fmt.Sprintf("%s %04o %d:%d", rel, st.Mode&0o7777, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%s file %q", line, b), err
	case unix.S_IFDIR:
		var v [8]byte
		if n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", v[:]); err == nil && string(v[:n]) == "y" {
			return line + " opaque", nil
		}
		return line + " dir", nil
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		return rel + " -> " + to, err
	case unix.S_IFCHR:
		return fmt.Sprintf("%s device %d", rel, st.Rdev), nil
	case unix.S_IFIFO:
		return line + " fifo", nil
	}
	return line + " ?", nil
}

func TestEntries(t *testing.T) {
	t.Parallel()
	owned := Text("home/me", "mine")
	owned.Uid, owned.Gid = 1000, 65535
	setuid := Exec("bin/su", []byte("su"))
	setuid.Mode, setuid.Uid = 0o4755, 7
	stranger := Text("a", "")
	stranger.Uid, stranger.Gid, stranger.Mode = 1<<31, 7, 0o4755
	openshift := Text("c", "")
	openshift.Uid, openshift.Gid = 1000680000, 1<<31-1
	strangers := Dir("b/", 0o700)
	strangers.Uid, strangers.Gid = -2, 1<<31
	fifo := File{Header: tar.Header{Name: "run/pipe", Typeflag: tar.TypeFifo, Mode: 0o620, Gid: 5}}
	unpacksTo(t, []unpacked{
		{"kinds", []File{
			Dir("bin/", 0o711), setuid, Hardlink("bin/sudo", "bin/su"), Symlink("sh", "/bin/su"), owned, Dir("run/", 0o1777), fifo,
		}, []string{
			"bin 0711 0:0 dir", `bin/su 4755 7:0 file "su"`, `bin/sudo 4755 7:0 file "su"`,
			"home 0755 0:0 dir", `home/me 0644 1000:65535 file "mine"`,
			"run 1777 0:0 dir", "run/pipe 0620 0:5 fifo", "sh -> /bin/su",
		}},
		{"names are relative to the root", []File{Text("/etc/a", "1"), Text("./etc/b", "2"), Text("etc//./c", "3")}, []string{
			"etc 0755 0:0 dir", `etc/a 0644 0:0 file "1"`, `etc/b 0644 0:0 file "2"`, `etc/c 0644 0:0 file "3"`,
		}},
		{"the last entry of a name counts", []File{
			Text("a", "1"), Text("a", "2"), Dir("d/", 0o700), Text("d/x", "x"), Dir("d/", 0o750), Dir("e/f/g/", 0o755), Text("e/f/g/h", ""), Text("e", "file"),
		}, []string{`a 0644 0:0 file "2"`, "d 0750 0:0 dir", `d/x 0644 0:0 file "x"`, `e 0644 0:0 file "file"`}},
		{"a replaced hard link does not change its other name", []File{Text("a", "1"), Hardlink("b", "a"), Text("b", "2")}, []string{
			`a 0644 0:0 file "1"`, `b 0644 0:0 file "2"`,
		}},
		{"links in the way stay inside", []File{
			Dir("usr/", 0), Dir("usr/lib/", 0), Symlink("lib", "usr/lib"), Symlink("abs", "/usr"), Symlink("up", "../../../usr"),
			Text("lib/a", "1"), Text("abs/b", "2"), Text("up/c", "3"),
		}, []string{
			"abs -> /usr", "lib -> usr/lib", "up -> ../../../usr", "usr 0755 0:0 dir", `usr/b 0644 0:0 file "2"`,
			`usr/c 0644 0:0 file "3"`, "usr/lib 0755 0:0 dir", `usr/lib/a 0644 0:0 file "1"`,
		}},
		{"device nodes in /dev are left out", []File{
			Dir("dev/", 0), {Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, Symlink("dev/fd", "/proc/self/fd"),
		}, []string{"dev 0755 0:0 dir", "dev/fd -> /proc/self/fd"}},
		{"other device nodes are left out", []File{
			{Header: tar.Header{Name: "srv/disk", Typeflag: tar.TypeBlock, Devmajor: 8}},
			Hardlink("srv/again", "srv/disk"),
			{Header: tar.Header{Name: "etc/passwd", Typeflag: tar.TypeChar}}, // a forged whiteout
			Dir("run/", 0), Symlink("d", "run"),
			{Header: tar.Header{Name: "d/sda", Typeflag: tar.TypeBlock}},
		}, []string{"d -> run", "run 0755 0:0 dir", "srv 0755 0:0 dir"}},
		{"owners nobody has", []File{stranger, strangers}, []string{`a 4755 65534:7 file ""`, "b 0700 65534:65534 dir"}},
		{"large owners", []File{openshift}, []string{`c 0644 1000680000:2147483647 file ""`}},
		{"root", []File{Dir("./", 0o700), Text("a", "")}, []string{`a 0644 0:0 file ""`}},
		{"nothing", nil, nil},
	})
}

// unpacked is what a layer of some files unpacks to, as ls describes it.
type unpacked struct {
	name  string
	files []File
	want  []string
}

func unpacksTo(t *testing.T, tests []unpacked) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := unpackFiles(t, tt.files...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ls(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhiteouts(t *testing.T) {
	t.Parallel()
	unpacksTo(t, []unpacked{
		{"file", []File{Dir("etc/", 0), Text("etc/.wh.passwd", "")}, []string{"etc 0755 0:0 dir", "etc/passwd device 0"}},
		{"opaque", []File{Dir("etc/", 0), Text("etc/.wh..wh..opq", ""), Text("etc/a", "1")}, []string{"etc 0755 0:0 opaque", `etc/a 0644 0:0 file "1"`}},
		{"opaque first", []File{Text("etc/.wh..wh..opq", ""), Dir("etc/", 0o700)}, []string{"etc 0700 0:0 opaque"}},
		{"and a file of the name", []File{Text(".wh.a", ""), Text("a", "1"), Text("b", "2"), Text(".wh.b", "")}, []string{`a 0644 0:0 file "1"`, `b 0644 0:0 file "2"`}},
		{"and a directory of the name", []File{Text(".wh.a", ""), Dir("a/", 0), Dir("b/", 0), Text(".wh.b", "")}, []string{"a 0755 0:0 opaque", "b 0755 0:0 opaque"}},
		{"and an implied directory of the name", []File{Text(".wh.a", ""), Text("a/b/c", "1")}, []string{"a 0755 0:0 opaque", "a/b 0755 0:0 dir", `a/b/c 0644 0:0 file "1"`}},
		{"and a symbolic link of the name", []File{Symlink("a", "/etc"), Text(".wh.a", "")}, []string{"a -> /etc"}},
		{"twice", []File{Text(".wh.a", ""), Text(".wh.a", "")}, []string{"a device 0"}},
		{"AUFS's own", []File{Text(".wh..wh.aufs", ""), Text(".wh..wh.plnk/1.2", "x"), Dir("a/.wh..wh.orph/", 0), Text("a/b", "")}, []string{"a 0755 0:0 dir", `a/b 0644 0:0 file ""`}},
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []File
		want  string // part of the message
	}{
		{"..", []File{Text("../a", "")}, `"../a", which contains ".."`},
		{".. inside", []File{Text("a/../../b", "")}, `contains ".."`},
		{".. absolute", []File{Text("/../a", "")}, `contains ".."`},
		{"root as a file", []File{Text(".", "x")}, "root directory"},
		{"hard link out", []File{Hardlink("a", "../../etc/passwd")}, `hard link to "../../etc/passwd"`},
		{"hard link to nothing", []File{Hardlink("a", "/etc/passwd")}, "which neither the layer nor those below it have"},
		{"hard link to itself", []File{Text("a", ""), Hardlink("a", "a")}, "which neither the layer nor those below it have"},
		{"hard link to a directory", []File{Dir("d/", 0), Hardlink("a", "d")}, "not a file"},
		{"hard link to a whiteout", []File{Text(".wh.b", ""), Hardlink("a", "b")}, "which neither the layer nor those below it have"},
		{"hard link through a link out", []File{Symlink("l", "/etc"), Hardlink("a", "l/passwd")}, "which neither the layer nor those below it have"},
		{"empty whiteout", []File{Text(".wh.", "")}, "whiteout without a name"},
		{"whiteout of ..", []File{Text("a/.wh...", "")}, "whiteout without a name"},
		{"file as a directory", []File{Text("a", ""), Text("a/b", "")}, "not a directory"},
		{"dangling link as a directory", []File{Symlink("a", "nowhere"), Text("a/b", "")}, "not a directory"},
		{"loop of links", []File{Symlink("a", "b"), Symlink("b", "a"), Text("a/b", "")}, "too many levels"},
		{"long component", []File{Text(strings.Repeat("x", 300), "")}, "name too long"},
		{"long name", []File{Text(strings.Repeat("x/", 2100)+"y", "")}, "longer than 4096 bytes"},
		{"deep name", []File{Text(strings.Repeat("x/", 300)+"y", "")}, "deeper than 256"},
		{"type", []File{{Header: tar.Header{Name: "a", Typeflag: 'Q'}}}, `unknown type "Q"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := unpackFiles(t, tt.files...)
			if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one of the user's that says %q", err, tt.want)
			}
		})
	}
}

// A process in a chroot could not leave it by these links either; here nothing
// outside may change, and what is written must land inside.
func TestNoEscape(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := t.TempDir()
	canary := filepath.Join(base, "canary")
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	attacks := map[string][]File{
		"relative link": {Symlink("l", ".."), Text("l/canary", "dead")},
		"absolute link": {Symlink("l", base), Text("l/canary", "dead")},
		"many levels":   {Symlink("l", up+base), Text("l/canary", "dead")},
		"file link":     {Symlink("canary", canary), Text("canary", "dead")},
		"swapped":       {Dir("d/", 0), Text("d/canary", "x"), Symlink("d", base), Text("d/canary", "dead")},
		"whiteout":      {Symlink("l", base), Text("l/.wh.canary", "")},
		"hard link":     {Symlink("l", canary), Hardlink("h", "l"), Text("h", "dead")},
		"magic":         {Symlink("l", "/proc/self/cwd"), Text("l/canary", "dead")},
		"directory":     {Symlink("l", base), Dir("l/", 0o777), Text("l/canary", "dead")},
	}
	for name, files := range attacks {
		dir := filepath.Join(base, "target")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		b := Tar(t, files...)
		d := unpack.Digests{Blob: digest(b), Diff: digest(b)}
		_, err := unpack.Layer(t.Context(), bytes.NewReader(b), d, dir, unpack.Below{Known: true}, testLimits.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
		if err != nil && slipway.CodeOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(canary); err != nil || string(got) != "alive" {
			t.Fatalf("%s: the canary is %q, %v", name, got, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := ls(t, base); len(got) != 1 {
		t.Errorf("left outside: %v", got)
	}
}

// Symbolic links to ever deeper directories would otherwise build a tree that
// can't be removed without as many descriptors.
func TestDepthThroughLinks(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", 100)
	files := []File{}
	at := ""
	for i := range 5 {
		link := fmt.Sprintf("l%d", i)
		files = append(files, Dir(at+deep, 0), Symlink(link, at+strings.TrimSuffix(deep, "/")))
		at = link + "/"
	}
	_, err := unpackFiles(t, files...)
	if slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("error %v, want one of the user's", err)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 1<<20)
	sparse := File{Header: tar.Header{Name: "s", Format: tar.FormatPAX, PAXRecords: map[string]string{}}, Body: zeros}
	tests := []struct {
		name   string
		limits unpack.Limits
		files  []File
		want   string
	}{
		{"bytes", unpack.Limits{Bytes: 1 << 20, Entries: 100, Ratio: 100, Slack: 1 << 20}, []File{{Header: tar.Header{Name: "a"}, Body: zeros}}, "larger than the 1048576 bytes"},
		{"bytes of all", unpack.Limits{Bytes: 3 << 20, Entries: 100, Ratio: 100, Slack: 1 << 20}, []File{sparse, sparse, sparse}, "larger than the 3145728 bytes"},
		{"entries", unpack.Limits{Bytes: 1 << 20, Entries: 3, Ratio: 100, Slack: 1 << 20}, []File{Text("a", ""), Text("b", ""), Text("c", ""), Text("d", "")}, "more than the 3 entries"},
		{"implied entries", unpack.Limits{Bytes: 1 << 20, Entries: 3, Ratio: 100, Slack: 1 << 20}, []File{Text("a/b/c/d", "")}, "more than the 3 entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpackTar(t, Tar(t, tt.files...), tt.limits)
			if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// hole is the header of a file that is one hole, as `tar --sparse` writes it.
func hole(name string, size uint64) []byte {
	var h [512]byte
	copy(h[:], name)
	copy(h[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        S")
	copy(h[257:], "ustar  \x00")
	base256 := func(at int) {
		h[at] = 0x80
		binary.BigEndian.PutUint64(h[at+4:], size)
	}
	base256(386)                  // the first data is at the end,
	copy(h[398:], "000000000000") // none of it
	base256(483)
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h[:]
}

// A small tar may declare a file of any size that is one hole.
func TestSparseBomb(t *testing.T) {
	t.Parallel()
	b := append(hole("hole", 1<<40), make([]byte, 1024)...)
	dir, _, err := unpackTar(t, b, testLimits)
	if err == nil || !strings.Contains(err.Error(), "larger than the 67108864 bytes") {
		t.Errorf("error %v, want one of the user's; left %v", err, ls(t, dir))
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	l := unpack.Limits{Bytes: 1 << 40, Entries: 10, Ratio: 100, Slack: 1 << 20}
	needRoot(t)
	b := gzipZeros(t, 16<<20)
	_, err := unpack.Layer(t.Context(), bytes.NewReader(b), unpack.Digests{}, t.TempDir(), unpack.Below{Known: true}, l.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "100 times") {
		t.Errorf("error %v for %d bytes that become 16 MiB", err, len(b))
	}
}

// gzipZeros is the end of a tar followed by n zeros: nothing to write, but much
// to read.
func gzipZeros(t *testing.T, n int) []byte {
	t.Helper()
	var one bytes.Buffer
	z := gzip.NewWriter(&one)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return bytes.Repeat(one.Bytes(), n>>20)
}

func TestCompression(t *testing.T) {
	t.Parallel()
	needRoot(t)
	plain := Tar(t, Text("a", strings.Repeat("text ", 1000)))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zst := enc.EncodeAll(plain, nil)
	skippable := append([]byte{0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, zst...)
	for name, b := range map[string][]byte{"none": plain, "gzip": gz.Bytes(), "zstd": zst, "zstd behind a skippable frame": skippable} {
		dir := t.TempDir()
		st, err := unpack.Layer(t.Context(), bytes.NewReader(b), unpack.Digests{Blob: digest(b), Diff: digest(plain)}, dir, unpack.Below{Known: true}, testLimits.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := unpack.Cost{Read: int64(len(plain)), Bytes: 5000, Written: 8192 + 512, Entries: 1}
		if diff := cmp.Diff(unpack.Stats{Cost: want}, st); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCorrupt(t *testing.T) {
	t.Parallel()
	needRoot(t)
	plain := Tar(t, Text("a", "b"))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	flipped := bytes.Clone(gz.Bytes())
	flipped[len(flipped)/2] ^= 0xff
	right := unpack.Digests{Blob: digest(gz.Bytes()), Diff: digest(plain)}
	tests := []struct {
		name string
		b    []byte
		want unpack.Digests
	}{
		{"blob digest", gz.Bytes(), unpack.Digests{Blob: digest(nil), Diff: right.Diff}},
		{"flipped", flipped, right},
		{"cut", gz.Bytes()[:gz.Len()/2], right},
		{"trailing", append(bytes.Clone(gz.Bytes()), gz.Bytes()...), right},
		{"empty", nil, right},
	}
	for _, tt := range tests {
		_, err := unpack.Layer(t.Context(), bytes.NewReader(tt.b), tt.want, t.TempDir(), unpack.Below{Known: true}, testLimits.Budget(int64(len(tt.b)), nil), slog.New(slog.DiscardHandler))
		if !errors.Is(err, unpack.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", tt.name, err)
		}
	}
	_, err := unpack.Layer(t.Context(), bytes.NewReader(gz.Bytes()), unpack.Digests{Blob: right.Blob, Diff: digest(nil)}, t.TempDir(), unpack.Below{Known: true}, testLimits.Budget(int64(gz.Len()), nil), slog.New(slog.DiscardHandler))
	if errors.Is(err, unpack.ErrCorrupt) || slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), right.Diff) {
		t.Errorf("wrong diff id: %v", err)
	}
	// Matching digests of a blob that is not a tar are the image's fault.
	junk := []byte(strings.Repeat("junk", 1000))
	_, _, err = unpackTar(t, junk, testLimits)
	if errors.Is(err, unpack.ErrCorrupt) || slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("junk: %v", err)
	}
}

func TestTimesAndAttributes(t *testing.T) {
	t.Parallel()
	then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	at := func(f File) File { f.ModTime = then; return f }
	f := at(Text("d/f", "x"))
	f.PAXRecords = map[string]string{
		"SCHILY.xattr.user.kind":              "test",
		"SCHILY.xattr.user.overlay.opaque":    "y",
		"SCHILY.xattr.trusted.overlay.opaque": "y",
		"SCHILY.xattr.security.capability":    "\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	dir, err := unpackFiles(t, at(Dir("d/", 0)), f, at(Symlink("d/l", "f")), at(Dir("./", 0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{".", "d", "d/f", "d/l"} {
		fi, err := os.Lstat(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		if !fi.ModTime().Equal(then) {
			t.Errorf("%s was modified at %v, want %v", n, fi.ModTime(), then)
		}
	}
	buf := make([]byte, 1024)
	n, err := unix.Listxattr(filepath.Join(dir, "d/f"), buf)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	if slices.Sort(got); !slices.Equal(got, []string{"security.capability", "user.kind"}) {
		t.Errorf("extended attributes %q, want only user.kind and the file capabilities", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	needRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := Tar(t, Text("a", ""))
	_, err := unpack.Layer(ctx, bytes.NewReader(b), unpack.Digests{}, t.TempDir(), unpack.Below{Known: true}, testLimits.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
