package runtimes

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/openslipway/slipway/internal/source/config"
)

//go:embed runtimes.yaml
var embedded []byte

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
}

// entry is one runtime of the table.
type entry struct {
	Name       string            `yaml:"name"`
	Image      string            `yaml:"image,omitempty"`
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

// parseTable reads the embedded table and the operator's over it.
func parseTable(override []byte) (table, error) {
	t, err := decode("runtimes.yaml", embedded)
	if err != nil || len(bytes.TrimSpace(override)) == 0 {
		return t, err
	}
	o, err := decode("the file of runtimes", override)
	if err != nil {
		return t, err
	}
	maps.Copy(t.Bases, o.Bases)
	maps.Copy(t.Caches, o.Caches)
	for _, e := range o.Runtimes {
		i := slices.IndexFunc(t.Runtimes, func(old entry) bool { return old.Name == e.Name })
		if i < 0 {
			t.Runtimes = append(t.Runtimes, e)
		} else {
			t.Runtimes[i] = e
		}
	}
	return t, t.check()
}

func decode(name string, text []byte) (t table, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&t); err != nil {
		return t, fmt.Errorf("read %s: %w", name, err)
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
	return t, nil
}

// check refuses a table whose entries refer to what there is not.
func (t *table) check() error {
	for _, e := range t.Runtimes {
		known, ok := config.RuntimeNamed(e.Name)
		if !ok || known.Build == config.DockerfileBuild {
			return fmt.Errorf("runtimes: %q is no runtime", e.Name)
		}
		if e.Image == "" && e.Recipe == nil && e.Absent == "" {
			return fmt.Errorf("runtime %s has neither image nor recipe, and does not say why", e.Name)
		}
		for _, c := range e.Caches {
			if _, ok := t.Caches[c]; !ok {
				return fmt.Errorf("runtime %s has the cache %q, which is not in the table", e.Name, c)
			}
		}
		if e.Recipe != nil {
			if _, ok := t.Bases[e.Recipe.Base]; !ok {
				return fmt.Errorf("runtime %s is made on the base %q, which is not in the table", e.Name, e.Recipe.Base)
			}
		}
	}
	return nil
}

func (t *table) entry(name string) (entry, bool) {
	i := slices.IndexFunc(t.Runtimes, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return t.Runtimes[i], true
}
