package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

func put(t testing.TB, s *image.Store, name string, img v1.Image) image.Image {
	t.Helper()
	got, err := s.Put(t.Context(), name, img)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func layers(t testing.TB, s *image.Store, digest string) []string {
	t.Helper()
	dirs, err := s.Layers(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	return got
}

// mountOverlay mounts the layers read-only and returns the mount point.
func mountOverlay(t *testing.T, dirs []string) string {
	t.Helper()
	at := t.TempDir()
	if len(dirs) == 1 { // overlayfs requires two
		dirs = append(dirs, t.TempDir())
	}
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(dirs, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	return at
}

func TestLayers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t)
	base := Layer(t, Dir("etc/", 0), Text("etc/keep", "1"), Text("etc/gone", "1"), Text("etc/new", "1"), Dir("var/", 0), Text("var/hidden", ""))
	change := Layer(t, Dir("etc/", 0o750), Text("etc/.wh.gone", ""), Text("etc/new", "2"), Dir("var/", 0), Text("var/.wh..wh..opq", ""), Text("var/shown", ""))
	one := put(t, s, "one:1", Image(t, Options{}, base))
	two := put(t, s, "two:1", Image(t, Options{}, base, change))

	dirs := layers(t, s, two.Digest)
	if len(dirs) != 2 || layers(t, s, one.Digest)[0] != dirs[1] {
		t.Fatalf("layers %v, base %v", dirs, layers(t, s, one.Digest))
	}
	at := mountOverlay(t, dirs)
	if diff := cmp.Diff([]string{"keep", "new"}, names(t, at+"/etc")); diff != "" {
		t.Errorf("etc: %s", diff)
	}
	if diff := cmp.Diff([]string{"shown"}, names(t, at+"/var")); diff != "" {
		t.Errorf("var: %s", diff)
	}
	if b, err := os.ReadFile(at + "/etc/new"); err != nil || string(b) != "2" {
		t.Errorf("etc/new holds %q, %v", b, err)
	}
}

// Overlayfs refuses a directory given twice, and dropping the lower one must
// not change the result.
func TestLayersRepeated(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t)
	a, b := Layer(t, Text("x", "a"), Dir("d/", 0), Text("d/f", "a")), Layer(t, Text(".wh.x", ""), Text("d", "b"))
	img := put(t, s, "a:1", Image(t, Options{}, a, b, a))
	dirs := layers(t, s, img.Digest)
	if len(dirs) != 2 {
		t.Fatalf("layers %v", dirs)
	}
	at := mountOverlay(t, dirs)
	for _, f := range []string{"x", "d/f"} {
		if got, err := os.ReadFile(filepath.Join(at, f)); err != nil || string(got) != "a" {
			t.Errorf("%s holds %q, %v", f, got, err)
		}
	}
}

// Two images have the same layer on different layers below: each image has its
// own result, which is removed with the image.
func TestLayersThatNeedThoseBelow(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	top := Layer(t, Hardlink("bin/again", "bin/tool"), Text("tmp/mine", "x"))
	digests := map[string]string{}
	for _, body := range []string{"one", "two"} {
		base := Layer(t, Dir("bin/", 0o711), Text("bin/tool", body), Dir("tmp/", 0o1777))
		digests[body] = put(t, s, body+":1", Image(t, Options{}, base, top)).Digest
	}
	for body, digest := range digests {
		at := mountOverlay(t, layers(t, s, digest))
		if b, err := os.ReadFile(at + "/bin/again"); err != nil || string(b) != body {
			t.Errorf("%s: bin/again holds %q, %v", body, b, err)
		}
		tool, err1 := os.Stat(at + "/bin/tool")
		again, err2 := os.Stat(at + "/bin/again")
		if err1 != nil || err2 != nil || !os.SameFile(tool, again) {
			t.Errorf("%s: bin/tool and bin/again are not the same file: %v, %v", body, err1, err2)
		}
		for name, want := range map[string]os.FileMode{"bin": 0o711 | os.ModeDir, "tmp": 0o777 | os.ModeSticky | os.ModeDir} {
			if fi, err := os.Stat(filepath.Join(at, name)); err != nil || fi.Mode() != want {
				t.Errorf("%s: %s has mode %v, want %v", body, name, fi.Mode(), want)
			}
		}
	}
	wantEmpty(t, dir)

	if _, err := s.Collect(t.Context(), []string{digests["one"], digests["two"]}, 0); err != nil {
		t.Fatal(err)
	}
	if n := names(t, filepath.Join(dir, "layers")); len(n) != 4 {
		t.Errorf("layers %v, want both bases and both tops", n)
	}
	if err := s.DeleteTag("two", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteManifest("two", digests["two"]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if n := names(t, filepath.Join(dir, "layers")); len(n) != 2 {
		t.Errorf("layers %v, want one base and its top", n)
	}
}

// Layers wait for the layers below them, also when there are more than may be
// unpacked at once, and fail with them.
func TestLayersAboveABadOne(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t)
	stack := []v1.Layer{Layer(t, Dir("d/", 0), Text("d/0", "0")), Layer(t, Text("../x", ""))}
	for i := range 20 {
		stack = append(stack, Layer(t, Hardlink(fmt.Sprintf("d/%d", i+1), fmt.Sprintf("d/%d", i))))
	}
	bad := put(t, s, "bad:1", Image(t, Options{}, stack...))
	_, err := s.Layers(t.Context(), bad.Digest)
	wantUser(t, err, slipway.InvalidRequest, `"../x"`)
	good := put(t, s, "good:1", Image(t, Options{}, slices.Delete(stack, 1, 2)...))
	at := mountOverlay(t, layers(t, s, good.Digest))
	if b, err := os.ReadFile(at + "/d/20"); err != nil || string(b) != "0" {
		t.Errorf("d/20 holds %q, %v", b, err)
	}
}

func TestLayersTogether(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	var ls []v1.Layer
	for i := range 4 {
		ls = append(ls, Layer(t, Text(fmt.Sprintf("f%d", i), "x")))
	}
	img := put(t, s, "a:1", Image(t, Options{}, ls...))
	want := slices.Clone(img.Layers)
	slices.Reverse(want)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dirs, err := s.Layers(t.Context(), img.Digest)
			if err != nil {
				t.Error(err)
				return
			}
			for i, d := range dirs {
				if !strings.Contains(d, strings.TrimPrefix(want[i].DiffID, "sha256:")) {
					t.Errorf("layer %d is %s, want %s", i, d, want[i].DiffID)
				}
			}
		})
	}
	wg.Wait()
	wantEmpty(t, dir)
}

