package docker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/image/pack"
)

// layer makes a layer of paths: one that ends in a slash is a directory, "a -> b" is a
// link, "-a" is a deleted file, "=a" an opaque directory.
func layer(t *testing.T, paths ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range paths {
		var err error
		switch name, target, isLink := cut(p); {
		case isLink:
			err = os.Symlink(target, filepath.Join(dir, name))
		case p[0] == '-':
			err = unix.Mknod(filepath.Join(dir, p[1:]), unix.S_IFCHR, 0)
		case p[0] == '=':
			err = errors.Join(os.MkdirAll(filepath.Join(dir, p[1:]), 0o755), pack.SetOpaque(filepath.Join(dir, p[1:])))
		case p[len(p)-1] == '/':
			err = os.MkdirAll(filepath.Join(dir, p), 0o755)
		default:
			err = os.WriteFile(filepath.Join(dir, p), []byte(p), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func cut(p string) (name, target string, ok bool) {
	for i := range len(p) - 4 {
		if p[i:i+4] == " -> " {
			return p[:i], p[i+4:], true
		}
	}
	return p, "", false
}

// TestRealPath resolves paths in layers as the kernel does in their overlay.
func TestRealPath(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("layers have deleted files: needs root")
	}
	outside := t.TempDir()
	low := layer(t, "run/", "run/lock/", "var/", "var/run -> /run", "etc -> "+outside, "gone -> run", "was/", "was/deep -> /run", "up -> ../../../../var", "loop -> loop2", "loop2 -> loop", "hid/", "hid/l -> /run")
	top := layer(t, "var/", "var/lib/", "-gone", "was -> var", "=hid", "rel -> var/./run/../run", "end -> var/run/new/dir")
	layers := []string{top, low}
	for path, want := range map[string]string{
		"/": "/", "/run": "/run", "/var/run/x": "/run/x", "/var/run": "/run", "/var/lib/../run/lock": "/run/lock", "/etc/passwd": outside + "/passwd",
		"/gone": "/gone", "/gone/x": "/gone/x", "/was/run": "/run", "/was/deep": "/var/deep", "/up/run": "/run", "/none/a/b": "/none/a/b",
		"/hid/l": "/hid/l", "/rel": "/run", "/end/more": "/run/new/dir/more", "/..": "/",
	} {
		if got, err := realPath(layers, path); got != want || err != nil {
			t.Errorf("%s is %s, %v; want %s", path, got, err, want)
		}
	}
	if got, err := realPath(layers, "/loop/x"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a circle of links is %s, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("layers have deleted files: needs root")
	}
	layers := []string{layer(t, "-gone", "a/", "=hid"), layer(t, "gone", "a/", "a/b", "hid/", "hid/x", "c -> a")}
	for path, there := range map[string]bool{"/": true, "/a/b": true, "/gone": false, "/hid/x": false, "/hid": true, "/none": false, "/c": true} {
		if st, err := find(layers, path); (err == nil) != there || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is %v, %v", path, st, err)
		}
	}
}

// TestLink checks that a copy of a layer packs to the same tar, and that contents tells
// layers apart by all but times.
func TestLink(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("layers have deleted files: needs root")
	}
	ctx := t.Context()
	from := layer(t, "a/", "a/b", "l -> a", "-gone", "=o", "o/x", "setuid")
	if err := errors.Join(os.Chmod(from+"/setuid", 0o755|fs.ModeSetuid), os.Link(from+"/a/b", from+"/again"), os.Chown(from+"/a", 5, 6),
		unix.Setxattr(from+"/a", "user.note", []byte("x"), 0), os.Chmod(from+"/a", 0o1777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := link(ctx, from, to); err != nil {
		t.Fatal(err)
	}
	one, err1 := pack.Digest(ctx, from)
	two, err2 := pack.Digest(ctx, to)
	if one != two || errors.Join(err1, err2) != nil {
		t.Errorf("the copy is %+v, %v; want %+v, %v", two, err2, one, err1)
	}
	before, err := contents(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, want bool, change error) {
		t.Helper()
		after, err := contents(ctx, to)
		if err = errors.Join(err, change); err != nil || (after == before) != want {
			t.Errorf("%s: %v, %v", what, after == before, err)
		}
	}
	same("as copied", true, nil)
	at := unix.Timespec{Sec: 1}
	same("another time", true, unix.UtimesNanoAt(unix.AT_FDCWD, to+"/a/b", []unix.Timespec{at, at}, 0))
	same("another owner", false, os.Chown(to+"/a", 7, 6))
	same("the owner again", true, errors.Join(os.Chown(to+"/a", 5, 6), os.Chmod(to+"/a", 0o1777|fs.ModeSticky)))
	same("one file less", false, os.Remove(to+"/o/x"))
}

// The frontend's answer may name no image but those that the Dockerfile names.
func TestOwnImages(t *testing.T) {
	t.Parallel()
	b := &build{Request: Request{Name: "Dockerfile"}, bases: map[string]string{"debian:12": "sha256:aa"}, steps: []graph.Step{{Image: "sha256:aa"}, {Context: true}}}
	if err := b.own(); err != nil {
		t.Error(err)
	}
	b.steps = append(b.steps, graph.Step{Image: "sha256:bb"})
	if err := b.own(); err == nil {
		t.Error("the image of another service is accepted")
	}
}

func TestLineOf(t *testing.T) {
	t.Parallel()
	const file = "ARG TAG=3\n# debian\nFROM alpine:$TAG\nFROM debian:12-slim AS x\nCOPY --from=ghcr.io/a/tool /x /\n"
	for name, want := range map[string]int{"debian:12-slim": 4, "ghcr.io/a/tool:latest": 5, "alpine:3": 0, "none": 0} {
		if got := lineOf(file, name); got != want {
			t.Errorf("%s is in line %d, want %d", name, got, want)
		}
	}
}
