package image

import (
	"context"
	"errors"
)

// Elsewhere returns the registry that has the newest image of a tag, false for images
// of this server's registry and for references with a digest, which never change.
func (s *Store) Elsewhere(ref string) (registry string, ok bool) {
	t, err := s.resolve(ref, s.cfg.DockerHub)
	if err != nil || !t.remote || t.digest != "" {
		return "", false
	}
	return t.host, true
}

// Newest asks the registry of a reference what its tag is at. tag is the digest of the
// tag's manifest or index. image is that of the manifest for the store's platform, as
// Pull returns it; the manifest of a tag that the store does not have is fetched for
// it. Nothing is kept. Errors are those of Pull.
func (s *Store) Newest(ctx context.Context, ref string) (tag, image string, err error) {
	t, err := s.resolve(ref, s.cfg.DockerHub)
	if err != nil {
		return "", "", err
	}
	if !t.remote {
		return "", "", s.notFound(t)
	}
	if err := s.refuseBorne(t); err != nil {
		return "", "", err
	}
	src, err := s.source(t)
	if err != nil {
		return "", "", err
	}
	want := t.identifier()
	top, known, err := src.head(ctx)
	if err != nil {
		return "", "", err
	}
	if known {
		if h, err := s.descend(ref, top); err == nil {
			return top.String(), h.String(), nil
		} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDigest) {
			return "", "", err
		}
		want = top.String()
	}
	for range maxNesting {
		raw, m, err := src.manifest(ctx, want)
		if err != nil {
			return "", "", err
		}
		if tag == "" {
			tag = hashOf(raw).String()
		}
		if !m.MediaType.IsIndex() {
			return tag, hashOf(raw).String(), nil
		}
		child, err := pick(ref, m, s.platform)
		if err != nil {
			return "", "", err
		}
		want = child.Digest.String()
	}
	return tag, "", nil
}
