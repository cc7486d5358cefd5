package slipway

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
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
		"with a name":    {resource: "service", tags: []Tag{{"slipway:many.A.b", "7"}}, want: 10},
		"no name":        {resource: "service", tags: []Tag{{"slipway:many.", "7"}}, refused: `the key "slipway:many." must end with the name of a variable: slipway:many.NAME.`},
		"wrong name":     {resource: "service", tags: []Tag{{"slipway:many.A=B", "7"}}, refused: `the key "slipway:many.A=B" must end with the name of a variable`},
		"blank in name":  {resource: "service", tags: []Tag{{"slipway:many.A B", "7"}}, refused: "must end with the name of a variable"},
		"without point":  {resource: "service", tags: []Tag{{"slipway:many", "7"}}, refused: `"slipway:many" is no setting`},
		"private value":  {resource: "service", tags: []Tag{{"slipway:many.A", "hunter2"}}, refused: `the value of "slipway:many.A" is not allowed; it must be a number.`},
		"letter case":    {resource: "service", tags: []Tag{{"slipway:Sample", "7"}}, refused: `"slipway:Sample" is no setting`},
	} {
		got := 0
		number := func(_ *Settings, name, v string) bool {
			n, err := strconv.Atoi(v)
			got = n + len(name)
			return err == nil
		}
		table := []setting{
			{name: "sample", resource: "service", allowed: "a number", effect: EffectDeployment, parse: number},
			{name: "many.NAME", resource: "service", allowed: "a number", effect: EffectDeployment, parse: number, private: true},
		}
		_, err := parseSettings(table, c.resource, c.tags)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused != "" && (CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		case c.refused == "" && got != c.want:
			t.Errorf("%s: set to %d, want %d", name, got, c.want)
		}
	}
}

// The settings of builds reach a build's request, and each change of them changes the
// fingerprint by which a deployment knows that it must build.
func TestBuildSettings(t *testing.T) {
	t.Parallel()
	seen := map[string]string{"": "no settings"}
	for name, c := range map[string]struct {
		tags []Tag
		want BuildSettings
	}{
		"keep":        {[]Tag{{"slipway:build-mode", "keep"}}, BuildSettings{Mode: BuildModeKeep}},
		"detect":      {[]Tag{{"slipway:detect", "true"}}, BuildSettings{Detect: true}},
		"a variable":  {[]Tag{{"slipway:build-env.CI", "1"}}, BuildSettings{Env: map[string]string{"CI": "1"}}},
		"empty value": {[]Tag{{"slipway:build-env.CI", ""}}, BuildSettings{Env: map[string]string{"CI": ""}}},
		"a secret":    {[]Tag{{"slipway:build-secret.CI", "1"}}, BuildSettings{Secrets: map[string]string{"CI": "1"}}},
		"a Dockerfile": {
			[]Tag{{"slipway:dockerfile", "deploy/Dockerfile"}, {"slipway:docker-target", "web"}, {"slipway:build-arg.VERSION", "1 2"}},
			BuildSettings{Dockerfile: "deploy/Dockerfile", Target: "web", Args: map[string]string{"VERSION": "1 2"}},
		},
		"all": {
			[]Tag{{"slipway:build-mode", "keep"}, {"slipway:build-env.A.b", "x"}, {"slipway:build-env.CI", "1"}, {"slipway:build-secret.TOKEN", "/shop/token"}, {"team", "a"}},
			BuildSettings{Mode: BuildModeKeep, Env: map[string]string{"A.b": "x", "CI": "1"}, Secrets: map[string]string{"TOKEN": "/shop/token"}},
		},
	} {
		got, err := ParseSettings("service", c.tags)
		if err != nil || !reflect.DeepEqual(got.Build, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got.Build, err, c.want)
		}
		f := got.Build.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[f] = name
	}
	if s, err := ParseSettings("service", []Tag{{"slipway:build-mode", "app-runner"}}); err != nil || s.Build.Fingerprint() != "" {
		t.Errorf("App Runner's mode, which is the default: %+v, %v", s, err)
	}
	for _, bad := range []Tag{
		{"slipway:build-mode", "Keep"},
		{"slipway:build-env.", "1"},
		{"slipway:build-secret.TOKEN", "hunter2 is secret"},
		{"slipway:dockerfile", "/etc/Dockerfile"},
		{"slipway:dockerfile", "../Dockerfile"},
		{"slipway:dockerfile", ""},
		{"slipway:docker-target", ""},
	} {
		if _, err := ParseSettings("service", []Tag{bad}); CodeOf(err) != InvalidRequest || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// The table says everything about each setting, once.
func TestSettings(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range settings() {
		key := s.resource + " " + s.name
		name := strings.TrimSuffix(s.name, nameSuffix)
		if name == "" || s.resource == "" || s.allowed == "" || s.parse == nil || name != strings.ToLower(name) ||
			(s.effect != EffectAtOnce && s.effect != EffectDeployment && s.effect != EffectPause) || seen[key] {
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
	if got := settingsTable([]setting{{name: "sample", resource: "service", allowed: "a number", effect: EffectDeployment}}); got != want {
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

// A pause keeps instances for at most a day.
func TestPauseKeeps(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"0": 0, "1": time.Second, "86400": MaxPauseKeeps} {
		s, err := ParseSettings("service", []Tag{{"slipway:pause-keeps", value}})
		if err != nil || s.PauseKeeps != want {
			t.Errorf("%q: %v, %v", value, s.PauseKeeps, err)
		}
	}
	for _, value := range []string{"", "-1", "86401", "1h", "01", "00", " 1"} {
		_, err := ParseSettings("service", []Tag{{"slipway:pause-keeps", value}})
		if CodeOf(err) != InvalidRequest || !strings.Contains(err.Error(), "it must be the seconds for which a paused service keeps its instances, frozen, from 0 to 86400; ") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// What a pause keeps ends at its time, and when the clock says a time before the pause that
// cannot be.
func TestKeeps(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := Release{Desired: DesiredKeep, KeepUntil: at.Add(time.Hour)}
	for _, c := range []struct {
		now  time.Time
		want bool
	}{
		{at, true},
		{at.Add(time.Hour - 1), true},
		{at.Add(time.Hour), false},
		{at.Add(48 * time.Hour), false},
		{at.Add(-23 * time.Hour), true},
		{at.Add(-23*time.Hour - 1), false},
		{at.AddDate(-20, 0, 0), false},
	} {
		if got := r.Keeps(c.now); got != c.want {
			t.Errorf("at %v: %v", c.now, got)
		}
	}
	for _, r := range []Release{{Desired: DesiredRun, KeepUntil: at.Add(time.Hour)}, {Desired: DesiredKeep}} {
		if r.Keeps(at) {
			t.Errorf("%+v keeps", r)
		}
	}
}
