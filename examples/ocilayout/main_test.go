package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestPack(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "web")
	if err := os.WriteFile(binary, []byte("\x7fELF and so on"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	var digests []string
	for range 2 { // a second time replaces the first, with the same result
		if err := pack(binary, dir, ""); err != nil {
			t.Fatal(err)
		}
		idx, err := layout.ImageIndexFromPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := idx.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Manifests) != 1 || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "web:latest" {
			t.Fatalf("index holds %+v, want only web:latest", m.Manifests)
		}
		img, err := idx.Image(m.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Fatal(err)
		}
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if e := cf.Config.Entrypoint; len(e) != 1 || e[0] != "/web" {
			t.Errorf("entrypoint %q, want /web", e)
		}
		digests = append(digests, m.Manifests[0].Digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("the same binary gave %s and %s", digests[0], digests[1])
	}
	if err := pack(filepath.Join(t.TempDir(), "absent"), dir, ""); err == nil {
		t.Error("packed a binary that does not exist")
	}
}
