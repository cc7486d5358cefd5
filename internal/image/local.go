package image

import (
	"context"
	"errors"

	"github.com/openslipway/slipway"
)

// Local returns the repository and tag of this server's registry that ref
// means, if it means one.
func (s *Store) Local(ref string) (repository, tag string, ok bool) {
	t, err := s.resolve(ref, s.cfg.DockerHub)
	if err != nil || len(t.local) == 0 || t.digest != "" {
		return "", "", false
	}
	return t.local[0], t.tag, true
}

// Completed is what a name without a registry's host means.
type Completed struct {
	Local bool   // it is in this server's registry
	Name  string // the complete name; for a local one repository:tag or repository@digest
}

// Complete returns what a name without a registry's host means now: an image of this
// server's registry, or Docker Hub's. A name that has a host, or that an alias replaces,
// is complete. It fails if the name means nothing, and if it means a repository of this
// server's registry that lacks the image.
func (s *Store) Complete(ref string) (Completed, error) {
	r, err := parseReference(ref)
	if err != nil {
		return Completed{}, err
	}
	if _, _, ok := r.aliased(r.repo, s.cfg.Aliases); ok || r.host != "" {
		return Completed{Name: ref}, nil
	}
	t, err := s.resolve(ref, s.cfg.DockerHub)
	if err != nil {
		return Completed{}, err
	}
	if err := s.refuseBorne(t); err != nil {
		return Completed{}, err
	}
	if t.remote {
		return Completed{Name: r.named(r.onHub())}, nil
	}
	for _, repo := range t.local {
		_, err := s.lookUp(repo, t.identifier())
		if err == nil {
			return Completed{Local: true, Name: t.named(repo)}, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return Completed{}, err
		}
	}
	return Completed{}, s.notFound(t)
}

// refuseBorne refuses to look for a name without a host at Docker Hub if something on
// this server bears it.
func (s *Store) refuseBorne(t target) error {
	if s.cfg.Borne == nil || !t.hub {
		return nil
	}
	r, err := parseReference(t.text)
	if err != nil {
		return err
	}
	what, err := s.cfg.Borne(r.repo)
	if err != nil || what == "" {
		return err
	}
	return slipway.Errorf(slipway.NotFound, "The image %q was not found: this server's registry has no repository %q. It is not looked up at Docker Hub, since it is also the name of %s. Write %s if Docker Hub's image is meant.",
		r.text, r.repo, what, r.named(r.onHub()))
}

// Bases is the store as Dockerfiles use it: FROM node:20 is Docker Hub's image by
// definition, whatever --docker-hub says of the names of services. A repository of this
// server's registry comes first there, too, and then nothing is asked of Docker Hub.
type Bases struct{ *Store }

// Pull is Store.Pull for a name in a Dockerfile.
func (b Bases) Pull(ctx context.Context, ref string, progress func(Progress)) (Image, error) {
	t, err := b.resolve(ref, true)
	if err != nil {
		return Image{}, err
	}
	return b.pull(ctx, ref, t, progress)
}
