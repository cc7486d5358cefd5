package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// prepared waits until the pool has so many sandboxes with an image.
func (s *fixture) prepared(image string, n int) (names []string) {
	s.Helper()
	eventually(s.T, "prepared sandboxes", func() error {
		if names = embedded.Prepared(s.driver, image); len(names) != n {
			return fmt.Errorf("%d are prepared with %s, want %d", len(names), image, n)
		}
		return nil
	})
	return names
}

// TestFurnishedSandbox checks that what was made ready for an image becomes its
// next instance, which looks like any other.
func TestFurnishedSandbox(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	const look = "read /etc/hostname /etc/hosts /srv/text"
	for range 3 {
		ready := embedded.Prepared(s.driver, imageProbe)
		spec := probe("id", look, "write /srv/text mine")
		found := s.run(spec)
		hostname := spec.ID[:12]
		s.expect(found, map[string]string{
			"host": hostname, "/etc/hostname": fmt.Sprintf("%q", hostname+"\n"), "/srv/text": `"shared\n"`,
			"/etc/hosts": fmt.Sprintf("%q", embedded.StandardHosts+"127.0.0.1\t"+hostname+"\n"),
		})
		if used := embedded.SandboxOf(s.driver, spec.ID); len(ready) > 0 && !slices.Contains(ready, used) {
			t.Errorf("sandbox %s was used, while %v were prepared", used, ready)
		}
		s.prepared(imageProbe, 1)
	}
	// Another size of disk takes another sandbox.
	ready := embedded.Prepared(s.driver, imageProbe)
	spec := probe(look)
	spec.Disk = 32 << 20
	s.run(spec)
	if used := embedded.SandboxOf(s.driver, spec.ID); slices.Contains(ready, used) {
		t.Errorf("sandbox %s was used, whose disk has another size", used)
	}
}

// TestImageUnpackedAgain checks that a sandbox prepared with layers that are
// gone is not used, and ended when somebody looks.
func TestImageUnpackedAgain(t *testing.T) {
	t.Parallel()
	layer := filepath.Join(built.layers, "again-"+filepath.Base(t.TempDir()))
	unpack := func(text string) { writeLayerFile(t, layer, "srv/text", text, 0o644) }
	s := newFixture(t, func(c *embedded.Config) {
		unpack("old")
		t.Cleanup(func() { os.RemoveAll(layer) })
		c.Images.(images)[imageProbe] = append([]string{layer}, c.Images.(images)[imageProbe]...)
	})
	s.expect(s.run(probe("read /srv/text")), map[string]string{"/srv/text": `"old"`})
	old := s.prepared(imageProbe, 1)[0]
	if err := os.Rename(layer, layer+".gone"); err != nil { // so that the inode is not used again
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(layer + ".gone") })
	unpack("new")
	s.expect(s.run(probe("read /srv/text")), map[string]string{"/srv/text": `"new"`})
	embedded.Review(s.driver)
	if ready := embedded.Prepared(s.driver, imageProbe); slices.Contains(ready, old) {
		t.Error("the sandbox with the layers that are gone is still there")
	}
}

// TestRecentImagesShareThePool checks that the images in use last have sandboxes
// prepared, and as many each.
func TestRecentImagesShareThePool(t *testing.T) {
	t.Parallel()
	s := newFixture(t, func(c *embedded.Config) { c.Pool = 2 })
	s.run(probe("exit"))
	s.prepared(imageProbe, 2)
	other := probe()
	other.Image = imageProgram
	other.Process.Argv = []string{"/program"}
	s.ensure(other)
	s.prepared(imageProgram, 1)
	s.prepared(imageProbe, 1)
}

// countedImages counts how often layers are looked up.
type countedImages struct {
	embedded.Images
	lookups atomic.Int32
}

func (i *countedImages) Layers(ctx context.Context, digest string) ([]string, error) {
	i.lookups.Add(1)
	return i.Images.Layers(ctx, digest)
}

// TestLayersLookedUpAgain checks that the layers of an image are looked up once, and again
// when they are gone. Its pool is empty: it looks them up for itself.
func TestLayersLookedUpAgain(t *testing.T) {
	t.Parallel()
	layer := filepath.Join(built.layers, "once-"+filepath.Base(t.TempDir()))
	var counted *countedImages
	s := newFixture(t, func(c *embedded.Config) {
		writeLayerFile(t, layer, "srv/text", "old", 0o644)
		t.Cleanup(func() { os.RemoveAll(layer) })
		c.Images.(images)[imageProbe] = append([]string{layer}, c.Images.(images)[imageProbe]...)
		counted = &countedImages{Images: c.Images}
		c.Images, c.Pool = counted, -1
	})
	for range 2 {
		if err := s.driver.Prepare(t.Context(), imageProbe); err != nil {
			t.Fatal(err)
		}
		s.expect(s.run(probe("read /srv/text")), map[string]string{"/srv/text": `"old"`})
	}
	if n := counted.lookups.Load(); n != 1 {
		t.Errorf("layers that stay were looked up %d times, want once", n)
	}
	if err := os.RemoveAll(layer); err != nil {
		t.Fatal(err)
	}
	if err := s.driver.Prepare(t.Context(), "gone"); err == nil {
		t.Error("an image that there is not was prepared")
	}
	if err := s.driver.Prepare(t.Context(), imageProbe); err == nil {
		t.Error("an image without its layers was prepared")
	}
	writeLayerFile(t, layer, "srv/text", "new", 0o644)
	s.expect(s.run(probe("read /srv/text")), map[string]string{"/srv/text": `"new"`})
}
