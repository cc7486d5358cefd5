package sbom

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"iter"
	"path"
	"regexp"
	"strings"
)

// parser reads one kind of file. Whatever the file holds, it returns what it
// understood; the caller checks each component.
type parser func(name string, data []byte) []Component

const (
	npmList  = ".package-lock.json" // in node_modules: what npm has installed
	kilobyte = 1 << 10
	megabyte = 1 << 20
)

// parserOf returns the parser for a file of this path, nil for none, and how much it
// reads at most: a negative number if the beginning of a longer file will do.
func parserOf(name string) (parse parser, most int) {
	dir, base := path.Dir(name), path.Base(name)
	switch base {
	case npmList, "package-lock.json", "npm-shrinkwrap.json":
		return npmLock, maxFile
	case "package.json":
		if isInNodeModules(dir) {
			return npmPackage, megabyte
		}
	case "METADATA":
		if strings.HasSuffix(dir, ".dist-info") {
			return pythonMetadata, -64 * kilobyte
		}
	case "PKG-INFO":
		if strings.HasSuffix(dir, ".egg-info") {
			return pythonMetadata, -64 * kilobyte
		}
	case "requirements.txt":
		return requirements, megabyte
	case "go.sum":
		return goSum, maxFile
	case "Gemfile.lock":
		return gemfileLock, maxFile
	case "composer.lock":
		return composerLock, maxFile
	case "installed.json":
		if strings.HasSuffix("/"+dir, "/vendor/composer") {
			return composerInstalled, maxFile
		}
	case "pom.xml":
		return pom, megabyte
	case "status":
		if dir == "var/lib/dpkg" {
			return dpkg, maxFile
		}
	case "installed":
		if dir == "lib/apk/db" {
			return apk, maxFile
		}
	}
	switch {
	case dir == "var/lib/dpkg/status.d":
		return dpkg, megabyte
	case strings.HasSuffix(dir, "/specifications") && strings.HasSuffix(base, ".gemspec"),
		strings.HasSuffix(dir, "/specifications/default") && strings.HasSuffix(base, ".gemspec"):
		return gemspec, -1
	}
	return nil, 0
}

// isInNodeModules reports whether a directory is that of a package: node_modules/name
// or node_modules/@scope/name.
func isInNodeModules(dir string) bool {
	up := path.Dir(dir)
	if strings.HasPrefix(path.Base(up), "@") {
		up = path.Dir(up)
	}
	return path.Base(up) == "node_modules"
}

func npm(name, version string) Component {
	c := Component{Type: "npm", Name: name, Version: version}
	if scope, rest, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(scope, "@") {
		c.Namespace, c.Name = scope, rest
	}
	return c
}

// npmLock reads package-lock.json in its three versions, and npm's list of what it has
// installed, which has the form of the third.
func npmLock(name string, data []byte) (list []Component) {
	type dependency struct {
		Version      string                     `json:"version"`
		Dependencies map[string]json.RawMessage `json:"dependencies"`
	}
	var lock struct {
		Packages map[string]struct {
			Name    string `json:"name"`
			Version string `json:"version"`
			Link    bool   `json:"link"`
		} `json:"packages"`
		Dependencies map[string]json.RawMessage `json:"dependencies"`
	}
	if json.Unmarshal(data, &lock) != nil {
		return nil
	}
	declared := path.Base(name) != npmList
	add := func(name, version string) {
		c := npm(name, version)
		c.Declared = declared
		list = append(list, c)
	}
	for at, p := range lock.Packages {
		i := strings.LastIndex(at, "node_modules/")
		if i < 0 || p.Link || p.Version == "" {
			continue // the project itself, or a part of it
		}
		called := at[i+len("node_modules/"):]
		if p.Name != "" { // an alias
			called = p.Name
		}
		add(called, p.Version)
	}
	if len(lock.Packages) > 0 {
		return list
	}
	// Version 1: dependencies in dependencies.
	for todo := []map[string]json.RawMessage{lock.Dependencies}; len(todo) > 0 && len(list) <= maxComponents; {
		level := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for name, raw := range level {
			var d dependency
			if json.Unmarshal(raw, &d) != nil {
				continue
			}
			if !strings.Contains(d.Version, ":") { // not a URL
				add(name, d.Version)
			}
			if len(d.Dependencies) > 0 {
				todo = append(todo, d.Dependencies)
			}
		}
	}
	return list
}

// npmPackage reads the package.json of an installed package.
func npmPackage(_ string, data []byte) []Component {
	var p struct{ Name, Version string }
	if json.Unmarshal(data, &p) != nil || p.Version == "" {
		return nil
	}
	return []Component{npm(p.Name, p.Version)}
}

// lines returns the lines of a text, without their ends and of bounded length.
func lines(data []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(bytes.NewReader(data))
		s.Buffer(nil, megabyte) // a longer line ends the text
		for s.Scan() {
			if !yield(s.Text()) {
				return
			}
		}
	}
}

// pythonMetadata reads the core metadata of an installed package, up to its first empty
// line. https://packaging.python.org/en/latest/specifications/core-metadata/
func pythonMetadata(_ string, data []byte) []Component {
	c := Component{Type: "pypi"}
	for line := range lines(data) {
		if line == "" {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case strings.EqualFold(key, "Name") && c.Name == "":
			c.Name = pythonName(value)
		case strings.EqualFold(key, "Version") && c.Version == "":
			c.Version = value
		}
	}
	return []Component{c}
}

