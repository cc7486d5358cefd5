package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
)

// Freed tells what a collection removed.
type Freed struct {
	Images    int // records removed
	Manifests int // untagged manifests of repositories
	Blobs     int
	Layers    int   // unpacked layers
	Bytes     int64 // of the blobs and the files in the layers
}

// Collect removes unreferenced content: blobs that are reachable neither from a
// tag of the local registry nor from an image in keep, and unpacked layers of
// no such image. keep holds manifest digests.
//
// Content that was made, pushed or requested less than minAge ago stays, since
// its user may not reference it yet. So minAge should be longer than the
// slowest push, and longer than a deployment takes from Pull to the row that
// puts its digest into keep. Content that pulls and pushes of this process are
// working on stays at any age.
func (s *Store) Collect(ctx context.Context, keep []string, minAge time.Duration) (Freed, error) {
	s.collect.Lock()
	defer s.collect.Unlock()
	defer s.leases.begin()()
	c := &collection{s: s, before: time.Now().Add(-minAge)}
	if err := s.syncLayers(); err != nil {
		return c.freed, err
	}
	roots, err := s.roots(keep, minAge)
	if err != nil {
		return c.freed, fmt.Errorf("collect images: %w", err)
	}
	if c.reach, err = s.mark(ctx, roots); err != nil {
		return c.freed, fmt.Errorf("collect images: %w", err)
	}
	for _, sweep := range []func(context.Context) error{c.manifests, c.members, c.images, c.blobs, c.layers, c.origins} {
		if err := sweep(ctx); err != nil {
			return c.freed, fmt.Errorf("collect images: %w", err)
		}
	}
	return c.freed, nil
}

// reach is what is reachable from the roots.
type reach struct {
	blobs  map[v1.Hash]bool
	layers map[v1.Hash]bool // by names of their directories
}

// roots returns the manifests that collection starts from: those in keep,
// tagged, or younger than minAge.
func (s *Store) roots(keep []string, minAge time.Duration) ([]v1.Hash, error) {
	var roots []v1.Hash
	for _, d := range keep {
		h, err := parseDigest(d)
		if err != nil {
			return nil, err
		}
		roots = append(roots, h)
	}
	before := time.Now().Add(-minAge)
	repos, err := s.Repositories()
	if err != nil {
		return nil, err
	}
	for _, repo := range repos {
		if err := s.tagRoots(repo, &roots); err != nil {
			return nil, err
		}
		if err := youngRoots(s.repositoryPath(repo, manifestDir), before, &roots); err != nil {
			return nil, err
		}
	}
	return roots, youngRoots(s.path("images"), before, &roots)
}

func (s *Store) tagRoots(repo string, roots *[]v1.Hash) error {
	tags, err := s.Tags(repo)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	for _, tag := range tags {
		d, err := s.lookUp(repo, tag)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		*roots = append(*roots, d.Digest)
	}
	return nil
}

// youngRoots adds the digests that name files in dir modified after before.
func youngRoots(dir string, before time.Time, roots *[]v1.Hash) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if fi.ModTime().After(before) {
			*roots = append(*roots, v1.Hash{Algorithm: "sha256", Hex: e.Name()})
		}
	}
	return nil
}

// mark follows the roots to their blobs and layers, and from each manifest to
// the manifests whose subject it is.
func (s *Store) mark(ctx context.Context, roots []v1.Hash) (*reach, error) {
	r := &reach{blobs: map[v1.Hash]bool{}, layers: map[v1.Hash]bool{}}
	about, err := s.referrers()
	if err != nil {
		return nil, err
	}
	seen := map[v1.Hash]bool{}
	for todo := roots; len(todo) > 0; {
		h := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		more, err := s.markManifest(r, h)
		if err != nil {
			return nil, err
		}
		todo = append(append(todo, more...), about[h]...)
	}
	return r, nil
}

// markManifest marks what one manifest references and returns the manifests it
// leads to.
func (s *Store) markManifest(r *reach, h v1.Hash) ([]v1.Hash, error) {
	r.blobs[h] = true
	m, err := s.readManifest(h)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // of another platform, or kept by a row that outlived it
	}
	if errors.Is(err, ErrDigest) || slipway.CodeOf(err) != "" {
		s.log.Error("a manifest is unreadable", "digest", h.String(), "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err // rather keep everything than lose what it leads to
	}
	var more []v1.Hash
	for _, d := range m.Manifests {
		more = append(more, d.Digest)
	}
	for _, d := range m.Layers {
		r.blobs[d.Digest] = true
	}
	if m.Config != nil {
		r.blobs[m.Config.Digest] = true
	}
	if list, ok := sbomOf(m); ok {
		r.blobs[list] = true
	}
	if !m.isContainer() {
		return more, nil
	}
	rec, err := s.readRecord(h)
	if err != nil {
		return nil, err
	}
	if rec.Index != "" {
		// The index itself, not the images of other platforms it lists.
		if index, err := parseDigest(rec.Index); err == nil {
			r.blobs[index] = true
		}
	}
	return more, s.markLayers(r, m)
}

func (s *Store) markLayers(r *reach, m *manifest) error {
	cf, err := s.readConfig(m.Config.Digest.String(), m)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDigest) || slipway.CodeOf(err) != "" {
		return nil // can't run, so it has no unpacked layers
	}
	if err != nil {
		return err
	}
	for i, d := range cf.RootFS.DiffIDs {
		r.layers[d] = true
		r.layers[stackIDOf(cf.RootFS.DiffIDs[:i+1])] = true
	}
	return nil
}

// referrers returns, for each subject, the manifests about it, over all
// repositories.
func (s *Store) referrers() (map[v1.Hash][]v1.Hash, error) {
	about := map[v1.Hash][]v1.Hash{}
	repos, err := s.Repositories()
	if err != nil {
		return nil, err
	}
	for _, repo := range repos {
		subjects, err := readDir(s.repositoryPath(repo, referrersDir))
		if err != nil {
			return nil, err
		}
		for _, subject := range subjects {
			names, err := readDir(s.repositoryPath(repo, referrersDir, subject))
			if err != nil {
				return nil, err
			}
			h := v1.Hash{Algorithm: "sha256", Hex: subject}
			for _, n := range names {
				about[h] = append(about[h], v1.Hash{Algorithm: "sha256", Hex: n})
			}
		}
	}
	return about, nil
}
