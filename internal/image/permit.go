package image

import "context"

type permitKey struct{}

// WithPermit returns a context with which a pull reads an image of this server's own
// registry only if permit returns nil for its repository. Its error is the pull's. It is
// asked whether or not the repository has the image, so that a refusal tells nothing.
// Images of other registries are not asked about. permit may be called concurrently; nil
// ends an earlier one, for what the server itself pulls.
func WithPermit(ctx context.Context, permit func(repository string) error) context.Context {
	return context.WithValue(ctx, permitKey{}, permit)
}

// Permitted asks the context's permit about a repository.
func Permitted(ctx context.Context, repository string) error {
	permit, _ := ctx.Value(permitKey{}).(func(string) error)
	if permit == nil {
		return nil
	}
	return permit(repository)
}

// Meaning is what a name means that a service's image has: see Means.
type Meaning struct {
	Repository string // of this server's registry; "" for an image of another registry
	Hub        bool   // it means Docker Hub's image unless the repository exists
	Short      bool   // the name has no registry's host
}

// Means returns what a name means now, without looking for the image. A name that means
// nothing, since it has no registry's host and nothing here bears it, means the repository
// that it would be. It fails if the text is no name.
func (s *Store) Means(ref string) (Meaning, error) {
	r, err := parseReference(ref)
	if err != nil {
		return Meaning{}, err
	}
	short := r.host == ""
	t, err := s.resolve(ref, true)
	if err != nil {
		return Meaning{}, err
	}
	if len(t.local) > 0 {
		return Meaning{Repository: t.local[0], Short: short}, nil
	}
	if _, _, aliased := r.aliased(r.repo, s.cfg.Aliases); !short || aliased {
		return Meaning{Short: short}, nil
	}
	return Meaning{Repository: r.localNames()[0], Hub: s.cfg.DockerHub, Short: true}, nil
}
