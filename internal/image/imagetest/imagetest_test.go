package imagetest_test

import (
	"archive/tar"
	"io"
	"log"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	img := imagetest.Build(t, "./testdata/hello", imagetest.Options{
		Env: []string{"GREETING=you"}, User: "app", Dir: "/tmp", Ports: []string{"8080/tcp"}, StopSignal: "SIGINT",
		Files: []imagetest.File{imagetest.Text("etc/motd", "hi\n")},
	})
	saved, err := layout.Path(imagetest.SaveLayout(t, img, "hello")).Image(digest(t, img))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(saved); err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Entrypoint: []string{"/app"}, Env: []string{"GREETING=you"}, User: "app", WorkingDir: "/tmp",
		StopSignal: "SIGINT", ExposedPorts: map[string]struct{}{"8080/tcp": {}},
	}
	if diff := cmp.Diff(want, cf.Config); diff != "" {
		t.Error(diff)
	}
	names := entries(t, img)
	for _, n := range []string{"app", "etc/passwd", "etc/motd", "tmp"} {
		if !names[n] {
			t.Errorf("%s is not in the image", n)
		}
	}
}

// A binary that needs a loader would not start in an image without one.
func TestProgramIsStatic(t *testing.T) {
	t.Parallel()
	path := imagetest.Program(t, "./testdata/hello")
	out, _ := exec.Command("readelf", "-l", path).CombinedOutput()
	if strings.Contains(string(out), "INTERP") {
		t.Errorf("%s asks for an interpreter:\n%s", path, out)
	}
}

func TestSameInputSameDigest(t *testing.T) {
	t.Parallel()
	o := imagetest.Options{Files: []imagetest.File{imagetest.Text("a", "b"), imagetest.Symlink("c", "a"), imagetest.Hardlink("d", "a")}}
	a, b := imagetest.Digest(t, imagetest.Image(t, o)), imagetest.Digest(t, imagetest.Image(t, o))
	if a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestSaveAndPush(t *testing.T) {
	t.Parallel()
	img := imagetest.Image(t, imagetest.Options{Files: []imagetest.File{imagetest.Text("a", "b")}})
	want := imagetest.Digest(t, img)

	fromTar, err := tarball.ImageFromPath(imagetest.SaveTar(t, img, "hello:1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !entries(t, fromTar)["a"] {
		t.Error("the tar lacks the file a")
	}

	p, err := layout.FromPath(imagetest.SaveLayout(t, img, "hello:1"))
	if err != nil {
		t.Fatal(err)
	}
	idx, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 || m.Manifests[0].Digest.String() != want {
		t.Errorf("layout holds %v, want %s", m.Manifests, want)
	}

	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	ref := strings.TrimPrefix(srv.URL, "http://") + "/hello:1"
	imagetest.Push(t, img, ref)
	if got, err := crane.Digest(ref); err != nil || got != want {
		t.Errorf("registry holds %s, %v, want %s", got, err, want)
	}
}

func TestIndexPlatforms(t *testing.T) {
	t.Parallel()
	idx := imagetest.Index(t,
		imagetest.Image(t, imagetest.Options{Platform: "linux/amd64"}),
		imagetest.Image(t, imagetest.Options{Platform: "linux/arm64"}))
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range m.Manifests {
		got = append(got, d.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, got); diff != "" {
		t.Error(diff)
	}
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func entries(t *testing.T, img v1.Image) map[string]bool {
	t.Helper()
	rc := mutate.Extract(img)
	defer rc.Close()
	names := map[string]bool{}
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names[strings.TrimSuffix(h.Name, "/")] = true
	}
}
