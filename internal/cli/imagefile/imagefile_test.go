package imagefile_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/openslipway/slipway/internal/cli/imagefile"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

func sample(t *testing.T, o imagetest.Options) v1.Image {
	t.Helper()
	return imagetest.Image(t, o, imagetest.Layer(t, imagetest.Text("etc/motd", "hello")))
}

// archiveOf packs a directory into a tar.
func archiveOf(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file(t, "archive.tar", b.Bytes())
}

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(content)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file(t, "shop.tar.gz", b.Bytes())
}

func TestOpenReadsEveryForm(t *testing.T) {
	t.Parallel()
	img := sample(t, imagetest.Options{Ports: []string{"8000/tcp"}})
	saved := imagetest.SaveTar(t, img, "localhost:5000/team/shop:1.0")
	forms := []struct {
		form, path, name, tag string
	}{
		{"saved", saved, "team/shop", "1.0"},
		{"saved and gzipped", gzipped(t, saved), "team/shop", "1.0"},
		{"layout", imagetest.SaveLayout(t, img, ""), "layout", ""},
		{"layout with a full name", imagetest.SaveLayout(t, img, "docker.io/library/shop:v2"), "shop", "v2"},
		{"layout with only a tag", imagetest.SaveLayout(t, img, "v3"), "layout", "v3"},
		{"archive", archiveOf(t, imagetest.SaveLayout(t, img, "shop:v4")), "shop", "v4"},
		{"archive and gzipped", gzipped(t, archiveOf(t, imagetest.SaveLayout(t, img, ""))), "shop", ""},
	}
	for _, tool := range []string{"zstd", "xz", "bzip2"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			continue
		}
		packed, err := exec.Command(path, "-c", saved).Output()
		if err != nil {
			t.Fatal(err)
		}
		forms = append(forms, struct{ form, path, name, tag string }{"saved, by " + tool, file(t, "shop.tar."+tool, packed), "team/shop", "1.0"})
	}
	for _, tc := range forms {
		t.Run(tc.form, func(t *testing.T) {
			t.Parallel()
			got, err := imagefile.Open(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := got.Close(); err != nil {
					t.Error(err)
				}
			})
			if got.Name != tc.name || got.Tag != tc.tag {
				t.Errorf("name %q, tag %q; want %q, %q", got.Name, got.Tag, tc.name, tc.tag)
			}
			cfg, err := got.Config()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := cfg.Config.ExposedPorts["8000/tcp"]; !ok {
				t.Errorf("config exposes %v", cfg.Config.ExposedPorts)
			}
			digest, err := got.Single.Digest()
			if err != nil || digest.String() != got.Digest {
				t.Errorf("digest %s, %v; Digest is %q", digest, err, got.Digest)
			}
			if err := validate.Image(got.Single); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenKeepsAllPlatforms(t *testing.T) {
	t.Parallel()
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	index := imagetest.Index(t,
		sample(t, imagetest.Options{Platform: "linux/" + other, Ports: []string{"1/tcp"}}),
		sample(t, imagetest.Options{Ports: []string{"2/tcp"}}),
	)
	dir := filepath.Join(t.TempDir(), "shop")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendIndex(index); err != nil {
		t.Fatal(err)
	}
	got, err := imagefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Single != nil || got.Digest != imagetest.Digest(t, index) {
		t.Errorf("digest %s, single %v; want the index %s", got.Digest, got.Single, imagetest.Digest(t, index))
	}
	cfg, err := got.Config()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cfg.Config.ExposedPorts["2/tcp"]; !ok {
		t.Errorf("config of another platform: %v", cfg.Platform())
	}
	foreign := imagefile.Image{Index: imagetest.Index(t, sample(t, imagetest.Options{Platform: "linux/" + other}))}
	if _, err := foreign.Config(); err == nil || !strings.Contains(err.Error(), runtime.GOARCH) {
		t.Errorf("config of an image only for %s: %v", other, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	img := sample(t, imagetest.Options{})
	two := filepath.Join(t.TempDir(), "two.tar")
	a, b := name.MustParseReference("one:latest"), name.MustParseReference("two:latest")
	if err := tarball.MultiRefWriteToFile(two, map[name.Reference]v1.Image{a: img, b: sample(t, imagetest.Options{User: "1"})}); err != nil {
		t.Fatal(err)
	}
	several := filepath.Join(t.TempDir(), "several")
	p, err := layout.Write(several, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"1", "2"} {
		if err := p.AppendImage(sample(t, imagetest.Options{User: user})); err != nil {
			t.Fatal(err)
		}
	}
	cut := imagetest.SaveTar(t, img, "shop:1")
	if err := os.Truncate(cut, 2000); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what, path string
		is         error
		says       string
	}{
		{"nothing", filepath.Join(t.TempDir(), "absent"), fs.ErrNotExist, ""},
		{"a text", file(t, "notes.txt", []byte("hello")), imagefile.ErrNotImage, "not a tar"},
		{"an empty file", file(t, "empty", nil), imagefile.ErrNotImage, "not a tar"},
		{"broken gzip", file(t, "x.gz", []byte("\x1f\x8bnope")), nil, "the compressed data is damaged"},
		{"another tar", archiveOf(t, filepath.Dir(file(t, "a", []byte("b")))), imagefile.ErrNotImage, "manifest.json"},
		{"a directory", t.TempDir(), imagefile.ErrNotImage, "index.json"},
		{"a device", os.DevNull, imagefile.ErrNotImage, "regular"},
		{"two images", two, nil, "holds 2 images"},
		{"a layout of two", several, nil, "holds 2 images"},
		{"a cut tar", cut, imagefile.ErrNotImage, "cut short"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			_, err := imagefile.Open(tc.path)
			if err == nil {
				t.Fatal("it was opened")
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %v, want %v", err, tc.is)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
		})
	}
}

// TestSavedLayers checks that layers are not changed, that equal layers may be
// links, as Docker writes them, and that a damaged layer is refused.
func TestSavedLayers(t *testing.T) {
	t.Parallel()
	layer := imagetest.Tar(t, imagetest.Text("etc/motd", "hello"))
	sum := sha256.Sum256(layer)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q,%q]}}`, digest, digest)
	pack := func(layer []byte) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, e := range []struct {
			h    tar.Header
			body string
		}{
			{tar.Header{Name: "c.json"}, config},
			{tar.Header{Name: "two/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../one/layer.tar"}, ""},
			{tar.Header{Name: "one/layer.tar"}, string(layer)},
			{tar.Header{Name: "manifest.json"}, `[{"Config":"c.json","RepoTags":null,"Layers":["one/layer.tar","two/layer.tar"]}]`},
		} {
			e.h.Size, e.h.Mode = int64(len(e.body)), 0o600
			if err := w.WriteHeader(&e.h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(e.body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return file(t, "shop.tar", b.Bytes())
	}
	img, err := imagefile.Open(pack(layer))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Single.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for _, l := range layers {
		if d, err := l.Digest(); err != nil || d.String() != digest {
			t.Errorf("layer %s, %v; want it as it was, %s", d, err, digest)
		}
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, layer) {
			t.Errorf("layer of %d bytes, %v; want %d", len(got), err, len(layer))
		}
		r.Close()
	}
	layer[0] ^= 1
	if _, err := imagefile.Open(pack(layer)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged layer: %v", err)
	}
}

func TestArchiveUnpacksNothingButTheLayout(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, body string) {
		t.Helper()
		h.Size, h.Mode = int64(len(body)), 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	add(tar.Header{Name: "index.json", Typeflag: tar.TypeReg}, `{"schemaVersion":2,"manifests":[]}`)
	add(tar.Header{Name: "blobs", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)}, "")
	add(tar.Header{Name: "blobs/../../" + filepath.Base(outside), Typeflag: tar.TypeReg}, "x")
	add(tar.Header{Name: "blobs/outside", Typeflag: tar.TypeReg}, "x")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := imagefile.Open(file(t, "evil.tar", b.Bytes())); err == nil || !strings.Contains(err.Error(), "holds 0 images") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written outside of the layout: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "manifest.json", Size: 60, Mode: 0o600})
	w.Write([]byte(`[{"Config":"c","RepoTags":["shop:1"],"Layers":["l/layer"]}] `))
	w.WriteHeader(&tar.Header{Name: "c", Size: 2, Mode: 0o600})
	w.Write([]byte(`{}`))
	w.Close()
	f.Add(b.Bytes())
	f.Add([]byte("\x1f\x8b"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(dir, "image.tar")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		img, err := imagefile.Open(path)
		if err != nil {
			return
		}
		defer img.Close()
		if _, err := name.NewTag("registry.test/" + img.Name + ":" + img.Tag); img.Tag != "" && err != nil {
			t.Errorf("name %q, tag %q: %v", img.Name, img.Tag, err)
		}
	})
}
