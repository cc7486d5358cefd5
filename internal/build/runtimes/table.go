package runtimes

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/openslipway/slipway/internal/source/config"
)

//go:embed runtimes.yaml
var embedded []byte

// embeddedName is what errors call the embedded table.
const embeddedName = "runtimes.yaml"

// table is what runtimes.yaml says.
type table struct {
	Bases    map[string]base  `yaml:"bases"`
	Caches   map[string]Cache `yaml:"caches"`
	Runtimes []entry          `yaml:"runtimes"`
}

// base is a root file system of Debian packages.
type base struct {
	Suite    string   `yaml:"suite"`
	Packages []string `yaml:"packages"` // beside the essential ones
	// Sources are those of the suite in the deb822 form; "": those of the host's apt.
	Sources string `yaml:"sources,omitempty"`
}

// entry is one runtime of the table.
type entry struct {
	Name       string            `yaml:"name"`
	Image      string            `yaml:"image,omitempty"`
	Add        *addition         `yaml:"add,omitempty"`
	Recipe     *recipe           `yaml:"recipe,omitempty"`
	Version    string            `yaml:"version,omitempty"`
	Default    string            `yaml:"default,omitempty"`
	Exact      bool              `yaml:"exact,omitempty"`
	Env        map[string]string `yaml:"env,omitempty"`
	Caches     []string          `yaml:"caches,omitempty"`
	Substitute string            `yaml:"substitute,omitempty"`
	Absent     string            `yaml:"absent,omitempty"`
	End        string            `yaml:"end,omitempty"`
}

// addition is what the publisher's image lacks of App Runner's runtime.
type addition struct {
	From     string            `yaml:"from,omitempty"`  // an image
	Files    map[string]string `yaml:"files,omitempty"` // paths in that image -> paths in the runtime
	Packages []string          `yaml:"packages,omitempty"`
	Commands []string          `yaml:"commands,omitempty"`
}

// recipe says how a root file system is made.
type recipe struct {
	Base     string   `yaml:"base"`
	Fetch    *fetch   `yaml:"fetch,omitempty"`
	Packages []string `yaml:"packages,omitempty"`
	Commands []string `yaml:"commands,omitempty"`
}

// fetch is a part of a recipe of which only /usr/local is kept.
type fetch struct {
	Packages []string `yaml:"packages,omitempty"`
	Commands []string `yaml:"commands"`
}

// parseTable reads the embedded table and the operator's over it, whose entries replace
// those of the same names as a whole. file is the operator's, for errors.
func parseTable(file string, override []byte) (table, error) {
	t, err := readTable(embeddedName, embedded)
	if err != nil || len(bytes.TrimSpace(override)) == 0 {
		return t, err
	}
	o, err := readTable(file, override)
	if err != nil {
		return t, err
	}
	maps.Copy(t.Bases, o.Bases)
	maps.Copy(t.Caches, o.Caches)
	for _, e := range o.Runtimes {
		if i := slices.IndexFunc(t.Runtimes, func(old entry) bool { return old.Name == e.Name }); i >= 0 {
			t.Runtimes[i] = e
		} else {
			t.Runtimes = append(t.Runtimes, e)
		}
	}
	return t, t.check(file, o, positions(override))
}

// readTable reads a table strictly: an unknown key is an error that says where it is and
// which keys there are.
func readTable(file string, text []byte) (t table, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return t, located(file, err)
	}
	if err := checkKeys(file, &doc); err != nil {
		return t, err
	}
	if err := doc.Decode(&t); err != nil {
		return t, located(file, err)
	}
	if t.Bases == nil {
		t.Bases = map[string]base{}
	}
	if t.Caches == nil {
		t.Caches = map[string]Cache{}
	}
	for name, c := range t.Caches {
		c.Name = name
		t.Caches[name] = c
	}
	for i, e := range t.Runtimes {
		if known, ok := config.RuntimeNamed(e.Name); ok && len(known.Lines) > 0 {
			t.Runtimes[i].Default = cmp.Or(e.Default, known.Lines[len(known.Lines)-1])
		}
	}
	return t, nil
}

// check refuses what a table says of things that are not there. Of the merged table t,
// only what the operator's file o says is checked; at is where it says so.
func (t *table) check(file string, o table, at map[string]string) error {
	var errs []error
	fail := func(what, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s%s: %s", file, at[what], fmt.Sprintf(format, args...)))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Bases)) {
		if b := o.Bases[name]; b.Suite == "" || strings.Trim(b.Suite, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			fail("bases."+name, "the base %s has the suite %q; it must be a release of Debian, such as bookworm", name, b.Suite)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Caches)) {
		c := o.Caches[name]
		if !path.IsAbs(c.Path) || path.Clean(c.Path) != c.Path || c.Path == "/" || c.Path == "/app" || strings.HasPrefix(c.Path, "/app/") {
			fail("caches."+name, "the cache %s has the path %q; it must be absolute, and outside of /app", name, c.Path)
		}
	}
	for i, e := range o.Runtimes {
		for _, problem := range t.problems(e) {
			fail(fmt.Sprintf("runtimes.%d", i), "%s", problem)
		}
	}
	return errors.Join(errs...)
}

// problems says what is wrong with an entry.
func (t *table) problems(e entry) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	known, ok := config.RuntimeNamed(e.Name)
	if !ok || known.Build == config.DockerfileBuild {
		add("%q is no runtime; the runtimes are %s", e.Name, strings.Join(names(), ", "))
		return list
	}
	if !slices.Contains(known.Lines, e.Default) && !withinAny(e.Default, known.Lines) {
		add("runtime %s has the default version %q; it must be within %s", e.Name, e.Default, strings.Join(known.Lines, " or "))
	}
	if e.Image == "" && e.Recipe == nil && e.Absent == "" {
		add("runtime %s has neither image nor recipe; `absent` would say why", e.Name)
	}
	for _, c := range e.Caches {
		if _, ok := t.Caches[c]; !ok {
			add("runtime %s has the cache %q; the caches are %s", e.Name, c, strings.Join(slices.Sorted(maps.Keys(t.Caches)), ", "))
		}
	}
	if a := e.Add; a != nil {
		if e.Image == "" || (a.From == "") != (len(a.Files) == 0) {
			add("runtime %s adds to an image that it does not name, or names an image without files", e.Name)
		}
		for from, to := range a.Files {
			if !path.IsAbs(from) || !path.IsAbs(to) {
				add("runtime %s adds the file %q as %q; both must be absolute paths", e.Name, from, to)
			}
		}
	}
	for name := range e.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			add("runtime %s has the variable %q, which is no name", e.Name, name)
		}
	}
	if e.Recipe == nil {
		return list
	}
	if _, ok := t.Bases[e.Recipe.Base]; !ok {
		add("runtime %s is made on the base %q; the bases are %s", e.Name, e.Recipe.Base, strings.Join(slices.Sorted(maps.Keys(t.Bases)), ", "))
	}
	if e.Exact && e.Recipe.Fetch == nil {
		add("runtime %s is exact, but has no `fetch` that would find the version", e.Name)
	}
	return list
}

func withinAny(version string, lines []string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return within(version, l) })
}

// names returns the runtimes that a table may have.
func names() (list []string) {
	for _, r := range config.Runtimes() {
		if r.Build != config.DockerfileBuild {
			list = append(list, r.Name)
		}
	}
	return list
}

func (t *table) entry(name string) (entry, bool) {
	i := slices.IndexFunc(t.Runtimes, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return t.Runtimes[i], true
}
