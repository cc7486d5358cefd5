package image_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room/roomtest"

	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// noise returns n bytes that no compression halves.
func noise(n int) string {
	b := make([]byte, n/2)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// wantNothing fails unless the store is empty.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	wantEmpty(t, dir)
	for _, d := range []string{"blobs/sha256", "layers", "images", "repositories"} {
		if left := names(t, filepath.Join(dir, d)); len(left) > 0 {
			t.Errorf("%s holds %v", d, left)
		}
	}
}

// A pull that can't fit is refused before any of it is fetched.
func TestPullWithoutRoom(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=8m")
	s, up := openIn(t, dir), newUpstream(t)
	ref := up.push(t, small(t, "a"), "hello:1")
	// Only the reserve is left, a twentieth of the disk: the image would fit.
	if err := os.WriteFile(filepath.Join(dir, "other"), []byte(noise(8<<20-300<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pull(t.Context(), ref, nil)
	wantUser(t, err, slipway.QuotaExceeded, "disk is full", ref)
	if n := up.count("GET", "/blobs/"); n != 0 {
		t.Errorf("%d blobs were fetched", n)
	}
	wantNothing(t, dir)
}

// A disk that fills up during a pull leaves nothing behind, and the error says
// so.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=2m")
	s := openIn(t, dir)
	img := Image(t, Options{}, static.NewLayer(Tar(t, Text("a", noise(5<<20))), types.OCIUncompressedLayer))
	wantFull := func(what string, err error) {
		t.Helper()
		if slipway.CodeOf(err) != slipway.QuotaExceeded || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := s.Put(t.Context(), "a:1", img)
	wantFull("put", err)
	_, err = s.ImportFile(t.Context(), SaveTar(t, img, "a:1"), "")
	wantFull("import a saved image", err)
	_, err = s.ImportFile(t.Context(), SaveLayout(t, img, "a:1"), "")
	wantFull("import a layout", err)

	u, err := s.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	n, err := u.Append(t.Context(), strings.NewReader(noise(5<<20)))
	wantFull("upload", err)
	if n != u.Size() || n == 0 {
		t.Errorf("%d bytes appended, the upload has %d", n, u.Size())
	}
	u.Cancel()
	collect(t, s, 0)
	wantNothing(t, dir)
}

// The blob fits, but not what it unpacks to.
func TestLayersDiskFull(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=2m")
	s := openIn(t, dir)
	img := put(t, s, "a:1", Image(t, Options{}, Layer(t, Text("words", strings.Repeat("text", 2<<20)))))
	_, err := s.Layers(t.Context(), img.Digest)
	wantUser(t, err, slipway.QuotaExceeded, "disk is full")
	wantEmpty(t, dir)
	if left := names(t, filepath.Join(dir, "layers")); len(left) > 0 {
		t.Errorf("layers left: %v", left)
	}
	// With room it works.
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(layers(t, s, img.Digest)[0] + "/words"); err != nil || fi.Size() != 8<<20 {
		t.Errorf("%v, %v", fi, err)
	}
}
