package registry_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
)

// TestAdoptedImage pulls an image whose layers have no blobs, and pushes it again
// under another name.
func TestAdoptedImage(t *testing.T) {
	p := open(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "layer")
	if err := os.MkdirAll(dir+"/app", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/app/hello", make([]byte, 300_000), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := pack.Digest(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.images.Adopt(t.Context(), image.Adoption{
		Layers: []image.NewLayer{{Dir: dir, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: "test"}},
		Config: image.RunConfig{Dir: "/app"}, Created: time.Unix(1700000000, 0).UTC(), Name: "built:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(p.ref("built:1"), auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := readLayers(pulled); err != nil {
		t.Error(err)
	}
	if d, err := pulled.Digest(); err != nil || d.String() != img.Digest {
		t.Errorf("pulled %s, %v; want %s", d, err, img.Digest)
	}
	if err := remote.Write(p.ref("copy:1"), pulled, auth); err != nil {
		t.Error(err)
	}
	res := p.do("GET", "/v2/built/blobs/"+l.DiffID, "", "Range", "bytes=100-199")
	if res.StatusCode != 206 || res.ContentLength != 100 {
		t.Errorf("a range: status %d, %d bytes", res.StatusCode, res.ContentLength)
	}

	if err := os.WriteFile(filepath.Join(p.dir, "layers", l.DiffID[7:], "fs/app/hello"), make([]byte, 300_001), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := readLayers(pulled); err == nil {
		t.Error("a damaged layer was pulled")
	}
}

// readLayers reads all layers of an image; the client checks their digests.
func readLayers(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
