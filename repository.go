package slipway

import (
	"strings"
	"time"
)

// Repository holds the settings of a repository of the server's registry. The image
// store has its images.
type Repository struct {
	Name      string
	CreatedAt time.Time

	Mutability string   // one of the values below; see Immutable
	Exclusions []string // patterns of tags, where * is any text, to which the opposite applies

	ScanOnPush bool
	Encryption string // ECR's type
	KMSKey     string

	Policy      string // JSON; "" for none
	Lifecycle   string // JSON; "" for none
	LifecycleAt time.Time
}

// ECR's values for whether a tag may be moved to another image.
const (
	TagsMutable                = "MUTABLE"
	TagsImmutable              = "IMMUTABLE"
	TagsMutableWithExclusion   = "MUTABLE_WITH_EXCLUSION"
	TagsImmutableWithExclusion = "IMMUTABLE_WITH_EXCLUSION"
)

// Immutable reports whether the tag must keep the image that it has.
func (r Repository) Immutable(tag string) bool {
	immutable := strings.HasPrefix(r.Mutability, TagsImmutable)
	for _, pattern := range r.Exclusions {
		if WildcardMatch(pattern, tag) {
			return !immutable
		}
	}
	return immutable
}

// WildcardMatch reports whether s is what pattern says, where each * stands for
// any text.
func WildcardMatch(pattern, s string) bool {
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
