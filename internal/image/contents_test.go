package image_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

func TestContents(t *testing.T) {
	t.Parallel()
	s := open(t)
	one, two := Image(t, Options{}, Layer(t, Text("/version", "one"))), Image(t, Options{}, Layer(t, Text("/version", "two")))
	put := func(name string, img v1.Image) {
		t.Helper()
		if _, err := s.Put(t.Context(), name, img); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Contents("none"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("contents of nothing: %v", err)
	}
	put("shop:v1", one)
	put("shop:latest", one)
	list, err := s.Contents("shop")
	if err != nil || len(list) != 1 || list[0].Digest != Digest(t, one) || !slices.Equal(list[0].Tags, []string{"latest", "v1"}) {
		t.Fatalf("contents %+v, %v", list, err)
	}
	pushed := list[0].PushedAt

	// A tag that moves leaves its image; an image that is there is no new one.
	put("shop:latest", two)
	put("shop:latest", one)
	if list, err = s.Contents("shop"); err != nil || len(list) != 2 {
		t.Fatalf("contents %+v, %v", list, err)
	}
	for _, c := range list {
		if c.Digest == Digest(t, one) && !c.PushedAt.Equal(pushed) {
			t.Errorf("pushed at %v, and at %v when it was there", pushed, c.PushedAt)
		}
		if c.Digest == Digest(t, two) && len(c.Tags) != 0 {
			t.Errorf("the image that lost its tag has %v", c.Tags)
		}
	}

	if err := s.Untag("shop", "latest", "none"); err != nil {
		t.Fatal(err)
	}
	if tags, err := s.Tags("shop"); err != nil || !slices.Equal(tags, []string{"v1"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	for range 2 { // the second run finds nothing to remove
		if err := s.DeleteRepository("shop"); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := s.Repositories(); err != nil || len(names) != 0 {
		t.Errorf("repositories %v, %v", names, err)
	}
}

// An entry written before PushedAt was recorded has its file's modification
// time.
func TestContentsOfOldEntry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	img := Image(t, Options{}, Layer(t, Text("/a", "b")))
	if _, err := s.Put(t.Context(), "shop:v1", img); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "repositories", "shop", "_manifests", strings.TrimPrefix(Digest(t, img), "sha256:"))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d v1.Descriptor
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Second)
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	list, err := s.Contents("shop")
	if err != nil || !list[0].PushedAt.Equal(old) {
		t.Errorf("contents %+v, %v; want pushed at %v", list, err, old)
	}
}

func TestImmutableTagUnderConcurrentPushes(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *image.Config) { c.Immutable = func(string, string) (bool, error) { return true, nil } })
	const pushes = 8
	errs := make(chan error, pushes)
	for i := range pushes {
		img := Image(t, Options{}, Layer(t, Text("/n", string(rune('a'+i)))))
		go func() {
			_, err := s.Put(t.Context(), "shop:v1", img)
			errs <- err
		}()
	}
	won := 0
	for range pushes {
		if err := <-errs; err == nil {
			won++
		} else if !errors.Is(err, image.ErrImmutable) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d pushes gave an immutable tag an image, want 1", won)
	}
}