func TestLayersErrors(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	bad := put(t, s, "bad:1", Image(t, Options{}, Layer(t, Text("../x", ""))))
	_, err := s.Layers(t.Context(), bad.Digest)
	wantUser(t, err, slipway.InvalidRequest, `"../x"`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	good := put(t, s, "good:1", small(t, "a"))
	if _, err := s.Layers(ctx, good.Digest); err == nil {
		t.Error("a cancelled call succeeded")
	}
	for _, digest := range []string{"", "sha256:12", "../../etc", "sha256:" + strings.Repeat("0", 64)} {
		if _, err := s.Layers(t.Context(), digest); err == nil {
			t.Errorf("%q has layers", digest)
		}
	}
	wantEmpty(t, dir)
	if left := names(t, filepath.Join(dir, "layers")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A blob that was damaged on the disk is removed, so that it is fetched again.
func TestLayersDamaged(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s, up := openIn(t, dir), newUpstream(t)
	ref := up.push(t, small(t, "a"), "hello:1")
	img := mustPull(t, s, ref)
	blob := filepath.Join(dir, "blobs", strings.Replace(img.Layers[0].Digest, ":", "/", 1))
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blob, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Layers(t.Context(), img.Digest); err == nil {
		t.Fatal("a damaged layer was unpacked")
	}
	mustPull(t, s, ref)
	layers(t, s, img.Digest)
}

// After a reboot only synced layers are trusted.
func TestLayersOfEarlierBoot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	settled := put(t, s, "settled:1", small(t, "settled"))
	fresh := put(t, s, "fresh:1", small(t, "fresh"))
	old := layers(t, s, settled.Digest)[0]
	if _, err := s.Collect(t.Context(), nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	young := layers(t, s, fresh.Digest)[0]
	s.Close()
	note := filepath.Join(filepath.Dir(young), "note.json")
	b, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	var n map[string]any
	if err := json.Unmarshal(b, &n); err != nil || n["boot"] == nil {
		t.Fatalf("%s: %v", b, err)
	}
	n["boot"] = "another"
	b, _ = json.Marshal(n)
	if err := os.WriteFile(note, b, 0o600); err != nil {
		t.Fatal(err)
	}

	s = openIn(t, dir)
	if _, err := os.Stat(old); err != nil {
		t.Errorf("the synced layer is gone: %v", err)
	}
	if _, err := os.Stat(young); err == nil {
		t.Error("the unsynced layer is still there")
	}
	layers(t, s, fresh.Digest)
	wantEmpty(t, dir)
}

func TestLayerOfUnsupportedType(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Put(t.Context(), "a:1", Image(t, Options{}, static.NewLayer([]byte("x"), types.DockerForeignLayer)))
	wantUser(t, err, slipway.InvalidRequest, "cannot run here")
}

// BenchmarkLayers unpacks a layer of 2,000 files and 100 MB.
func BenchmarkLayers(b *testing.B) {
	needRoot(b)
	var files []File
	for i := range 2000 {
		body := bytes.Repeat([]byte(fmt.Sprintf("line %d of a file that compresses somewhat\n", i*7919)), 1100)
		files = append(files, Text(fmt.Sprintf("d%d/f%d", i%50, i), string(body)))
	}
	img := Image(b, Options{}, Layer(b, files...))
	ls, err := img.Layers()
	if err != nil {
		b.Fatal(err)
	}
	r, err := ls[0].Uncompressed()
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n)
	for b.Loop() {
		b.StopTimer()
		s := open(b)
		got := put(b, s, "", img)
		b.StartTimer()
		layers(b, s, got.Digest)
	}
}
