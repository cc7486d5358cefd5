package slipway

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in docs/settings.md")

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

// docs/settings.md has a table of the settings, which -update rewrites.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	const page, begin, end = "docs/settings.md", "<!-- settings: written by make docs -->\n", "<!-- end of settings -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no block between\n%sand\n%s", page, begin, end)
	}
	want := settingsTable(settings())
	switch {
	case have == want:
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o666); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s differs from the table in setting.go; run `make docs` to rewrite it:\n%s", page, want)
	}
}

func TestSettingsTable(t *testing.T) {
	t.Parallel()
	const want = "| tag | of | allowed values | takes effect |\n|---|---|---|---|\n" +
		"| `slipway:sample` | service | a number | with the next deployment |\n"
	if got := settingsTable([]setting{{"sample", "service", "a number", EffectDeployment, nil}}); got != want {
		t.Errorf("the table is\n%swant\n%s", got, want)
	}
}

// settingsTable returns the settings as a Markdown table.
func settingsTable(table []setting) string {
	if len(table) == 0 {
		return "There are no settings yet.\n"
	}
	var b strings.Builder
	b.WriteString("| tag | of | allowed values | takes effect |\n|---|---|---|---|\n")
	for _, s := range table {
		fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", SettingPrefix, s.name, s.resource, s.allowed, s.effect)
	}
	return b.String()
}
