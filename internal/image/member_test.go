package image_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// Who knows the digest of a blob or manifest of another repository can neither read,
// probe, name nor delete it by way of its own.
func TestDigestIsNoPermission(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := blob(t, s, "secret", "hers")
	hers, err := s.PutManifest(t.Context(), "hers", "v1", "", artifact(x, 6, ""))
	if err != nil {
		t.Fatal(err)
	}
	none := Digest(t, digester("nothing has this"))
	mine := blob(t, s, "mine", "mine")
	index := func(d, mediaType string) []byte {
		return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}}]}`,
			types.OCIImageIndex, mediaType, d, len(hers.Body)))
	}
	foreign := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"%%s","size":6},"layers":[]}`, types.OCIManifestSchema1, types.DockerForeignLayer)
	for _, a := range []struct {
		name string
		try  func(digest string) error
	}{
		{"read", func(d string) error { _, err := s.RepositoryBlob("mine", d); return err }},
		{"probe", func(d string) error { _, err := s.RepositoryBlobSize("mine", d); return err }},
		{"delete", func(d string) error { return s.DeleteBlob("mine", d) }},
		{"mount", func(d string) error { return s.Mount("mine", "mine2", d) }},
		{"layer", func(d string) error {
			_, err := s.PutManifest(t.Context(), "mine", "v1", "", artifact(d, 6, ""))
			return err
		}},
		{"foreign config", func(d string) error {
			_, err := s.PutManifest(t.Context(), "mine", "v1", "", []byte(fmt.Sprintf(foreign, d)))
			return err
		}},
		{"manifest", func(d string) error { _, err := s.Manifest("mine", d); return err }},
	} {
		theirs, unknown := a.try(x), a.try(none)
		if !errors.Is(theirs, image.ErrNotFound) || !errors.Is(unknown, image.ErrNotFound) {
			t.Errorf("%s: %v; of what nobody has: %v", a.name, theirs, unknown)
			continue
		}
		if got := strings.ReplaceAll(theirs.Error(), x, none); got != unknown.Error() {
			t.Errorf("%s: %q tells from %q", a.name, got, unknown)
		}
	}
	for _, mediaType := range []types.MediaType{types.OCIManifestSchema1, types.DockerForeignLayer} {
		_, err := s.PutManifest(t.Context(), "mine", "v1", "", index(hers.Digest, string(mediaType)))
		if !errors.Is(err, image.ErrNotFound) {
			t.Errorf("an index of another's image as %s: %v", mediaType, err)
		}
	}
	// A manifest that was uploaded as a blob is no manifest of the repository: its own
	// references were never checked.
	blob(t, s, string(hers.Body), "mine")
	if _, err := s.PutManifest(t.Context(), "mine", "v1", "", index(hers.Digest, string(types.OCIManifestSchema1))); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("an index of a manifest that was uploaded as a blob: %v", err)
	}
	// The control: the same of one's own.
	if _, err := s.RepositoryBlob("mine", mine); err != nil {
		t.Error(err)
	}
	if err := s.Mount("hers", "shared", x); err != nil {
		t.Error(err)
	}
	if _, err := s.PutManifest(t.Context(), "shared", "v1", "", hers.Body); err != nil {
		t.Error(err)
	}
	if _, err := s.PutManifest(t.Context(), "shared", "v2", "", index(hers.Digest, string(types.OCIManifestSchema1))); err != nil {
		t.Error(err)
	}
}

// Deleting by way of one repository takes nothing from another.
func TestDeleteLeavesOthers(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := blob(t, s, "x", "a", "b")
	if err := s.DeleteBlob("b", x); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RepositoryBlob("a", x); err != nil {
		t.Error(err)
	}
	m, err := s.PutManifest(t.Context(), "a", "v1", "", artifact(x, 1, ""))
	if err != nil {
		t.Fatal(err)
	}
	blob(t, s, "x", "b")
	if _, err := s.PutManifest(t.Context(), "b", "v1", "", m.Body); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRepository("b"); err != nil {
		t.Fatal(err)
	}
	collect(t, s, 0)
	if _, err := s.RepositoryBlob("a", x); err != nil {
		t.Error(err)
	}
	if _, err := s.RepositoryBlob("b", x); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("the deleted repository still has the blob: %v", err)
	}
}

// A blob that was collected from a repository and pushed again by somebody else is not
// the repository's.
func TestCollectedBlobIsForgotten(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := blob(t, s, "x", "a")
	if freed := collect(t, s, 0); freed.Blobs != 1 {
		t.Fatalf("freed %+v", freed)
	}
	blob(t, s, "x", "b")
	if _, err := s.RepositoryBlob("a", x); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("the first repository has it again: %v", err)
	}
}

// A store that was written before repositories recorded their blobs gets the records when
// it is opened.
func TestBlobsOfAnOlderStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	img := put(t, s, "team/shop:1", small(t, "shop"))
	layer := img.Layers[0].Digest
	loose := blob(t, s, "loose", "other")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"team/shop", "other"} {
		if err := os.RemoveAll(filepath.Join(dir, "repositories", repo, "_blobs")); err != nil {
			t.Fatal(err)
		}
	}
	s = openIn(t, dir)
	if _, err := s.RepositoryBlob("team/shop", layer); err != nil {
		t.Error(err)
	}
	for repo, digest := range map[string]string{"team": layer, "team/shop": loose} {
		if _, err := s.RepositoryBlob(repo, digest); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("%s has %s: %v", repo, digest, err)
		}
	}
	collect(t, s, time.Hour)
	if _, err := s.RepositoryBlob("team/shop", layer); err != nil {
		t.Error(err)
	}
}
