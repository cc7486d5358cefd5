package detect

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/source/config"
)

// manifests are the files that show a program in a directory, those that say most
// first.
var manifests = []string{config.FileName, "Dockerfile", "go.mod", "package.json", "requirements.txt", "pyproject.toml", "Pipfile", "manage.py", "Gemfile", "composer.json", "pom.xml", "build.gradle", "build.gradle.kts", "*.csproj", "index.html"}

// below returns the directories below the root that look like the source directory of
// a service, those with an apprunner.yaml first, and the others that have a manifest:
// libraries, tools, and what can't be told by the names of files.
func (s *scan) below() (programs, others []Option) {
	const most = 20
	for _, dir := range s.walk(".", 2)[1:] {
		m := s.manifestIn(dir)
		if m == "" || within(dir, programs) {
			continue
		}
		o := Option{Value: dir, Why: m}
		if !s.has(path.Join(dir, "cdk.json")) && s.programIn(dir, path.Base(m)) {
			programs = append(programs, o)
		} else {
			others = append(others, o)
		}
	}
	slices.SortStableFunc(programs, func(a, b Option) int { return rank(a.Why) - rank(b.Why) })
	programs = programs[:min(len(programs), most)]
	return programs, others[:min(len(others), most-len(programs))]
}

// rank orders manifests: a configuration, a Dockerfile, a language's, a site of files.
func rank(manifest string) int {
	switch path.Base(manifest) {
	case config.FileName:
		return 0
	case "Dockerfile":
		return 1
	case "index.html":
		return 3
	}
	return 2
}

// within reports whether a directory is below one of the options.
func within(dir string, options []Option) bool {
	return slices.ContainsFunc(options, func(o Option) bool { return strings.HasPrefix(dir, o.Value+"/") })
}

// manifestIn returns the path of the file in a directory that shows a language.
func (s *scan) manifestIn(dir string) string {
	for _, name := range manifests {
		if found := s.names(dir, name); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// programIn reports whether a directory with a manifest has something to start too,
// going by the names of its files.
func (s *scan) programIn(dir, manifest string) bool {
	hasOne := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return s.has(path.Join(dir, n)) })
	}
	switch manifest {
	case "go.mod":
		return goMainFile(s.tree, dir) != "" || s.hasDir(path.Join(dir, "cmd"))
	case "package.json":
		var p packageJSON
		readable := false
		broken := s.attempt(func() { readable = s.json(path.Join(dir, manifest), &p) })
		return broken != nil || readable && s.startable(dir, p) != ""
	case "requirements.txt", "pyproject.toml", "Pipfile":
		return hasOne("manage.py", "Procfile") || len(s.find(dir, 1, "app.py")) > 0 || len(s.find(dir, 1, "main.py")) > 0 ||
			hasOne("server.py", "wsgi.py", "asgi.py", "application.py", "run.py", "streamlit_app.py")
	case "Gemfile":
		return hasOne("bin/rails", "config.ru", "Procfile") || s.sinatraIn(dir)
	case "composer.json":
		return hasOne("artisan", "index.php", "public/index.php", "web/index.php", "Procfile")
	}
	return true
}

// orBelow returns the error of a root in which nothing can be started, or, when there
// are programs in the directories below it, the error that names those: the root then
// only holds tools for them.
func (s *scan) orBelow(err *Unknown, root sighting) error {
	if root.program != "" || strings.Contains(err.Next, "PATH/") {
		return err
	}
	options, _ := s.below()
	options = slices.DeleteFunc(options, func(o Option) bool { return rank(o.Why) == 3 })
	switch len(options) {
	case 0:
		return err
	case 1:
		return &Unknown{
			Problem: fmt.Sprintf("%s at the root starts nothing", root.manifest), Found: []string{options[0].Why},
			Next: fmt.Sprintf("Name that directory as the source directory: slipway plan PATH/%s", options[0].Value),
		}
	}
	return &Ambiguous{Kind: KindDirectory, Problem: fmt.Sprintf("%s at the root starts nothing, but there are programs in several directories below it", root.manifest), Options: options}
}
