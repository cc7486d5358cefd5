package slipway

import "strings"

// SettingPrefix begins the keys of tags that are settings: what App Runner's API has
// no member for, and every client can set nevertheless, as it can set tags.
const SettingPrefix = "slipway:"

// Settings are the parsed settings of one resource. There are none yet: a setting is
// a field here, zero if its tag is missing, and an entry of settings.
type Settings struct{}

// Effect says when a change of a setting takes effect.
type Effect string

const (
	EffectAtOnce     Effect = "at once"                  // its reader looks at the tag each time
	EffectDeployment Effect = "with the next deployment" // it is part of the release
)

// setting is one entry of the table of settings.
type setting struct {
	name     string // after SettingPrefix
	resource string // type of the resource, as in its ARN
	allowed  string // the allowed values, for people: "a number from 0 to 25"
	effect   Effect

	// parse stores the value. It returns false if the value is not allowed.
	parse func(s *Settings, value string) bool
}

// settings returns the table of settings.
func settings() []setting { return nil }

// ParseSettings returns the settings among the tags of a resource of the type. Tags
// without SettingPrefix are ignored. A setting that is unknown for the type, or a
// value that is not allowed, is an *Error: a misspelt setting must not pass for a tag.
func ParseSettings(resource string, tags []Tag) (Settings, error) {
	return parseSettings(settings(), resource, tags)
}

func parseSettings(table []setting, resource string, tags []Tag) (s Settings, err error) {
	for _, t := range tags {
		name, ok := strings.CutPrefix(t.Key, SettingPrefix)
		if !ok {
			continue
		}
		if err := parseSetting(table, &s, resource, name, t); err != nil {
			return s, err
		}
	}
	return s, nil
}

func parseSetting(table []setting, s *Settings, resource, name string, t Tag) error {
	for _, row := range table {
		switch {
		case row.name != name || row.resource != resource:
		case row.parse(s, t.Value):
			return nil
		default:
			return Errorf(InvalidRequest, "Tags: the value of %q is %.100q; it must be %s. The setting takes effect %s.", t.Key, t.Value, row.allowed, row.effect)
		}
	}
	return Errorf(InvalidRequest,
		"Tags: %q is no setting that this server knows for the resource type %s; the prefix %s is reserved for settings.", t.Key, resource, SettingPrefix)
}
