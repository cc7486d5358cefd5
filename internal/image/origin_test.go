package image_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// claims is a registry that has the manifests and configurations of images, and claims to
// have their layers.
type claims struct {
	mu     sync.Mutex
	blobs  map[string][]byte
	asked  []string
	server *httptest.Server
}

func newClaims(t *testing.T) *claims {
	c := &claims{blobs: map[string][]byte{}}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *claims) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if r.URL.Path == "/v2/" {
		return
	}
	body, ok := c.blobs[name]
	if strings.Contains(r.URL.Path, "/blobs/") {
		c.asked = append(c.asked, name)
	} else {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		w.Header().Set("Docker-Content-Digest", image.DigestOf(body))
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

// serve makes the registry claim an image, and returns the image's name.
func (c *claims) serve(t *testing.T, img v1.Image, tag string, withLayers bool) string {
	t.Helper()
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs[tag], c.blobs[Digest(t, img)], c.blobs[Digest(t, digester(config))] = raw, raw, config
	if withLayers {
		c.blobs[Digest(t, layerOf(t, img))] = compressed(t, layerOf(t, img))
	}
	return strings.TrimPrefix(c.server.URL, "http://") + "/theirs:" + tag
}

func layerOf(t *testing.T, img v1.Image) v1.Layer {
	t.Helper()
	ls, err := img.Layers()
	if err != nil || len(ls) != 1 {
		t.Fatalf("%d layers, %v", len(ls), err)
	}
	return ls[0]
}

func compressed(t *testing.T, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	buf := make([]byte, 1<<16)
	for {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return []byte(b.String())
		}
	}
}

// A registry that names a layer of this server, and does not have it, gets it into no
// image: neither by a tag nor by a digest of an image that is here.
func TestRegistryMustDeliver(t *testing.T) {
	t.Parallel()
	s, c := open(t), newClaims(t)
	secret := small(t, "secret")
	put(t, s, "hers:1", secret)
	for _, ref := range []string{
		c.serve(t, secret, "v1", false),
		strings.TrimPrefix(c.server.URL, "http://") + "/theirs@" + Digest(t, secret),
	} {
		if img, err := s.Pull(t.Context(), ref, nil); err == nil {
			t.Errorf("%s pulled %s, whose layer the registry does not have", ref, img.Digest)
		}
	}
	if len(c.asked) == 0 {
		t.Error("the registry was asked for no blob")
	}
	// The control: a registry that has the layer delivers it, though it is here, and once.
	ref := c.serve(t, secret, "v1", true)
	c.asked = nil
	if _, err := s.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	first := len(c.asked)
	if _, err := s.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	if first == 0 || len(c.asked) != first {
		t.Errorf("%d blobs were fetched, then %d more", first, len(c.asked)-first)
	}
}

// A registry that sends other bytes as a layer that is here is refused, and the layer
// stays.
func TestRegistrySendsOther(t *testing.T) {
	t.Parallel()
	s, c := open(t), newClaims(t)
	secret := small(t, "secret")
	put(t, s, "hers:1", secret)
	ref := c.serve(t, secret, "v1", true)
	layer := Digest(t, layerOf(t, secret))
	c.blobs[layer] = []byte(strings.Repeat("x", len(c.blobs[layer])))
	if img, err := s.Pull(t.Context(), ref, nil); err == nil {
		t.Errorf("pulled %s", img.Digest)
	}
	if _, err := s.RepositoryBlob("hers", layer); err != nil {
		t.Error(err)
	}
}

// An image that names the diff id of somebody else's layer beside a blob of its own does
// not get the directory that is shared by diff id.
func TestDiffIDIsNoPermission(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t)
	secret := put(t, s, "hers:1", small(t, "secret"))
	dirs := layers(t, s, secret.Digest)
	if b, err := os.ReadFile(filepath.Join(dirs[0], "secret")); err != nil || string(b) != "secret" {
		t.Fatalf("%q, %v", b, err)
	}
	mine := string(compressed(t, Layer(t, Text("mine", "mine"))))
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/x"]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, secret.Layers[0].DiffID)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		types.OCIManifestSchema1, types.OCIConfigJSON, blob(t, s, config, "mine"), len(config), types.OCILayer, blob(t, s, mine, "mine"), len(mine))
	if _, err := s.PutManifest(t.Context(), "mine", "1", "", []byte(manifest)); err != nil {
		t.Fatal(err)
	}
	img := mustPull(t, s, "mine:1")
	if dirs, err := s.Layers(t.Context(), img.Digest); err == nil {
		t.Errorf("the image has the layers %q, of which it pushed none", dirs)
	}
	// The control: the same tar, compressed otherwise, is the same layer.
	again := put(t, s, "again:1", small(t, "secret"))
	if got := layers(t, s, again.Digest); got[0] != dirs[0] {
		t.Errorf("layers %q, want %q", got, dirs)
	}
}
