package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/image/pack"
)

// newLayer makes a directory with files, beside the store, as a layer.
func newLayer(t testing.TB, files map[string]string) image.NewLayer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layer")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { // directories, too
		return errors.Join(err, os.Chtimes(path, time.Time{}, time.Unix(1700000000, 0)))
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := pack.Digest(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return image.NewLayer{Dir: dir, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: "test"}
}

func packed(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pack.Write(t.Context(), &b, dir); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	base, err := s.Put(t.Context(), "base:1", imagetest.Image(t, imagetest.Options{
		Env: []string{"BASE=1"}, Labels: map[string]string{"commit": "a lie"}, Files: []imagetest.File{imagetest.Text("etc/base", "base")},
	}))
	if err != nil {
		t.Fatal(err)
	}
	lower, upper := newLayer(t, map[string]string{"app/a": "lower", "app/b": "b"}), newLayer(t, map[string]string{"app/a": "upper"})
	want := map[string][]byte{lower.DiffID: packed(t, lower.Dir), upper.DiffID: packed(t, upper.Dir)}
	config := image.RunConfig{Env: []string{"PATH=/bin"}, Dir: "/app", Labels: map[string]string{"commit": "abc"}, Cmd: []string{"/bin/sh", "-c", "serve"}}
	adoption := image.Adoption{Base: base.Digest, Layers: []image.NewLayer{lower, upper}, Config: config, Created: time.Unix(1700000000, 0).UTC()}
	img, err := s.Adopt(t.Context(), adoption)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config, img.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if len(img.Layers) != 3 || img.Layers[0] != base.Layers[0] || img.Layers[1].Digest != lower.DiffID || img.Layers[2].DiffID != upper.DiffID {
		t.Errorf("layers %+v", img.Layers)
	}
	for _, l := range []image.NewLayer{lower, upper} {
		if _, err := os.Lstat(l.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", l.Dir, err)
		}
	}

	// Once more from equal directories: the same image, and no directory left.
	again := adoption
	again.Layers = []image.NewLayer{newLayer(t, map[string]string{"app/a": "lower", "app/b": "b"}), newLayer(t, map[string]string{"app/a": "upper"})}
	if twin, err := s.Adopt(t.Context(), again); err != nil || twin.Digest != img.Digest {
		t.Errorf("the same layers gave %s, %v; want %s", twin.Digest, err, img.Digest)
	}

	// A restart loses nothing, and a collection keeps it while it is wanted.
	s.Close()
	s = openIn(t, dir)
	if _, err := s.Collect(t.Context(), []string{img.Digest}, 0); err != nil {
		t.Fatal(err)
	}
	dirs, err := s.Layers(t.Context(), img.Digest)
	if err != nil || len(dirs) != 3 {
		t.Fatalf("layers %v, %v", dirs, err)
	}
	if b, err := os.ReadFile(dirs[0] + "/app/a"); err != nil || string(b) != "upper" {
		t.Errorf("%q, %v", b, err)
	}
	for id, text := range want {
		expectBlob(t, s, id, text)
	}
	if _, err := s.Collect(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Layers(t.Context(), img.Digest); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("after a collection without it, it has layers: %v", err)
	}
	if _, err := s.Blob(upper.DiffID); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("after a collection without it, it has blobs: %v", err)
	}
}

// TestSBOM checks that an image's list of software is a part of it.
func TestSBOM(t *testing.T) {
	t.Parallel()
	s := openIn(t, t.TempDir())
	adopt := func(sbom string) image.Image {
		t.Helper()
		img, err := s.Adopt(t.Context(), image.Adoption{Layers: []image.NewLayer{newLayer(t, map[string]string{"app/a": "a"})}, SBOM: []byte(sbom)})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	one, two, without := adopt(`{"a":1}`), adopt(`{"a":2}`), adopt("")
	if one.Digest == two.Digest || adopt(`{"a":1}`).Digest != one.Digest {
		t.Error("the digest does not depend on the list, or not only")
	}
	if _, err := s.Collect(t.Context(), []string{one.Digest, without.Digest}, 0); err != nil {
		t.Fatal(err)
	}
	if b, err := s.SBOM(one.Digest); err != nil || string(b) != `{"a":1}` {
		t.Errorf("its list is %s, %v", b, err)
	}
	for what, digest := range map[string]string{"without a list": without.Digest, "that was collected": two.Digest} {
		if b, err := s.SBOM(digest); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("the list of an image %s is %s, %v", what, b, err)
		}
	}
}

// expectBlob reads a blob in all ways.
func expectBlob(t *testing.T, s *image.Store, digest string, want []byte) {
	t.Helper()
	if size, err := s.BlobSize(digest); err != nil || size != int64(len(want)) {
		t.Errorf("blob %s has %d bytes, %v; want %d", digest, size, err, len(want))
	}
	r, err := s.Blob(digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(r, want); err != nil {
		t.Errorf("blob %s: %v", digest, err)
	}
}

// TestDamagedAdoption checks that nobody gets the whole of a blob that is not what
// its digest says.
func TestDamagedAdoption(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"changed":    func(dir string) error { return os.WriteFile(dir+"/a", []byte("other"), 0o644) },
		"longer":     func(dir string) error { return os.WriteFile(dir+"/b", make([]byte, 4096), 0o644) },
		"shorter":    func(dir string) error { return os.Remove(dir + "/a") },
		"unpackable": func(dir string) error { return os.WriteFile(dir+"/.wh.x", nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			layer := newLayer(t, map[string]string{"a": "right"})
			img, err := s.Adopt(t.Context(), image.Adoption{Layers: []image.NewLayer{layer}})
			if err != nil {
				t.Fatal(err)
			}
			dirs, err := s.Layers(t.Context(), img.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(dirs[0]); err != nil {
				t.Fatal(err)
			}
			r, err := s.Blob(layer.DiffID)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if n, err := io.Copy(io.Discard, r); !errors.Is(err, image.ErrDigest) || n >= layer.Size {
				t.Errorf("read %d of %d bytes, %v", n, layer.Size, err)
			}
		})
	}
}

// TestRefusedAdoption checks that an adoption that fails makes no image.
func TestRefusedAdoption(t *testing.T) {
	t.Parallel()
	s := open(t)
	missing := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	layer := newLayer(t, map[string]string{"a": "a"})
	if _, err := s.Adopt(t.Context(), image.Adoption{Base: missing, Layers: []image.NewLayer{layer}}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("over a base that is not there: %v", err)
	}
	gone := layer
	gone.Dir += "-gone"
	if _, err := s.Adopt(t.Context(), image.Adoption{Layers: []image.NewLayer{gone}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Adopt(ctx, image.Adoption{Layers: []image.NewLayer{layer}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("images %v, %v", list, err)
	}
}
