package runtimetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

func (b *jobFixture) mkdir(name string) string {
	b.Helper()
	path := b.path(name)
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		b.Fatal(err)
	}
	return path
}

func (b *jobFixture) write(path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// look describes a file.
func (b *jobFixture) look(path string) string {
	b.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	of := fmt.Sprintf("%04o %d:%d", st.Mode&0o7777, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		text, err := os.ReadFile(path)
		if err != nil {
			b.Error(err)
		}
		return fmt.Sprintf("file %s %q", of, text)
	case unix.S_IFDIR:
		if opaque, err := pack.IsOpaque(path); err != nil || opaque {
			return fmt.Sprintf("opaque %s", of)
		}
		return "dir " + of
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		if err != nil {
			b.Error(err)
		}
		return fmt.Sprintf("link %d:%d -> %s", st.Uid, st.Gid, to)
	case unix.S_IFCHR:
		return fmt.Sprintf("device %d", st.Rdev)
	}
	return "something else"
}

// tree describes all files below a directory, by name.
func (b *jobFixture) tree(dir string) map[string]string {
	b.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != dir {
			found[strings.TrimPrefix(path, dir)] = b.look(path)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// changed runs deeds, with directories over the image, and returns what they
// changed. It checks that the layer is what package pack makes of that.
func (b *jobFixture) changed(name string, layers []string, deeds ...Deed) (string, *runtime.JobLayer) {
	b.Helper()
	want := b.job(Program{Deeds: deeds})
	want.Layers, want.Changes = layers, b.path(name)
	found, result := b.do(want)
	for deed, outcome := range found {
		if outcome != "ok" && !strings.HasPrefix(deed, DoRead) && !strings.HasPrefix(deed, DoList) {
			b.Errorf("%s: %s", deed, outcome)
		}
	}
	if result.Layer == nil {
		b.Fatalf("there is no layer: %+v", result)
	}
	packed, err := pack.Digest(b.ctx, want.Changes)
	if err != nil {
		b.Fatal(err)
	}
	if got := *result.Layer; got.DiffID != packed.DiffID || got.Size != packed.Size || got.Entries != packed.Entries {
		b.Errorf("the layer is %+v, and its directory is %+v", got, packed)
	}
	return want.Changes, result.Layer
}

func (b *jobFixture) diff(dir string, want map[string]string) {
	b.Helper()
	if d := cmp.Diff(want, b.tree(dir)); d != "" {
		b.Errorf("changes (-want +got):\n%s", d)
	}
}

func testJobLayer(b *jobFixture) {
	dir, _ := b.changed("changes", nil,
		Deed{Do: DoMkdir, Path: "/srv", Mode: 0o2750},
		Deed{Do: DoWrite, Path: "/srv/tool", Text: "#!x", Mode: 0o755},
		Deed{Do: DoChown, Path: "/srv/tool", UID: 12, GID: 65535},
		Deed{Do: DoChmod, Path: "/srv/tool", Mode: 0o4755}, // a change of owner takes the bit away
		Deed{Do: DoLink, Path: "/srv/again", To: "/srv/tool"},
		Deed{Do: DoSymlink, Path: "/srv/out", To: "../../../../etc/shadow"},
		Deed{Do: DoChown, Path: "/srv/out", UID: 1000, GID: 1001},
		Deed{Do: DoWrite, Path: "/etc/made", Text: "x", Mode: 0o600},
		Deed{Do: DoWrite, Path: "/etc/hosts", Text: "not mine", Mode: 0o600},
		Deed{Do: DoWrite, Path: "/dev/shm/x", Mode: 0o600},
	)
	want := map[string]string{
		"/srv": "dir 2750 0:0", "/srv/tool": `file 4755 12:65535 "#!x"`, "/srv/again": `file 4755 12:65535 "#!x"`,
		"/srv/out": "link 1000:1001 -> ../../../../etc/shadow", "/etc": "dir 0755 0:0", "/etc/made": `file 0600 0:0 "x"`,
	}
	b.diff(dir, want)
	one, err1 := os.Lstat(dir + "/srv/tool")
	two, err2 := os.Lstat(dir + "/srv/again")
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		b.Errorf("two names of one file became two files: %v, %v", err1, err2)
	}
	if st := one.Sys().(*syscall.Stat_t); st.Mtim.Nsec != 0 {
		b.Errorf("a time has a fraction: %v", st.Mtim)
	}
}

// testJobLayerOverLayers changes and removes what is below.
func testJobLayerOverLayers(b *jobFixture) {
	first, _ := b.changed("first", nil,
		Deed{Do: DoMkdir, Path: "/d", Mode: 0o755}, Deed{Do: DoWrite, Path: "/d/a", Text: "1", Mode: 0o644},
		Deed{Do: DoMkdir, Path: "/e", Mode: 0o755}, Deed{Do: DoWrite, Path: "/e/a", Text: "1", Mode: 0o644},
		Deed{Do: DoMkdir, Path: "/same", Mode: 0o755}, Deed{Do: DoWrite, Path: "/file", Text: "1", Mode: 0o644},
	)
	second, _ := b.changed("second", []string{first},
		Deed{Do: DoRead, Path: "/d/a"},
		Deed{Do: DoRemove, Path: "/file"},
		Deed{Do: DoRemove, Path: "/e"}, Deed{Do: DoMkdir, Path: "/e", Mode: 0o711}, Deed{Do: DoWrite, Path: "/e/b", Text: "2", Mode: 0o644},
		Deed{Do: DoWrite, Path: "/d/b", Text: "2", Mode: 0o644}, Deed{Do: DoRemove, Path: "/d/a"},
		Deed{Do: DoMkdir, Path: "/new", Mode: 0o755},
		Deed{Do: DoWrite, Path: "/passing", Mode: 0o644}, Deed{Do: DoRemove, Path: "/passing"},
	)
	b.diff(second, map[string]string{
		"/file": "device 0", "/e": "opaque 0711 0:0", "/e/b": `file 0644 0:0 "2"`,
		"/d": "dir 0755 0:0", "/d/a": "device 0", "/d/b": `file 0644 0:0 "2"`, "/new": "dir 0755 0:0",
	})
	want := b.job(Program{Deeds: []Deed{
		{Do: DoList, Path: "/d"}, {Do: DoList, Path: "/e"}, {Do: DoRead, Path: "/file"}, {Do: DoRead, Path: "/d/b"}, {Do: DoList, Path: "/same"},
	}})
	want.Layers = []string{second, first}
	found, _ := b.do(want)
	b.expect(found, map[string]string{"list /d": "b", "list /e": "b", "read /file": "ENOENT", "read /d/b": `"2"`, "list /same": ""})
	if got := b.look(first + "/d/a"); got != `file 0644 0:0 "1"` {
		b.Errorf("a layer below was changed: /d/a is %s", got)
	}
}

func testJobEmptyLayer(b *jobFixture) {
	dir, layer := b.changed("changes", nil)
	b.diff(dir, map[string]string{})
	if layer.Entries != 0 {
		b.Errorf("a job that changed nothing made %+v", layer)
	}
}

// testJobUnidentified has a job's changes kept without their identity.
func testJobUnidentified(b *jobFixture) {
	for entries, deeds := range [][]Deed{nil, {{Do: DoMkdir, Path: "/d", Mode: 0o755}, {Do: DoWrite, Path: "/d/a", Text: "a", Mode: 0o644}}} {
		want := b.job(Program{Deeds: deeds})
		want.Changes, want.Unidentified = b.path(fmt.Sprint("changes", entries)), true
		result, _ := b.run(want)
		if l := result.Layer; result.Exit.Code != 0 || l == nil || l.DiffID != "" || l.Size != 0 || l.Entries != entries {
			b.Errorf("%d changes made %+v of %+v", len(deeds), l, result)
			continue
		}
		if _, err := os.ReadFile(want.Changes + "/d/a"); (err == nil) != (entries > 0) {
			b.Errorf("%d changes: %v", len(deeds), err)
		}
	}
}

// testJobLayerAgain has two jobs change the same.
func testJobLayerAgain(b *jobFixture) {
	deeds := []Deed{
		{Do: DoMkdir, Path: "/d", Mode: 0o755},
		{Do: DoWrite, Path: "/d/b", Text: "b", Mode: 0o644},
		{Do: DoLink, Path: "/d/a", To: "/d/b"},
		{Do: DoSymlink, Path: "/d/c", To: "b"},
		{Do: DoTouch, Path: "/d/a"},
		{Do: DoTouch, Path: "/d/c"},
		{Do: DoTouch, Path: "/d"},
	}
	_, one := b.changed("one", nil, deeds...)
	_, two := b.changed("two", nil, deeds...)
	if *one != *two {
		b.Errorf("the same changes made %+v and %+v", *one, *two)
	}
}

func testJobNoLayer(b *jobFixture) {
	want := b.job(Program{Deeds: []Deed{{Do: DoWrite, Path: "/file", Mode: 0o644}}, Exit: &Exit{Code: 1}})
	want.Changes = b.path("changes")
	if result, _ := b.run(want); result.Exit.Code != 1 || result.Layer != nil {
		b.Errorf("a job that failed ended with %+v", result)
	}
	if _, err := os.Lstat(want.Changes); !os.IsNotExist(err) {
		b.Errorf("a job that failed left changes: %v", err)
	}
}
