package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/faulttest"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
)

func TestMain(m *testing.M) {
	faulttest.Main(m, map[string]faulttest.Work{"push": pushing, "delete": deleting, "adopt": adopting})
}

const mediaType = "application/vnd.oci.image.manifest.v1+json"

func openBelow(dir string) (*image.Store, error) {
	return image.Open(image.Config{Dir: filepath.Join(dir, "images"), Log: slog.New(slog.DiscardHandler), Keychain: anonymous{}})
}

// parts returns the blobs and the manifest of a small image.
func parts(word string) (blobs [][]byte, manifest []byte) {
	layer := []byte(strings.Repeat(word+" in a layer\n", 500))
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Env":["WORD=%s"]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, word, digestOf(layer))
	manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		mediaType, digestOf(config), len(config), digestOf(layer), len(layer))
	return [][]byte{layer, config}, manifest
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// pushing pushes images as clients do, which leave out what is there.
func pushing(dir string, promise func(string)) error {
	s, err := openBelow(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, word := range []string{"one", "two"} {
		blobs, manifest := parts(word)
		for _, b := range blobs {
			if err := pushBlob(s, "shop/web", b); err != nil {
				return err
			}
			promise("blob shop/web " + digestOf(b))
		}
		if _, err := s.PutManifest(context.Background(), "shop/web", word, mediaType, manifest); err != nil {
			return err
		}
		promise("tag shop/web " + word)
	}
	return nil
}

func pushBlob(s *image.Store, repo string, b []byte) error {
	_, err := s.RepositoryBlobSize(repo, digestOf(b))
	if !errors.Is(err, image.ErrNotFound) {
		return err
	}
	u, err := s.NewUpload()
	if err != nil {
		return err
	}
	if _, err := u.Append(context.Background(), bytes.NewReader(b)); err != nil {
		return err
	}
	return u.CommitTo(repo, digestOf(b))
}

// deleting deletes a tag and a manifest of what was pushed.
func deleting(dir string, promise func(string)) error {
	s, err := openBelow(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	_, manifest := parts("two")
	promise("leaves shop/web one two " + digestOf(manifest)) // from now on they may be gone
	if err := s.DeleteTag("shop/web", "one"); err != nil {
		return err
	}
	promise("gone shop/web one")
	if err := s.DeleteManifest("shop/web", digestOf(manifest)); err != nil {
		return err
	}
	promise("gone shop/web two")
	promise("gone shop/web " + digestOf(manifest))
	return nil
}

// output is what a build makes.
var output = strings.Repeat("program\n", 1000)

// adopting makes an image of a directory, as a build does.
func adopting(dir string, promise func(string)) error {
	s, err := openBelow(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	made := filepath.Join(dir, "output")
	program := filepath.Join(made, "app", "program")
	err = errors.Join(os.RemoveAll(made), os.MkdirAll(filepath.Dir(program), 0o755), os.WriteFile(program, []byte(output), 0o600))
	for _, path := range []string{program, filepath.Dir(program), made} { // the same layer each time
		err = errors.Join(err, os.Chtimes(path, time.Time{}, time.Unix(1_700_000_000, 0)))
	}
	if err != nil {
		return err
	}
	l, err := pack.Digest(context.Background(), made)
	if err != nil {
		return err
	}
	_, err = s.Adopt(context.Background(), image.Adoption{
		Layers:  []image.NewLayer{{Dir: made, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, By: "test"}},
		Created: time.Unix(1_700_000_000, 0).UTC(), Name: "built:1",
	})
	if err == nil {
		promise("tag built 1")
	}
	return err
}

// Whatever reaches the disk before a power loss, the store opens, has each image that was
// acknowledged, serves nothing under another digest, and has no tag that was deleted.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for name, works := range map[string][]string{"push": {"push"}, "delete": {"push", "delete"}, "adopt": {"adopt"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := faulttest.Record(t, t.TempDir())
			for _, work := range works {
				r.Run(t, work)
			}
			tried := 0
			for loss := range r.PowerLosses(faulttest.Seed(t), 4, faulttest.Tries(t, 250)) {
				tried++
				checkLoss(t, loss)
			}
			t.Logf("%d power losses of %d events", tried, r.Len())
		})
	}
}

