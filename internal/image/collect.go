package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

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
	c := &collection{s: s, before: time.Now().Add(-minAge), reach: &reach{blobs: map[v1.Hash]bool{}, layers: map[v1.Hash]bool{}}}
	c.reach.doubt.members = map[string]bool{}
	if err := s.syncLayers(); err != nil {
		return c.freed, err
	}
	roots, err := s.roots(c.reach, keep, minAge)
	if err != nil {
		return c.freed, fmt.Errorf("collect images: %w", err)
	}
	if err := s.mark(ctx, c.reach, roots); err != nil {
		return c.freed, fmt.Errorf("collect images: %w", err)
	}
	sweeps := []func(context.Context) error{c.manifests, c.members, c.images, c.blobs, c.layers, c.origins}
	switch {
	case c.reach.doubt.blobs:
		sweeps = nil
	case c.reach.doubt.any: // layers are known by what an unreadable manifest leads to
		sweeps = []func(context.Context) error{c.manifests, c.members, c.blobs, c.origins}
	}
	for _, sweep := range sweeps {
		if err := sweep(ctx); err != nil { // a blob must not go before a manifest that has it
			return c.freed, fmt.Errorf("collect images: %w", err)
		}
	}
	return c.freed, nil
}

// reach is what is reachable from the roots.
type reach struct {
	blobs  map[v1.Hash]bool
	layers map[v1.Hash]bool // by names of their directories
	doubt  doubt
}

// roots returns the manifests that collection starts from: those in keep,
// tagged, or younger than minAge.
func (s *Store) roots(r *reach, keep []string, minAge time.Duration) ([]v1.Hash, error) {
	var roots []v1.Hash
	for _, d := range keep {
		h, err := parseDigest(d)
		if err != nil {
			return nil, err
		}
		roots = append(roots, h)
	}
	before := time.Now().Add(-minAge)
	repos, err := s.directories(manifestDir)
	if err != nil {
		return nil, err
	}
	for _, repo := range repos {
		if err := s.tagRoots(r, repo, &roots); err != nil {
			return nil, err
		}
		if err := youngRoots(s.repositoryPath(repo, manifestDir), before, &roots); err != nil {
			return nil, err
		}
	}
	return roots, youngRoots(s.path("images"), before, &roots)
}

// tagRoots adds what the tags of a repository refer to.
func (s *Store) tagRoots(r *reach, repo string, roots *[]v1.Hash) error {
	tags, err := readDir(s.repositoryPath(repo, tagDir))
	if err != nil {
		return err
	}
	for _, tag := range tags {
		h, err := s.tagTarget(repo, tag)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			if err := s.doubtTag(r, repo, tag, err); err != nil {
				return err
			}
			continue
		}
		*roots = append(*roots, h)
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
func (s *Store) mark(ctx context.Context, r *reach, roots []v1.Hash) error {
	about, err := s.referrers()
	if err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	for todo := roots; len(todo) > 0; {
		h := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		more, err := s.markManifest(r, h)
		if err != nil {
			return err
		}
		todo = append(append(todo, more...), about[h]...)
	}
	return nil
}

// markManifest marks what one manifest references and returns the manifests it
// leads to.
func (s *Store) markManifest(r *reach, h v1.Hash) ([]v1.Hash, error) {
	r.blobs[h] = true
	m, err := s.readManifest(h)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // of another platform, or kept by a row that outlived it
	}
	if err != nil { // rather keep everything than lose what it leads to
		return nil, s.doubtManifest(r, h, err)
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
		s.name("record of image "+h.String(), err) // a pull downloads its index again
		r.doubt.any = true
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
	if errors.Is(err, ErrNotFound) || slipway.CodeOf(err) != "" && !errors.Is(err, ErrDigest) {
		return nil // can't run, so it has no unpacked layers
	}
	if err != nil { // one that ran before has some
		s.name("configuration "+m.Config.Digest.String(), err)
		r.doubt.any = true
		return nil
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
	repos, err := s.directories(manifestDir)
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
			if errors.Is(err, unix.ENOTDIR) {
				s.name("referrers of "+repo+": "+subject, err)
				continue
			}
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