var pythonSeparators = regexp.MustCompile(`[-_.]+`)

// pythonName normalizes a name as PyPI does.
func pythonName(name string) string {
	return pythonSeparators.ReplaceAllString(strings.ToLower(name), "-")
}

var pinned = regexp.MustCompile(`^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([A-Za-z0-9.!+_-]+)`)

// requirements reads the pinned packages of a requirements.txt.
func requirements(_ string, data []byte) (list []Component) {
	for line := range lines(data) {
		if m := pinned.FindStringSubmatch(line); m != nil {
			list = append(list, Component{Type: "pypi", Name: pythonName(m[1]), Version: m[2], Declared: true})
		}
	}
	return list
}

func golang(module, version string) Component {
	dir, name := path.Split(module)
	return Component{Type: "golang", Namespace: strings.Trim(dir, "/"), Name: name, Version: version}
}

// goSum reads the modules of a go.sum whose content was needed, not only their go.mod.
func goSum(_ string, data []byte) (list []Component) {
	for line := range lines(data) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasSuffix(f[1], "/go.mod") {
			c := golang(f[0], f[1])
			c.Declared = true
			list = append(list, c)
		}
	}
	return list
}

var gemLine = regexp.MustCompile(`^    ([A-Za-z0-9._-]+) \(([^()]+)\)$`)

// gemfileLock reads the gems that Bundler has resolved: those lines of the sections
// GEM, GIT and PATH that are indented by four blanks.
func gemfileLock(_ string, data []byte) (list []Component) {
	section := ""
	for line := range lines(data) {
		if line != "" && line[0] != ' ' {
			section = line
		}
		if section != "GEM" && section != "GIT" {
			continue
		}
		if m := gemLine.FindStringSubmatch(line); m != nil {
			list = append(list, Component{Type: "gem", Name: m[1], Version: m[2], Declared: true})
		}
	}
	return list
}

var gemFile = regexp.MustCompile(`^(.+)-([0-9][A-Za-z0-9.]*)(?:-[a-z][A-Za-z0-9_-]*)?\.gemspec$`)

// gemspec takes name and version of an installed gem from the name of its
// specification, which is a Ruby program.
func gemspec(name string, _ []byte) []Component {
	m := gemFile.FindStringSubmatch(path.Base(name))
	if m == nil {
		return nil
	}
	return []Component{{Type: "gem", Name: m[1], Version: m[2]}}
}

type composerPackage struct{ Name, Version string }

func composer(list []composerPackage, declared bool) (out []Component) {
	for _, p := range list {
		vendor, name, ok := strings.Cut(p.Name, "/")
		if ok {
			out = append(out, Component{Type: "composer", Namespace: vendor, Name: name, Version: p.Version, Declared: declared})
		}
	}
	return out
}

// composerLock reads a composer.lock, without what is for development only.
func composerLock(_ string, data []byte) []Component {
	var lock struct{ Packages []composerPackage }
	if json.Unmarshal(data, &lock) != nil {
		return nil
	}
	return composer(lock.Packages, true)
}

// composerInstalled reads Composer's list of what it has installed: an object, or
// before Composer 2 an array.
func composerInstalled(_ string, data []byte) []Component {
	var two struct{ Packages []composerPackage }
	var one []composerPackage
	if json.Unmarshal(data, &two) == nil {
		return composer(two.Packages, false)
	}
	if json.Unmarshal(data, &one) == nil {
		return composer(one, false)
	}
	return nil
}

// pom reads the dependencies of a Maven project that have a version of their own.
func pom(_ string, data []byte) (list []Component) {
	var project struct {
		Dependencies []struct {
			Group    string `xml:"groupId"`
			Artifact string `xml:"artifactId"`
			Version  string `xml:"version"`
			Scope    string `xml:"scope"`
		} `xml:"dependencies>dependency"`
	}
	if xml.Unmarshal(data, &project) != nil {
		return nil
	}
	for _, d := range project.Dependencies {
		if d.Version != "" && !strings.Contains(d.Group+d.Artifact+d.Version, "${") && d.Scope != "test" {
			list = append(list, Component{Type: "maven", Namespace: strings.TrimSpace(d.Group), Name: strings.TrimSpace(d.Artifact), Version: strings.TrimSpace(d.Version), Declared: true})
		}
	}
	return list
}

// dpkg reads Debian's database of packages: paragraphs of fields.
func dpkg(_ string, data []byte) (list []Component) {
	c := Component{Type: "deb", Namespace: "debian"}
	installed := true
	end := func() {
		if c.Name != "" && c.Version != "" && installed {
			list = append(list, c)
		}
		c.Name, c.Version, installed = "", "", true
	}
	for line := range lines(data) {
		if line == "" {
			end()
			continue
		}
		switch key, value, _ := strings.Cut(line, ": "); key {
		case "Package":
			c.Name = value
		case "Version":
			c.Version = value
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		}
	}
	end()
	return list
}

// apk reads Alpine's database of packages: paragraphs of lines that begin with a letter.
func apk(_ string, data []byte) (list []Component) {
	c := Component{Type: "apk", Namespace: "alpine"}
	end := func() {
		if c.Name != "" && c.Version != "" {
			list = append(list, c)
		}
		c.Name, c.Version = "", ""
	}
	for line := range lines(data) {
		switch key, value, _ := strings.Cut(line, ":"); {
		case line == "":
			end()
		case key == "P":
			c.Name = value
		case key == "V":
			c.Version = value
		}
	}
	end()
	return list
}
