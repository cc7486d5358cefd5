package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	. "github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/image/unpack"
)

// unpackOn unpacks a layer on the layers below it, uppermost first.
func unpackOn(t testing.TB, below unpack.Below, l unpack.Limits, files ...File) (string, unpack.Stats, error) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	b := Tar(t, files...)
	st, err := unpack.Layer(t.Context(), bytes.NewReader(b), unpack.Digests{Blob: digest(b), Diff: digest(b)}, dir, below, l.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
	return dir, st, err
}

// stack unpacks layers, lowest first.
func stack(t testing.TB, layers ...[]File) unpack.Below {
	t.Helper()
	below := unpack.Below{Known: true}
	for _, files := range layers {
		dir, _, err := unpackOn(t, below, testLimits, files...)
		if err != nil {
			t.Fatal(err)
		}
		below.Dirs = append([]string{dir}, below.Dirs...)
	}
	return below
}

// owned is a file with an owner and with attributes, one of which must not be
// copied.
func owned(name, body string) File {
	f := Text(name, body)
	f.Uid, f.Gid, f.Mode = 12, 34, 0o4751
	f.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.user.overlay.opaque": "y"}
	return f
}

func TestOnLayersBelow(t *testing.T) {
	t.Parallel()
	base := []File{
		Dir("usr/", 0o711), Dir("usr/bin/", 0o750), owned("usr/bin/perl", "camel"), Symlink("bin", "usr/bin"), Symlink("usr/abs", "/usr/bin"),
		Symlink("usr/bin/up", "../../bin/perl"),
		{Header: tar.Header{Name: "usr/pipe", Typeflag: tar.TypeFifo, Mode: 0o600}},
		Dir("tmp/", 0o1777), Symlink("usr/loop", "loop"), Dir("opt/", 0o700), Text("opt/a", "old"), Text("opt/b", "old"),
	}
	change := []File{Dir("opt/", 0o755), Text("opt/.wh..wh..opq", ""), Text("opt/a", "new"), Dir("usr/", 0o711), Text("usr/.wh.pipe", "")}
	below := stack(t, base, change)
	const perl = `4751 12:34 file "camel"`
	tests := []struct {
		name  string
		files []File
		want  []string
		err   string // part of it
	}{
		{"link", []File{Hardlink("perl5", "usr/bin/perl")}, []string{"perl5 " + perl, "usr 0711 0:0 dir", "usr/bin 0750 0:0 dir", "usr/bin/perl " + perl}, ""},
		{"through links", []File{Hardlink("a", "bin/perl"), Hardlink("b", "/usr/abs/perl")}, []string{
			"a " + perl, "b " + perl, "usr 0711 0:0 dir", "usr/bin 0750 0:0 dir", "usr/bin/perl " + perl,
		}, ""},
		{"to a symbolic link", []File{Hardlink("up", "bin/up")}, []string{
			"up -> ../../bin/perl", "usr 0711 0:0 dir", "usr/bin 0750 0:0 dir", "usr/bin/up -> ../../bin/perl",
		}, ""},
		{"a later owner of the directory", []File{Hardlink("p", "usr/bin/perl"), Dir("usr/bin/", 0o700)}, []string{
			"p " + perl, "usr 0711 0:0 dir", "usr/bin 0700 0:0 dir", "usr/bin/perl " + perl,
		}, ""},
		{"the uppermost", []File{Hardlink("c", "opt/a")}, []string{`c 0644 0:0 file "new"`, "opt 0755 0:0 dir", `opt/a 0644 0:0 file "new"`}, ""},
		{"and a whiteout", []File{Hardlink("p", "usr/bin/perl"), Text("usr/bin/.wh.perl", "")}, []string{
			"p " + perl, "usr 0711 0:0 dir", "usr/bin 0750 0:0 dir", "usr/bin/perl device 0",
		}, ""},
		{"and an opaque directory", []File{Hardlink("p", "usr/bin/perl"), Text("usr/bin/x", ""), Text("usr/bin/.wh..wh..opq", "")}, []string{
			"p " + perl, "usr 0711 0:0 dir", "usr/bin 0750 0:0 opaque", `usr/bin/x 0644 0:0 file ""`,
		}, ""},
		{"and a file of its name", []File{Hardlink("p", "usr/bin/perl"), Text("usr/bin/perl", "mine"), Text("usr/bin/.wh.perl", "")}, []string{
			"p " + perl, "usr 0711 0:0 dir", "usr/bin 0750 0:0 dir", `usr/bin/perl 0644 0:0 file "mine"`,
		}, ""},
		{"directories only names tell of", []File{Text("tmp/x", ""), Text("tmp/new/y", "")}, []string{
			"tmp 1777 0:0 dir", "tmp/new 0755 0:0 dir", `tmp/new/y 0644 0:0 file ""`, `tmp/x 0644 0:0 file ""`,
		}, ""},
		{"a directory in a link's place", []File{Text("bin/x", "")}, []string{"bin 0755 0:0 dir", `bin/x 0644 0:0 file ""`}, ""},
		{"a directory after its whiteout", []File{Text(".wh.tmp", ""), Text("tmp/x", "")}, []string{"tmp 0755 0:0 opaque", `tmp/x 0644 0:0 file ""`}, ""},

		{"whiteout below", []File{Hardlink("p", "usr/pipe")}, nil, "neither the layer nor those below"},
		{"opaque below", []File{Hardlink("p", "opt/b")}, nil, "neither the layer nor those below"},
		{"whiteout above", []File{Dir("usr/", 0), Dir("usr/bin/", 0), Text("usr/bin/.wh.perl", ""), Hardlink("p", "usr/bin/perl")}, nil, "neither the layer nor those below"},
		{"hidden by a file", []File{Text("usr", ""), Hardlink("p", "usr/bin/perl")}, nil, "not a directory"},
		{"nowhere", []File{Hardlink("p", "usr/bin/python")}, nil, "neither the layer nor those below"},
		{"directory", []File{Hardlink("p", "usr/bin")}, nil, "not a file"},
		{"root", []File{Hardlink("p", "/")}, nil, "not a file"},
		{"itself", []File{Dir("usr/", 0), Dir("usr/bin/", 0), Hardlink("usr/bin/perl", "bin/perl")}, nil, "file exists"},
		{"loop", []File{Hardlink("p", "usr/loop/x")}, nil, "too many levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, _, err := unpackOn(t, below, testLimits, tt.files...)
			if tt.err != "" {
				if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one of the user's that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ls(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCopiedUpFile(t *testing.T) {
	t.Parallel()
	below := stack(t, []File{Dir("d/", 0o755), owned("d/f", strings.Repeat("x", 300_000))})
	dir, st, err := unpackOn(t, below, testLimits, Hardlink("d/g", "d/f"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Bytes != 300_000 || st.Entries != 3 { // d, d/f, d/g
		t.Errorf("counted %+v", st)
	}
	from, err := os.Stat(below.Dirs[0] + "/d/f")
	if err != nil {
		t.Fatal(err)
	}
	f, err1 := os.Stat(dir + "/d/f")
	g, err2 := os.Stat(dir + "/d/g")
	if err1 != nil || err2 != nil || !os.SameFile(f, g) || os.SameFile(f, from) {
		t.Errorf("d/f and d/g must be one file, and none of the layer below: %v, %v", err1, err2)
	}
	if !f.ModTime().Equal(from.ModTime()) {
		t.Errorf("modified %v, below %v", f.ModTime(), from.ModTime())
	}
	var v [16]byte
	if n, err := unix.Lgetxattr(dir+"/d/g", "user.note", v[:]); err != nil || string(v[:n]) != "kept" {
		t.Errorf("attribute %q, %v", v[:max(n, 0)], err)
	}
}

// A layer that needs nothing from below is unpacked without it, so that images
// share it; any other says that it needs it.
func TestNeedsBelow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []File
		needs bool
	}{
		{"nothing", nil, false},
		{"whole", []File{Dir("a/", 0), Text("a/b", ""), Hardlink("c", "a/b"), Text(".wh.x", "")}, false},
		{"implied directory", []File{Text("a/b", "")}, true},
		{"link", []File{Hardlink("c", "a")}, true},
		{"link to what it hides", []File{Text(".wh.a", ""), Hardlink("c", "a")}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := unpackOn(t, unpack.Below{}, testLimits, tt.files...); errors.Is(err, unpack.ErrNeedsBelow) != tt.needs {
				t.Errorf("error %v, needs %v", err, tt.needs)
			}
		})
	}
}

func TestBoundsBelow(t *testing.T) {
	t.Parallel()
	below := stack(t, []File{Text("a", strings.Repeat("x", 1000)), Text("b", strings.Repeat("x", 1000))})
	limits := unpack.Limits{Bytes: 8000, Entries: 3, Ratio: 100, Slack: 8000}
	if _, _, err := unpackOn(t, below, limits, Hardlink("c", "a"), Hardlink("d", "b")); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "3 entries") {
		t.Errorf("error %v, want one of too many entries", err)
	}
	big := stack(t, []File{Text("a", strings.Repeat("x", 9000))})
	if _, _, err := unpackOn(t, big, limits, Hardlink("c", "a")); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "8000 bytes") {
		t.Errorf("error %v, want one of too many bytes", err)
	}
}

// Links in the layers below must not lead outside either.
func TestNoEscapeBelow(t *testing.T) {
	t.Parallel()
	needRoot(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Dir(secret)
	below := stack(t, []File{
		Symlink("abs", out), Symlink("rel", strings.Repeat("../", 30)+out), Symlink("proc", "/proc/self/cwd"), Symlink("file", secret), Dir("d/", 0), Symlink("d/up", ".."),
	})
	for _, target := range []string{"abs/secret", "rel/secret", "proc/secret", "d/up/abs/secret", "d/up/d/up/rel/secret", "file/x"} {
		if dir, _, err := unpackOn(t, below, testLimits, Hardlink("h", target)); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%s: error %v, made %v", target, err, ls(t, dir))
		}
	}
	dir, _, err := unpackOn(t, below, testLimits, Hardlink("h", "file"), Text("abs/secret", "x"), Text("rel/secret", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(dir + "/h"); err != nil || got != secret {
		t.Errorf("h -> %q, %v", got, err)
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
		t.Errorf("the file outside holds %q, %v", b, err)
	}
}
