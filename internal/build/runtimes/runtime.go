package runtimes

import "github.com/openslipway/slipway/internal/source/config"

// Runtime is a root file system with a language in it, ready in the image store.
type Runtime struct {
	Name    string // "python311"
	Image   string // manifest digest
	Version string // of the language: "3.11.2"
	Kind    config.BuildKind

	Env    []config.Variable // of builds and of the running application
	Caches []Cache
	Notes  []string // for each build's log: how it differs from App Runner's
}

// Cache is a directory that a package manager keeps between the builds of a service.
type Cache struct {
	Name string            `yaml:"name"`
	Path string            `yaml:"path"` // where it is in builds, absolute
	Env  map[string]string `yaml:"env"`  // of builds: what makes the package manager use it
}
