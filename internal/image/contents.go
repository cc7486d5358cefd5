package image

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
)

// ErrImmutable is wrapped by refusals to move an immutable tag.
var ErrImmutable = errors.New("the tag is immutable")

// entry is what a repository records about a manifest.
type entry struct {
	v1.Descriptor
	PushedAt time.Time `json:"pushedAt,omitzero"`
}

// Content is a manifest of a repository.
type Content struct {
	Digest       string
	MediaType    string
	ArtifactType string    // of the configuration, if any
	Tags         []string  // in order
	Size         int64     // bytes of configuration and layers as pushed; of an index, of its largest manifest
	PushedAt     time.Time // when it was first pushed to the repository
	Children     []string  // digests of an index's manifests
}

// IsDigest reports whether text is a digest in the store's form.
func IsDigest(text string) bool {
	_, err := parseDigest(text)
	return err == nil
}

// DigestOf returns the digest of a manifest.
func DigestOf(manifest []byte) string { return hashOf(manifest).String() }

// Contents returns the manifests of a repository by digest, tagged or not.
// ErrNotFound if there is no such repository.
func (s *Store) Contents(repo string) ([]Content, error) {
	tags, err := s.Tags(repo)
	if err != nil {
		return nil, err
	}
	byDigest := map[string][]string{}
	for _, tag := range tags {
		h, err := s.tagTarget(repo, tag)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			s.name("tag "+repo+":"+tag, err)
			continue
		}
		byDigest[h.String()] = append(byDigest[h.String()], tag)
	}
	names, err := readDir(s.repositoryPath(repo, manifestDir))
	if err != nil {
		return nil, err
	}
	var list []Content
	for _, hex := range names {
		c, err := s.content(repo, "sha256:"+hex)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil { // what is known of it, so that it can be deleted
			s.name("manifest "+repo+"@sha256:"+hex, err)
			c.Digest = "sha256:" + hex
		}
		if _, perr := parseDigest(c.Digest); perr != nil {
			continue // a file of somebody else
		}
		c.Tags = byDigest[c.Digest]
		list = append(list, c)
	}
	return list, nil
}

func (s *Store) content(repo, digest string) (Content, error) {
	e, err := s.readEntry(repo, digest)
	if err != nil {
		return Content{}, err
	}
	c := Content{Digest: digest, MediaType: string(e.MediaType), PushedAt: e.PushedAt}
	m, err := s.readManifest(e.Digest)
	if err != nil {
		return c, err
	}
	c.ArtifactType = m.ArtifactType
	if m.Config != nil {
		c.ArtifactType = cmp.Or(c.ArtifactType, string(m.Config.MediaType))
	}
	if c.Size, err = s.contentSize(m); err != nil {
		return c, err
	}
	for _, d := range m.Manifests {
		c.Children = append(c.Children, d.Digest.String())
	}
	return c, nil
}

// contentSize returns the total size of a manifest's configuration and layers.
func (s *Store) contentSize(m *manifest) (size int64, err error) {
	if m.Config != nil {
		size = m.Config.Size
	}
	for _, d := range m.Layers {
		size += d.Size
	}
	for _, d := range m.Manifests {
		child, err := s.readManifest(d.Digest)
		if errors.Is(err, ErrNotFound) || slipway.CodeOf(err) != "" || err == nil && child.MediaType.IsIndex() {
			continue // not in the store, or an index of indexes
		}
		if err != nil {
			return 0, err
		}
		n, err := s.contentSize(child)
		if err != nil {
			return 0, err
		}
		size = max(size, n)
	}
	return size, nil
}

// DeleteRepository removes a repository and everything in it. A repository that
// does not exist is no error.
func (s *Store) DeleteRepository(repo string) error {
	list, err := s.Contents(repo)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	for _, c := range list {
		if err := s.DeleteManifest(repo, c.Digest); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	// Who makes a repository of that name again has none of its blobs.
	s.repositories.Lock()
	defer s.repositories.Unlock()
	if err := os.RemoveAll(s.repositoryPath(repo, blobsDir)); err != nil {
		return err
	}
	return s.prune(repo)
}

// mayTag refuses to move an immutable tag. The caller holds s.repositories.
func (s *Store) mayTag(repo, tag string, h v1.Hash) error {
	if s.cfg.Immutable == nil || tag == "" {
		return nil
	}
	b, err := os.ReadFile(s.repositoryPath(repo, tagDir, tag))
	if errors.Is(err, os.ErrNotExist) || err == nil && string(b) == h.String() {
		return nil
	}
	if err != nil {
		return err
	}
	immutable, err := s.cfg.Immutable(repo, tag)
	if err == nil && immutable {
		err = fmt.Errorf("%s:%s: %w", repo, tag, ErrImmutable)
	}
	return err
}

// since returns when a manifest was first pushed to the repository: now, if it
// is being pushed now. The caller holds s.repositories.
func (s *Store) since(repo string, h v1.Hash) time.Time {
	if e, err := s.readEntry(repo, h.String()); err == nil {
		return e.PushedAt
	}
	return time.Now().UTC()
}

// Untag removes tags of a repository, and manifests that are left without a
// tag. Tags that do not exist are no error.
func (s *Store) Untag(repo string, tags ...string) error {
	list, err := s.Contents(repo)
	if err != nil {
		return err
	}
	for _, t := range tags { // one that can't be read is in no list
		if _, err := s.tagTarget(repo, t); err == nil || errors.Is(err, ErrNotFound) {
			continue
		}
		if err := s.DeleteTag(repo, t); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	for _, c := range list {
		gone := slices.DeleteFunc(slices.Clone(c.Tags), func(t string) bool { return !slices.Contains(tags, t) })
		if len(gone) > 0 && len(gone) == len(c.Tags) {
			if err := s.DeleteManifest(repo, c.Digest); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			continue
		}
		for _, t := range gone {
			if err := s.DeleteTag(repo, t); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	return nil
}
