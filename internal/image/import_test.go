package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// saveIndex writes an index as an OCI layout.
func saveIndex(t testing.TB, idx v1.ImageIndex, ref string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendIndex(idx, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref})); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tarOf packs a directory.
func tarOf(t testing.TB, dir string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refs(images []image.Image) []string {
	var got []string
	for _, i := range images {
		got = append(got, i.Ref)
	}
	return got
}

func TestImport(t *testing.T) {
	t.Parallel()
	img := small(t, "a")
	lay := SaveLayout(t, img, "team/hello:1")
	saved := read(t, SaveTar(t, img, "team/hello:1"))
	forms := map[string][]byte{
		"saved": saved, "saved, gzipped": gzipped(t, saved),
		"layout": tarOf(t, lay), "layout, gzipped": gzipped(t, tarOf(t, lay)),
	}
	for _, tool := range []string{"zstd", "xz", "bzip2"} {
		if path, err := exec.LookPath(tool); err == nil {
			cmd := exec.Command(path, "-c")
			cmd.Stdin = bytes.NewReader(saved)
			if forms["saved, by "+tool], err = cmd.Output(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, b := range forms {
		for _, as := range []string{"", "mine", "ghcr.io/me/mine:2"} {
			dir := t.TempDir()
			s := openIn(t, dir)
			got, err := s.Import(t.Context(), bytes.NewReader(b), as)
			if err != nil {
				t.Errorf("%s as %q: %v", what, as, err)
				continue
			}
			want := map[string]string{"": "team/hello:1", "mine": "mine:latest", "ghcr.io/me/mine:2": "me/mine:2"}[as]
			if diff := cmp.Diff([]string{want}, refs(got)); diff != "" {
				t.Errorf("%s as %q: %s", what, as, diff)
			}
			if pulled := mustPull(t, s, want); pulled.Digest != got[0].Digest || !has(t, s, pulled.Digest) {
				t.Errorf("%s as %q: imported %s, pulled %s", what, as, got[0].Digest, pulled.Digest)
			}
			if os.Getuid() == 0 {
				if d := layers(t, s, got[0].Digest); len(d) != 1 || string(read(t, d[0]+"/a")) != "a" {
					t.Errorf("%s: layers %v", what, d)
				}
			}
			wantEmpty(t, dir)
		}
	}
}

func TestImportDirectory(t *testing.T) {
	t.Parallel()
	s := open(t)
	img := small(t, "a")
	got, err := s.ImportFile(t.Context(), SaveLayout(t, img, "hello:1"), "")
	if err != nil || len(got) != 1 || got[0].Digest != Digest(t, img) {
		t.Fatalf("imported %v, %v", got, err)
	}
	if got, err = s.ImportFile(t.Context(), SaveTar(t, img, "docker.io/library/hello:2"), ""); err != nil || got[0].Ref != "hello:2" {
		t.Errorf("imported %v, %v", got, err)
	}
}

// `docker save` of several images, with shared layers behind symbolic links, as
// old versions of Docker write them.
func TestImportSeveral(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := Layer(t, Text("base", "x"))
	a, b := Image(t, Options{}, base, Layer(t, Text("a", "1"))), Image(t, Options{}, base, Layer(t, Text("b", "1")))
	path := filepath.Join(dir, "two.tar")
	tag := func(s string) name.Tag {
		n, err := name.NewTag(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := tarball.MultiWriteToFile(path, map[name.Tag]v1.Image{tag("a:1"): a, tag("b:1"): b}); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	got, err := s.ImportFile(t.Context(), path, "")
	if err != nil || len(got) != 2 {
		t.Fatalf("imported %v, %v", got, err)
	}
	_, err = s.ImportFile(t.Context(), path, "c:1")
	wantUser(t, err, slipway.InvalidRequest, "2 images")

	layer := Tar(t, Text("a", "1"))
	diff := Digest(t, digester(layer))
	config := `{"architecture":"` + runtime.GOARCH + `","os":"linux","rootfs":{"type":"layers","diff_ids":["` + diff + `","` + diff + `"]}}`
	old := Tar(t, Text("c.json", config), Dir("1/", 0), File{Header: tar.Header{Name: "1/layer.tar"}, Body: layer}, Symlink("2/layer.tar", "../1/layer.tar"),
		Text("manifest.json", `[{"Config":"c.json","RepoTags":["old:1","old:2"],"Layers":["1/layer.tar","2/layer.tar"]}]`))
	got, err = s.Import(t.Context(), bytes.NewReader(old), "")
	if diff := cmp.Diff([]string{"old:1", "old:2"}, refs(got)); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
}

func TestImportIndex(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *image.Config) { c.Platform = "linux/amd64" })
	amd, arm := Image(t, Options{Platform: "linux/amd64"}, Layer(t, Text("amd", ""))), Image(t, Options{Platform: "linux/arm64"}, Layer(t, Text("arm", "")))
	idx := Index(t, amd, arm)
	dir := saveIndex(t, idx, "multi:1")
	removeBlobs(t, dir, arm) // as a tool leaves it that fetched one platform
	got, err := s.ImportFile(t.Context(), dir, "")
	if err != nil || len(got) != 1 || got[0].Digest != Digest(t, amd) {
		t.Fatalf("imported %v, %v", got, err)
	}
	if m, err := s.Manifest("multi", "1"); err != nil || m.Digest != Digest(t, idx) {
		t.Errorf("the tag is %s, %v", m.Digest, err)
	}
	if _, err := s.Manifest("multi", Digest(t, amd)); err != nil {
		t.Error(err)
	}
	if _, err := s.Manifest("multi", Digest(t, arm)); err == nil {
		t.Error("an image that is incomplete can be pulled by digest")
	}
	other := open(t, func(c *image.Config) { c.Platform = "linux/riscv64" })
	_, err = other.ImportFile(t.Context(), dir, "")
	wantUser(t, err, slipway.InvalidRequest, "not available for linux/riscv64")
}

// removeBlobs removes an image's layers from a layout.
func removeBlobs(t *testing.T, dir string, img v1.Image) {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		if err := os.Remove(filepath.Join(dir, "blobs", strings.Replace(Digest(t, l), ":", "/", 1))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImportRefused(t *testing.T) {
	t.Parallel()
	img := small(t, "a")
	damaged := SaveLayout(t, img, "a:1")
	err := filepath.WalkDir(filepath.Join(damaged, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b := read(t, path)
		b[len(b)-1] ^= 1
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	partial := SaveLayout(t, img, "a:1")
	removeBlobs(t, partial, img)
	escape := SaveLayout(t, img, "a:1")
	if err := os.Remove(filepath.Join(escape, "index.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(escape, "index.json")); err != nil {
		t.Fatal(err)
	}
	saved := read(t, SaveTar(t, img, "a:1"))
	liar := Tar(t, Text("c.json", `{"rootfs":{"diff_ids":["sha256:`+strings.Repeat("0", 64)+`"]}}`), Text("l.tar", "x"), Text("manifest.json", `[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`))
	out := Tar(t, Symlink("c.json", "../../../../etc/passwd"), Text("manifest.json", `[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]`))
	tests := []struct {
		what string
		do   func(context.Context, *image.Store) ([]image.Image, error)
		code slipway.Code
		text string
	}{
		{"no file", file("/nonexistent", ""), slipway.NotFound, "no file"},
		{"no image", file(t.TempDir(), ""), slipway.InvalidRequest, "not a saved image"},
		{"bad name", file(damaged, "A B"), slipway.InvalidRequest, "not the name of an image"},
		{"digest for a name", file(damaged, "a@sha256:"+strings.Repeat("0", 64)), slipway.InvalidRequest, "needs a tag"},
		{"damaged", file(damaged, ""), slipway.InvalidRequest, "damaged"},
		{"partial", file(partial, ""), slipway.InvalidRequest, "it is incomplete"},
		{"no name", file(SaveLayout(t, img, ""), ""), slipway.InvalidRequest, "no name"},
		{"junk", stream([]byte(strings.Repeat("junk", 1000))), slipway.InvalidRequest, "not a readable tar"},
		{"empty", stream(nil), slipway.InvalidRequest, "not a saved image"},
		{"cut", stream(saved[:len(saved)/2]), slipway.InvalidRequest, ""},
		{"cut gzip", stream(gzipped(t, saved)[:200]), slipway.InvalidRequest, "not a readable tar"},
		{"other layer than promised", stream(liar), slipway.InvalidRequest, "damaged"},
		{"link out", stream(out), slipway.InvalidRequest, "it is incomplete"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		s := openIn(t, dir)
		_, err := tt.do(t.Context(), s)
		if slipway.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %s with %q", tt.what, err, tt.code, tt.text)
		}
		if images, err := s.List(); err != nil || len(images) > 0 {
			t.Errorf("%s: left %v, %v", tt.what, images, err)
		}
		wantEmpty(t, dir)
	}
	if _, err := open(t).ImportFile(t.Context(), escape, ""); err == nil {
		t.Error("a link out of the layout was followed")
	}
}

func file(path, as string) func(context.Context, *image.Store) ([]image.Image, error) {
	return func(ctx context.Context, s *image.Store) ([]image.Image, error) {
		return s.ImportFile(ctx, path, as)
	}
}

func stream(b []byte) func(context.Context, *image.Store) ([]image.Image, error) {
	return func(ctx context.Context, s *image.Store) ([]image.Image, error) {
		return s.Import(ctx, bytes.NewReader(b), "")
	}
}
