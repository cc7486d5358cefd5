package image_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

func collect(t testing.TB, s *image.Store, minAge time.Duration, keep ...string) image.Freed {
	t.Helper()
	freed, err := s.Collect(t.Context(), keep, minAge)
	if err != nil {
		t.Fatal(err)
	}
	return freed
}

// has reports whether the store has an image completely, as a driver needs it.
func has(t testing.TB, s *image.Store, digest string) bool {
	t.Helper()
	img, err := s.Get(digest)
	if errors.Is(err, image.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range img.Layers {
		if _, err := s.BlobSize(l.Digest); err != nil {
			return false
		}
	}
	return true
}

func TestCollect(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	tagged := put(t, s, "tagged:1", small(t, "tagged"))
	kept := mustPull(t, s, up.push(t, small(t, "kept"), "kept:1"))
	loose := mustPull(t, s, up.push(t, small(t, "loose"), "loose:1"))
	replaced := put(t, s, "moving:1", small(t, "old"))
	put(t, s, "moving:1", small(t, "new"))

	if freed := collect(t, s, time.Hour); freed != (image.Freed{}) {
		t.Errorf("freed %+v of what is young", freed)
	}
	freed := collect(t, s, 0, kept.Digest)
	if freed.Blobs != 6 || freed.Images != 2 || freed.Manifests != 1 || freed.Bytes == 0 {
		t.Errorf("freed %+v", freed)
	}
	for digest, want := range map[string]bool{tagged.Digest: true, kept.Digest: true, loose.Digest: false, replaced.Digest: false} {
		if got := has(t, s, digest); got != want {
			t.Errorf("%s there: %v, want %v", digest, got, want)
		}
	}
	if freed := collect(t, s, 0, kept.Digest); freed != (image.Freed{}) {
		t.Errorf("a second collection freed %+v", freed)
	}
}

func TestCollectLayers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	s := openIn(t, dir)
	base := Layer(t, Text("base", "x"))
	one := put(t, s, "one:1", Image(t, Options{}, base, Layer(t, Text("one", "1"))))
	two := put(t, s, "two:1", Image(t, Options{}, base, Layer(t, Text("two", "22"))))
	layers(t, s, one.Digest)
	dirs := layers(t, s, two.Digest)
	if err := s.DeleteTag("two", "1"); err != nil {
		t.Fatal(err)
	}
	if freed := collect(t, s, 0); freed.Layers != 1 || freed.Images != 1 {
		t.Errorf("freed %+v", freed)
	}
	for i, want := range []bool{false, true} {
		if _, err := os.Stat(dirs[i]); (err == nil) != want {
			t.Errorf("layer %d: %v", i, err)
		}
	}
	wantEmpty(t, dir)
}

// An index keeps the images it lists, and a subject keeps its referrers.
func TestCollectTrees(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *image.Config) { c.Platform = "linux/amd64" })
	amd, arm := Image(t, Options{Platform: "linux/amd64"}), Image(t, Options{Platform: "linux/arm64"})
	if _, err := s.ImportFile(t.Context(), saveIndex(t, Index(t, amd, arm), "multi:1"), ""); err != nil {
		t.Fatal(err)
	}
	x := blob(t, s, "x", "multi")
	sig := artifact(x, 1, fmt.Sprintf(`,"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}`, Digest(t, amd)))
	if _, err := s.PutManifest(t.Context(), "multi", Digest(t, digester(sig)), "", sig); err != nil {
		t.Fatal(err)
	}
	if freed := collect(t, s, 0); freed != (image.Freed{}) {
		t.Errorf("freed %+v of a tagged index", freed)
	}
	if err := s.DeleteTag("multi", "1"); err != nil {
		t.Fatal(err)
	}
	freed := collect(t, s, 0, Digest(t, amd))
	if freed.Manifests != 2 { // the index and the image for the other platform
		t.Errorf("freed %+v", freed)
	}
	if !has(t, s, Digest(t, amd)) {
		t.Error("the kept image is gone")
	}
	if ds, err := s.Referrers("multi", Digest(t, amd)); err != nil || len(ds) != 1 {
		t.Errorf("referrers of the kept image: %v, %v", ds, err)
	}
	collect(t, s, 0)
	if repos, err := s.Repositories(); err != nil || len(repos) > 0 {
		t.Errorf("repositories %v, %v", repos, err)
	}
}

// The index that an image was pulled by stays with it, so that the next pull
// needs only a digest.
func TestCollectKeepsIndex(t *testing.T) {
	t.Parallel()
	s, up := open(t), newUpstream(t)
	ref := up.pushIndex(t, Index(t, small(t, "a")), "hello:1")
	img := mustPull(t, s, ref)
	collect(t, s, 0, img.Digest)
	up.forget()
	mustPull(t, s, ref)
	if n := up.count("GET", "/v2/hello/"); n != 0 {
		t.Errorf("%d GET requests", n)
	}
}

// Collections during pulls remove nothing that the pulls need.
func TestCollectWhilePulling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, up := openIn(t, dir), newUpstream(t)
	var refs []string
	for i := range 4 {
		img := Image(t, Options{}, Layer(t, Text("shared", "x")), Layer(t, Text("own", strings.Repeat(fmt.Sprint(i), 1000))))
		refs = append(refs, up.push(t, img, fmt.Sprintf("hello:%d", i)))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			for _, ref := range refs {
				if _, err := s.Pull(t.Context(), ref, nil); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			collect(t, s, 0)
		}
	}
	wantEmpty(t, dir)
	collect(t, s, 0)
	if left := names(t, filepath.Join(dir, "blobs/sha256")); len(left) > 0 {
		t.Errorf("%d blobs left", len(left))
	}
}

func TestCollectRefusesBadDigests(t *testing.T) {
	t.Parallel()
	s := open(t)
	put(t, s, "a:1", small(t, "a"))
	if _, err := s.Collect(t.Context(), []string{"junk"}, 0); err == nil {
		t.Error("collected although it does not know what to keep")
	}
}