// What a client was told while it repeated a push or a build that a killed process had
// begun is there after a power loss, too.
func TestPowerLossAfterKill(t *testing.T) {
	t.Parallel()
	for _, work := range []string{"push", "adopt"} {
		t.Run(work, func(t *testing.T) {
			t.Parallel()
			whole := faulttest.Record(t, t.TempDir())
			whole.Run(t, work)
			random := rand.New(rand.NewPCG(faulttest.Seed(t), 0))
			for _, n := range random.Perm(whole.Len())[:min(faulttest.Tries(t, 12), whole.Len())] {
				r := faulttest.Record(t, t.TempDir())
				r.RunKilled(t, work, n+1)
				r.Run(t, work)
				checkLoss(t, r.Last(fmt.Sprintf("killed at call %d", n+1)))
			}
		})
	}
}

func checkLoss(t *testing.T, loss faulttest.Loss) {
	t.Helper()
	loss.In(t, func(dir string) {
		if err := keeps(dir, loss.Promised); err != nil {
			t.Errorf("%v: %v", loss, err)
		}
	})
}

// keeps says what a store lacks of what was promised, and has of what was deleted.
func keeps(dir string, promised []string) error {
	s, err := openBelow(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, p := range promised {
		what := strings.Fields(p)
		repo, reference := what[1], what[2]
		var err error
		switch what[0] {
		case "blob":
			err = whole(s, repo, reference)
		case "tag":
			err = wholeImage(s, repo, reference)
		case "gone":
			if _, found := s.Manifest(repo, reference); !errors.Is(found, image.ErrNotFound) {
				return fmt.Errorf("%s: it is back (%v)", p, found)
			}
		}
		if err != nil && !slices.Contains(leavesOf(promised), reference) {
			return fmt.Errorf("promised %s: %w", p, err)
		}
	}
	return servesNoOther(s)
}

// leavesOf returns what is being deleted: it may be there or not.
func leavesOf(promised []string) []string {
	for _, p := range promised {
		if what := strings.Fields(p); what[0] == "leaves" {
			return what[2:]
		}
	}
	return nil
}

// whole reads a blob of a repository.
func whole(s *image.Store, repo, digest string) error {
	f, err := s.RepositoryBlob(repo, digest)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err == nil && digestOf(b) != digest {
		err = fmt.Errorf("the blob %s has %d bytes of another digest", digest, len(b))
	}
	return err
}

// wholeImage reads all of an image.
func wholeImage(s *image.Store, repo, tag string) error {
	m, err := s.Manifest(repo, tag)
	if err != nil {
		return err
	}
	img, err := s.Get(m.Digest)
	if err != nil {
		return err
	}
	for _, l := range img.Layers {
		if repo == "built" { // its blob is made of the directory, whose times a power loss does not keep here
			return built(s, img)
		}
		if err := whole(s, repo, l.Digest); err != nil {
			return err
		}
	}
	return nil
}

// built reads what adopting has put into its layer.
func built(s *image.Store, img image.Image) error {
	dirs, err := s.Layers(context.Background(), img.Digest)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dirs[0], "app", "program"))
	if err == nil && string(b) != output {
		err = fmt.Errorf("the layer's file has %d bytes", len(b))
	}
	return err
}

// servesNoOther checks the digests of all blobs that repositories have, promised or not.
func servesNoOther(s *image.Store) error {
	repos, err := s.Repositories()
	if err != nil {
		return err
	}
	for _, repo := range repos {
		for _, word := range []string{"one", "two"} {
			blobs, _ := parts(word)
			for _, b := range blobs {
				if err := whole(s, repo, digestOf(b)); err != nil && !errors.Is(err, image.ErrNotFound) {
					return err
				}
			}
		}
	}
	return nil
}
