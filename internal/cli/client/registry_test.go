package client_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/imagefile"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// registryServer serves a registry with one access key.
func registryServer(t *testing.T, secret string) *client.Client {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, pass, ok := r.BasicAuth(); !ok || id != "AKID" || pass != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="slipway"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	target, err := client.Settings{Endpoint: srv.URL, DataDir: t.TempDir()}.Resolve(
		env("AWS_ACCESS_KEY_ID", "AKID", "AWS_SECRET_ACCESS_KEY", secret))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	c := registryServer(t, "secret")
	img := imagetest.Image(t, imagetest.Options{Ports: []string{"80/tcp"}}, imagetest.Layer(t, imagetest.Text("f", "content")))
	opened, err := imagefile.Open(imagetest.SaveLayout(t, img, "shop:1.0"))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := c.Registry.Images(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("images of an empty registry: %v, %v", all, err)
	}
	if d, err := c.Registry.Digest(t.Context(), "shop:1.0"); err != nil || d != "" {
		t.Errorf("digest of what is not there: %q, %v", d, err)
	}
	var sent, total atomic.Int64
	digest, err := c.Registry.Push(t.Context(), opened, "shop", "1.0", func(done, all int64) {
		sent.Store(done)
		total.Store(all)
	})
	if err != nil {
		t.Fatal(err)
	}
	if digest != imagetest.Digest(t, img) {
		t.Errorf("pushed %s, want %s", digest, imagetest.Digest(t, img))
	}
	if sent.Load() == 0 || sent.Load() != total.Load() {
		t.Errorf("progress ended at %d of %d", sent.Load(), total.Load())
	}
	for _, name := range []string{"shop:1.0", "shop@" + digest} {
		if d, err := c.Registry.Digest(t.Context(), name); err != nil || d != digest {
			t.Errorf("digest of %s: %q, %v", name, d, err)
		}
		if cfg, err := c.Registry.Config(t.Context(), name); err != nil || len(cfg.Config.ExposedPorts) != 1 {
			t.Errorf("config of %s: %v, %v", name, cfg, err)
		}
	}
	if d, err := c.Registry.Digest(t.Context(), "Not A Name"); err != nil || d != "" {
		t.Errorf("digest of no name: %q, %v", d, err)
	}
	all, err := c.Registry.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	size, err := layers[0].Size()
	if err != nil {
		t.Fatal(err)
	}
	want := []client.Image{{Repository: "shop", Tag: "1.0", Digest: digest, Size: size}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestRegistryTakesAnIndex(t *testing.T) {
	t.Parallel()
	c := registryServer(t, "secret")
	one := imagetest.Image(t, imagetest.Options{}, imagetest.Layer(t, imagetest.Text("f", "one")))
	two := imagetest.Image(t, imagetest.Options{Platform: "linux/riscv64"}, imagetest.Layer(t, imagetest.Text("f", "two")))
	index := imagetest.Index(t, one, two)
	if _, err := c.Registry.Push(t.Context(), &imagefile.Image{Index: index, Digest: imagetest.Digest(t, index)}, "shop", "all", nil); err != nil {
		t.Fatal(err)
	}
	all, err := c.Registry.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Digest != imagetest.Digest(t, index) || all[0].Size == 0 {
		t.Errorf("images %+v", all)
	}
}

func TestRegistryProblems(t *testing.T) {
	t.Parallel()
	c := registryServer(t, "wrong")
	_, err := c.Registry.Images(t.Context())
	if p := c.Target.Explain(err); !strings.Contains(p.Text, "does not know access key AKID") || p.Hint == "" {
		t.Errorf("problem %q, %q of %v", p.Text, p.Hint, err)
	}
	if _, err := c.Registry.Push(t.Context(), &imagefile.Image{}, "UPPER", "1", nil); err == nil || !strings.Contains(err.Error(), "UPPER") {
		t.Errorf("error %v", err)
	}
}

func TestSplitName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"shop":        {"shop", "latest"},
		"shop:1":      {"shop", "1"},
		"team/shop":   {"team/shop", "latest"},
		"h:5/shop":    {"h:5/shop", "latest"},
		"team/shop:v": {"team/shop", "v"},
	} {
		if repository, tag := client.SplitName(name); repository != want[0] || tag != want[1] {
			t.Errorf("SplitName(%q) = %q, %q", name, repository, tag)
		}
	}
}
