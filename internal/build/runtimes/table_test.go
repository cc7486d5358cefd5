package runtimes

import (
	"os"
	"path/filepath"
	"slices"
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
	tab, err := parseTable("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.check(embeddedName, tab, positions(embedded)); err != nil {
		t.Error(err)
	}
	for _, known := range config.Runtimes() {
		if known.Build == config.DockerfileBuild {
			continue
		}
		e, ok := tab.entry(known.Name)
		if !ok {
			t.Errorf("%s is not in the table", known.Name)
			continue
		}
		if e.Version == "" || e.Image == "" {
			t.Errorf("%s cannot tell its version, or has no image", known.Name)
		}
		if (e.Recipe == nil) == (e.Absent == "") {
			t.Errorf("%s must have either a recipe or a reason why there is none", known.Name)
		}
		if !slices.Contains(known.Lines, e.Default) {
			t.Errorf("%s has the default %q, which is none of the versions %v that package config knows", known.Name, e.Default, known.Lines)
		}
	}
	for _, e := range tab.Runtimes {
		if _, ok := config.RuntimeNamed(e.Name); !ok {
			t.Errorf("%s is not known to package config", e.Name)
		}
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	tab, err := parseTable("own.yaml", []byte("runtimes:\n  - {name: python311, image: mirror.example/python:3.11, version: python3 --version}\n"+
		"  - {name: ruby34, image: 'mirror.example/ruby:{version}', caches: [gems]}\ncaches:\n  gems: {path: /gems}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := tab.entry("python311"); e.Image != "mirror.example/python:3.11" || e.Recipe != nil || e.Default != "3.11" {
		t.Errorf("%+v", e)
	}
	if e, ok := tab.entry("ruby34"); !ok || tab.Caches["gems"].Path != "/gems" || tab.Caches["gems"].Name != "gems" || e.want("").imageOf("3.4.1") != "mirror.example/ruby:3.4.1" {
		t.Errorf("%+v, caches %+v", e, tab.Caches)
	}
	if _, ok := tab.entry("nodejs22"); !ok {
		t.Error("other entries are gone")
	}
}

// Each mistake in an operator's file is told with its place and what is allowed.
func TestMistakesInOverride(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"runtimes:\n  - {name: cobol, image: x}":                               `own.yaml:2:5: "cobol" is no runtime; the runtimes are python3, python311, `,
		"runtimes:\n  - {name: docker, image: x}":                              `own.yaml:2:5: "docker" is no runtime`,
		"runtimes:\n  - name: go1":                                             "own.yaml:2:5: runtime go1 has neither image nor recipe",
		"runtimes:\n  - {name: go1, image: x, caches: [y]}":                    `own.yaml:2:5: runtime go1 has the cache "y"; the caches are bundler, `,
		"runtimes:\n  - {name: go1, recipe: {base: y, packages: [go]}}":        `own.yaml:2:5: runtime go1 is made on the base "y"; the bases are bookworm, bullseye, trixie`,
		"runtimes:\n  - {name: go1, image: x}\n  - name: ruby31\n    imgae: x": `own.yaml:4:5: there is no key "imgae" here; the keys are name, image, add, recipe, `,
		"runtimes:\n  - {name: go1, recipe: {base: bookworm, package: [x]}}":   `own.yaml:2:42: there is no key "package" here; the keys are base, fetch, packages, commands`,
		"runtimes: 1":                            "own.yaml:1:11: a list is wanted here",
		"runtime: []":                            `own.yaml:1:1: there is no key "runtime" here; the keys are bases, caches, runtimes`,
		"runtimes:\n  - {name: go1, image: [x]}": "own.yaml:2:24: a single value is wanted here",
		"runtimes:\n  - {name: go1, image: x, exact: perhaps}":                             "own.yaml:2: cannot construct !!str `perhaps` into bool",
		"runtimes:\n  - {name: go1, image: x, image: y}":                                   `own.yaml:2:27: "image" is here twice`,
		"runtimes:\n  - {name: python311, image: x, default: '3.12'}":                      `own.yaml:2:5: runtime python311 has the default version "3.12"; it must be within 3.11`,
		"runtimes:\n  - {name: go1, exact: true, recipe: {base: bookworm}}":                "is exact, but has no `fetch`",
		"runtimes:\n  - {name: go1, recipe: {base: bookworm}, add: {packages: [x]}}":       "own.yaml:2:5: runtime go1 adds to an image that it does not name",
		"runtimes:\n  - {name: go1, image: x, add: {from: y}}":                             "or names an image without files",
		"runtimes:\n  - {name: go1, image: x, add: {from: y, files: {a: /b}}}":             `adds the file "a" as "/b"; both must be absolute`,
		"bases:\n  mine: {suite: ../x}":                                                    `own.yaml:2:3: the base mine has the suite "../x"`,
		"caches:\n  mine: {path: app}":                                                     `own.yaml:2:3: the cache mine has the path "app"`,
		"caches:\n  mine: {path: /app/x}":                                                  "outside of /app",
		"runtimes:\n\t- x":                                                                 "own.yaml:2: ",
		"runtimes: &a\n  - name: cobol\n    image: x\n  - *a":                              "own.yaml:",
		"runtimes:\n  - {name: cobol, image: x}\n  - {name: go1, image: x, caches: [y]}\n": `own.yaml:3:5: runtime go1 has the cache "y"`,
	} {
		if _, err := parseTable("own.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
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
		"of another suite": {
			map[string]string{
				"sources.list.d/debian.sources": "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates trixie-backports\nComponents: main\n\n" +
					"Types: deb\nURIs: http://sec.example\nSuites: trixie-security\nComponents: main\n",
				"sources.list.d/extra.list": "deb http://mirror.example/more trixie main\ndeb http://vendor.example vendor-trixie main\n",
			},
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://sec.example\nSuites: bookworm-security\nComponents: main\n\n" +
				"Types: deb\nURIs: http://mirror.example/more\nSuites: bookworm\nComponents: main\n",
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
