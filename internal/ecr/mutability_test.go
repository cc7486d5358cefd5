package ecr

import (
	"testing"

	"github.com/openslipway/slipway"
)

func TestWildcardMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"latest", "latest", true},
		{"latest", "latest1", false},
		{"*", "", true},
		{"*", "x", true},
		{"dev-*", "dev-1", true},
		{"dev-*", "dev-", true},
		{"dev-*", "prod-1", false},
		{"*-dev", "a-dev", true},
		{"*-dev", "a-dev1", false},
		{"a*b*c", "abc", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "acb", false},
		{"ab*ba", "aba", false},
		{"*a*a*", "aa", true},
		{"*a*a*", "a", false},
	} {
		if got := wildcardMatch(c.pattern, c.s); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.s, got)
		}
	}
}

func TestIsImmutable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mutability string
		exclusions []string
		tag        string
		want       bool
	}{
		{tagsMutable, nil, "v1", false},
		{tagsImmutable, nil, "v1", true},
		{tagsImmutableWithExclusion, []string{"dev-*", "latest"}, "latest", false},
		{tagsImmutableWithExclusion, []string{"dev-*", "latest"}, "v1", true},
		{tagsMutableWithExclusion, []string{"v*"}, "v1", true},
		{tagsMutableWithExclusion, []string{"v*"}, "latest", false},
	} {
		r := slipway.Repository{Mutability: c.mutability, Exclusions: c.exclusions}
		if got := isImmutable(r, c.tag); got != c.want {
			t.Errorf("%s %v, tag %s: %v", c.mutability, c.exclusions, c.tag, got)
		}
	}
}
