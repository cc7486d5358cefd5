package runtimes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/config"
)

// TestTable checks the embedded table: every runtime of App Runner is in it, with a way
// to have it or the reason why there is none.
func TestTable(t *testing.T) {
	t.Parallel()
	tab, err := parseTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.check(); err != nil {
		t.Error(err)
	}
	for _, known := range config.Runtimes() {
		e, ok := tab.entry(known.Name)
		if !ok && known.AppRunner() {
			t.Errorf("%s is not in the table", known.Name)
		}
		if ok && e.Absent == "" && e.Version == "" {
			t.Errorf("%s cannot tell its version", known.Name)
		}
		if e.Exact && (e.Default == "" || !lockForm.MatchString(e.Default)) {
			t.Errorf("%s has no default version", known.Name)
		}
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	tab, err := parseTable([]byte("runtimes:\n  - {name: python311, image: mirror.example/python:3.11, version: python3 --version}\n" +
		"  - {name: ruby34, image: mirror.example/ruby:3.4, caches: [gems]}\ncaches:\n  gems: {path: /gems}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := tab.entry("python311"); e.Image != "mirror.example/python:3.11" || e.Recipe != nil {
		t.Errorf("%+v", e)
	}
	if e, ok := tab.entry("ruby34"); !ok || tab.Caches["gems"].Path != "/gems" || tab.Caches["gems"].Name != "gems" {
		t.Errorf("%+v, caches %+v", e, tab.Caches)
	}
	if _, ok := tab.entry("nodejs22"); !ok {
		t.Error("other entries are gone")
	}
	for text, want := range map[string]string{
		"runtimes:\n  - {name: cobol, image: x}":                        "is no runtime",
		"runtimes:\n  - {name: docker, image: x}":                       "is no runtime",
		"runtimes:\n  - {name: go1}":                                    "neither image nor recipe",
		"runtimes:\n  - {name: go1, image: x, caches: [y]}":             `the cache "y"`,
		"runtimes:\n  - {name: go1, recipe: {base: y, packages: [go]}}": `the base "y"`,
		"runtimes:\n  - {name: go1, imgae: x}":                          "imgae",
		"runtimes: 1":                                                   "runtimes",
	} {
		if _, err := parseTable([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, lock string
		want          bool
	}{{"3.11.2", "3.11", true}, {"3.11.2", "3.11.2", true}, {"3.11.2", "3.1", false}, {"3.11.2", "3", true}, {"22.1.0", "2", false}} {
		if got := within(c.version, c.lock); got != c.want {
			t.Errorf("within(%s, %s) = %v", c.version, c.lock, got)
		}
	}
}

// TestSources reads configurations of apt in both forms.
func TestSources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"deb822": {
			map[string]string{"sources.list.d/debian.sources": "# comment\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/x.gpg\n\n" +
				"Types: deb\nURIs: http://vendor.example\nSuites: bookworm-vendor\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n"},
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/x.gpg\n",
		},
		"one line": {
			map[string]string{
				"sources.list":              "deb http://mirror.example/debian bookworm main contrib\n# deb http://no.example bookworm main\ndeb-src http://no.example bookworm main\n",
				"sources.list.d/extra.list": "deb [arch=amd64 signed-by=/k.gpg] http://sec.example bookworm-security main\ndeb http://vendor.example stable main\n",
				"sources.list.d/x.list.bak": "deb http://old.example bookworm main\n",
			},
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main contrib\n\nTypes: deb\nURIs: http://sec.example\nSuites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n",
		},
		"none": {map[string]string{"sources.list": "deb http://mirror.example/ubuntu noble main\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range c.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := debianSources(dir, "bookworm")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.want == "" && slipway.CodeOf(err) != slipway.InvalidRequest {
				t.Error(err)
			}
		})
	}
}
