package ecr

import (
	"context"
	"errors"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// The values of imageTagMutability: whether a tag may be moved to another image.
const (
	tagsMutable                = "MUTABLE"
	tagsImmutable              = "IMMUTABLE"
	tagsMutableWithExclusion   = "MUTABLE_WITH_EXCLUSION"
	tagsImmutableWithExclusion = "IMMUTABLE_WITH_EXCLUSION"
)

// Immutable reports whether a tag of a repository must keep the image that it has. The
// image store calls it.
func Immutable(s *store.Store, name, tag string) (immutable bool, err error) {
	err = s.View(context.Background(), func(tx *store.Tx) error {
		r, err := tx.Repository(name)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		immutable = isImmutable(r, tag)
		return err
	})
	return immutable, err
}

// isImmutable reports whether the tag must keep the image that it has.
func isImmutable(r slipway.Repository, tag string) bool {
	immutable := strings.HasPrefix(r.Mutability, tagsImmutable)
	for _, pattern := range r.Exclusions {
		if wildcardMatch(pattern, tag) {
			return !immutable
		}
	}
	return immutable
}

// wildcardMatch reports whether s matches pattern, where each * is any text.
func wildcardMatch(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, parts[last])
}
