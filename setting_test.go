package slipway

import (
	"strconv"
	"strings"
	"testing"
)

// Settings are found among tags by name and type of resource; what is unknown or
// not allowed is refused with what to do.
func TestParseSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		resource string
		tags     []Tag
		want     int // what the sample setting is set to
		refused  string
	}{
		"no tags":        {resource: "service"},
		"other tags":     {resource: "service", tags: []Tag{{"team", "a"}, {"slipway", "5"}}},
		"a setting":      {resource: "service", tags: []Tag{{"team", "a"}, {"slipway:sample", "7"}}, want: 7},
		"empty value":    {resource: "service", tags: []Tag{{"slipway:sample", ""}}, refused: `the value of "slipway:sample" is ""; it must be a number. The setting takes effect with the next deployment.`},
		"value":          {resource: "service", tags: []Tag{{"slipway:sample", "x"}}, refused: `is "x"; it must be a number`},
		"unknown":        {resource: "service", tags: []Tag{{"slipway:size", "1"}}, refused: `"slipway:size" is no setting that this server knows for the resource type service; the prefix slipway: is reserved for settings.`},
		"other resource": {resource: "connection", tags: []Tag{{"slipway:sample", "7"}}, refused: "for the resource type connection"},
		"letter case":    {resource: "service", tags: []Tag{{"slipway:Sample", "7"}}, refused: `"slipway:Sample" is no setting`},
	} {
		got := 0
		table := []setting{{"sample", "service", "a number", EffectDeployment, func(_ *Settings, v string) bool {
			n, err := strconv.Atoi(v)
			got = n
			return err == nil
		}}}
		_, err := parseSettings(table, c.resource, c.tags)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused != "" && (CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		case c.refused == "" && got != c.want:
			t.Errorf("%s: set to %d, want %d", name, got, c.want)
		}
	}
}

// The table says everything about each setting, once.
func TestSettings(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range settings() {
		key := s.resource + " " + s.name
		if s.name == "" || s.resource == "" || s.allowed == "" || s.parse == nil || s.name != strings.ToLower(s.name) ||
			(s.effect != EffectAtOnce && s.effect != EffectDeployment) || seen[key] {
			t.Errorf("setting %q is incomplete or told twice", key)
		}
		seen[key] = true
	}
}
