package config

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BuildKind is the way in which App Runner builds a runtime's images.
// https://docs.aws.amazon.com/apprunner/latest/dg/service-source-code.html
type BuildKind string

const (
	// OriginalBuild runs `build` twice, the second time in the run image.
	OriginalBuild BuildKind = "original"
	// RevisedBuild copies /app to the run image and runs `pre-run` there.
	RevisedBuild BuildKind = "revised"
	// DockerfileBuild builds the repository's Dockerfile. App Runner has no such kind.
	DockerfileBuild BuildKind = "dockerfile"
)

// Docker is the name of the runtime whose images a Dockerfile makes.
const Docker = "docker"

// Runtime is a managed runtime as apprunner.yaml names it.
type Runtime struct {
	Name     string // as in the file: "python311"
	API      string // as in CodeConfigurationValues.Runtime: "PYTHON_311"; "" beyond App Runner
	Language string // "python", "nodejs", "corretto", "dotnet", "go", "php", "ruby"; "" for docker
	Title    string // for people: "Python 3.11"
	Build    BuildKind
	Lines    []string // versions it has, without patch level, newest last; a runtime-version is part of one or within one
	Parts    int      // most numbers in a runtime-version
}

// AppRunner reports whether App Runner has the runtime too.
func (r Runtime) AppRunner() bool { return r.API != "" }

// Runtimes returns the table of runtimes: App Runner's 13, then those beyond it, of
// each language in ascending order.
func Runtimes() []Runtime {
	return []Runtime{
		{"python3", "PYTHON_3", "python", "Python 3.8", OriginalBuild, []string{"3.7", "3.8"}, 3},
		{"python311", "PYTHON_311", "python", "Python 3.11", RevisedBuild, []string{"3.11"}, 3},
		{"nodejs12", "NODEJS_12", "nodejs", "Node.js 12", OriginalBuild, []string{"12"}, 3},
		{"nodejs14", "NODEJS_14", "nodejs", "Node.js 14", OriginalBuild, []string{"14"}, 3},
		{"nodejs16", "NODEJS_16", "nodejs", "Node.js 16", OriginalBuild, []string{"16"}, 3},
		{"nodejs18", "NODEJS_18", "nodejs", "Node.js 18", RevisedBuild, []string{"18"}, 3},
		{"nodejs22", "NODEJS_22", "nodejs", "Node.js 22", RevisedBuild, []string{"22"}, 3},
		{"corretto8", "CORRETTO_8", "corretto", "Java 8", OriginalBuild, []string{"8"}, 4},
		{"corretto11", "CORRETTO_11", "corretto", "Java 11", OriginalBuild, []string{"11.0"}, 5},
		{"dotnet6", "DOTNET_6", "dotnet", ".NET 6", OriginalBuild, []string{"6.0"}, 3},
		{"go1", "GO_1", "go", "Go 1", OriginalBuild, []string{"1"}, 3},
		{"php81", "PHP_81", "php", "PHP 8.1", OriginalBuild, []string{"8.1"}, 3},
		{"ruby31", "RUBY_31", "ruby", "Ruby 3.1", OriginalBuild, []string{"3.1"}, 3},

		{"python310", "", "python", "Python 3.10", RevisedBuild, []string{"3.10"}, 3},
		{"python312", "", "python", "Python 3.12", RevisedBuild, []string{"3.12"}, 3},
		{"python313", "", "python", "Python 3.13", RevisedBuild, []string{"3.13"}, 3},
		{"python314", "", "python", "Python 3.14", RevisedBuild, []string{"3.14"}, 3},
		{"nodejs20", "", "nodejs", "Node.js 20", RevisedBuild, []string{"20"}, 3},
		{"nodejs24", "", "nodejs", "Node.js 24", RevisedBuild, []string{"24"}, 3},
		{"corretto17", "", "corretto", "Java 17", RevisedBuild, []string{"17.0"}, 5},
		{"corretto21", "", "corretto", "Java 21", RevisedBuild, []string{"21.0"}, 5},
		{"dotnet8", "", "dotnet", ".NET 8", RevisedBuild, []string{"8.0"}, 3},
		{"php82", "", "php", "PHP 8.2", RevisedBuild, []string{"8.2"}, 3},
		{"php83", "", "php", "PHP 8.3", RevisedBuild, []string{"8.3"}, 3},
		{"php84", "", "php", "PHP 8.4", RevisedBuild, []string{"8.4"}, 3},
		{"ruby33", "", "ruby", "Ruby 3.3", RevisedBuild, []string{"3.3"}, 3},
		{"ruby34", "", "ruby", "Ruby 3.4", RevisedBuild, []string{"3.4"}, 3},
		{Docker, "", "", "the repository's Dockerfile", DockerfileBuild, nil, 0},
	}
}

// goOfAppRunner is the only Go of App Runner's go1.
const goOfAppRunner = "1.18"

// RuntimeNamed returns the runtime with a canonical name.
func RuntimeNamed(name string) (Runtime, bool) {
	return findRuntime(func(r Runtime) bool { return r.Name == name })
}

func findRuntime(match func(Runtime) bool) (Runtime, bool) {
	all := Runtimes()
	if i := slices.IndexFunc(all, match); i >= 0 {
		return all[i], true
	}
	return Runtime{}, false
}

// languages are the words that people use for a runtime's language, without
// separators and in lower case.
var languages = map[string]string{
	"python": "python", "py": "python",
	"node": "nodejs", "nodejs": "nodejs", "js": "nodejs", "javascript": "nodejs",
	"corretto": "corretto", "java": "corretto", "jdk": "corretto", "openjdk": "corretto", "amazoncorretto": "corretto",
	"dotnet": "dotnet", "net": "dotnet", "dotnetcore": "dotnet", "netcore": "dotnet", "csharp": "dotnet", "aspnet": "dotnet", "aspnetcore": "dotnet",
	"go": "go", "golang": "go",
	"php":  "php",
	"ruby": "ruby", "rb": "ruby",
	"docker": "docker", "dockerfile": "docker", "container": "docker",
}

// Guess is what a name that is no runtime's probably means.
type Guess struct {
	Runtime  Runtime // the zero Runtime when there is nothing to suggest
	Version  string  // a runtime-version that the name holds beside the runtime: "3.7", "1.22.4"
	Certain  bool    // the name can only mean this runtime: "python3.11", "Node 18"
	Language string  // recognised language; "" when even that is unknown
}

var (
	imageSuffix = regexp.MustCompile(`-(alpine|slim|bullseye|bookworm|buster|jdk|jre|al2023|al2|lts|cli|fpm)[a-z0-9.-]*$`)
	runtimeForm = regexp.MustCompile(`^\.?([a-z]+(?:\.?[a-z]+)*?)[ ._:@/-]*v?([0-9]+(?:[._][0-9x*]+){0,4})?(?:\.x)?$`)
)

// GuessRuntime interprets a runtime's name in another form: a language with a version
// ("python3.11", "Ruby 3.1", "node:18-alpine"), the API's name ("NODEJS_18"), or a
// language without one.
func GuessRuntime(text string) Guess {
	s := strings.ToLower(strings.TrimSpace(text))
	if r, ok := findRuntime(func(r Runtime) bool { return r.Name == s || r.API != "" && strings.ToLower(r.API) == s }); ok {
		return Guess{Runtime: r, Certain: true, Language: r.Language}
	}
	s = strings.TrimPrefix(imageSuffix.ReplaceAllString(s, ""), "amazon ")
	m := runtimeForm.FindStringSubmatch(s)
	if m == nil {
		return Guess{}
	}
	word := strings.NewReplacer(".", "", " ", "").Replace(m[1])
	language, ok := languages[word]
	switch {
	case !ok:
		return Guess{}
	case language == Docker:
		r, _ := RuntimeNamed(Docker)
		return Guess{Runtime: r, Certain: m[2] == "", Language: Docker}
	}
	return guessVersion(language, strings.Trim(strings.NewReplacer("_", ".", "x", "", "*", "").Replace(m[2]), "."))
}

// guessVersion finds the runtime of a language for a version, "" for none; "311" may
// be written for "3.11".
func guessVersion(language, version string) Guess {
	if language == "go" {
		r, _ := RuntimeNamed("go1")
		if _, minor, ok := splitDigits(version); ok && !strings.Contains(version, ".") && len(version) > 1 {
			version = "1." + minor
		}
		if version == "1" {
			version = ""
		}
		ok := version == "" || versionIn(version, "1")
		if !ok {
			version = ""
		}
		return Guess{Runtime: r, Version: version, Certain: ok, Language: language}
	}
	forms := []string{version}
	if major, minor, ok := splitDigits(version); ok && len(version) > 1 && !strings.Contains(version, ".") {
		forms = append(forms, major+"."+minor)
	}
	for _, v := range forms {
		if v == "" {
			continue
		}
		matches := runtimesFor(language, v)
		if len(matches) == 1 || len(matches) > 0 && strings.Contains(v, ".") {
			r := matches[0]
			lock := ""
			if r.Name == "python3" && v == "3.7" || strings.Count(v, ".") == 2 && len(r.Lines) > 0 {
				lock = v
			}
			return Guess{Runtime: r, Version: lock, Certain: true, Language: language}
		}
	}
	return Guess{Runtime: newest(language), Language: language}
}

func splitDigits(v string) (first, rest string, ok bool) {
	if len(v) < 2 {
		return "", "", false
	}
	return v[:1], v[1:], true
}

// newest returns App Runner's newest runtime of a language.
func newest(language string) Runtime {
	var found Runtime
	for _, r := range Runtimes() {
		if r.Language == language && r.AppRunner() {
			found = r
		}
	}
	return found
}

// runtimesFor returns a language's runtimes that have a version.
func runtimesFor(language, version string) []Runtime {
	var all []Runtime
	for _, r := range Runtimes() {
		if r.Language == language && slices.ContainsFunc(r.Lines, func(line string) bool { return versionIn(version, line) }) {
			all = append(all, r)
		}
	}
	return all
}

// Accepts reports whether version is in the form of a runtime-version, and whether
// the runtime has it as far as its lines tell.
func (r Runtime) Accepts(version string) (form, has bool) {
	parts := strings.Split(version, ".")
	for _, p := range parts {
		if len(p) > 6 || p == "" || strings.Trim(p, "0123456789") != "" {
			return false, false
		}
	}
	for _, line := range r.Lines {
		has = has || versionIn(version, line)
	}
	return len(parts) <= 5, has && len(parts) <= r.Parts
}

// versionIn reports whether a version is within a line of versions or contains it:
// 3.11.4, 3.11 and 3 are for 3.11.
func versionIn(version, line string) bool {
	v, l := strings.Split(version, "."), strings.Split(line, ".")
	for i := range min(len(v), len(l)) {
		a, err1 := strconv.Atoi(v[i])
		b, err2 := strconv.Atoi(l[i])
		if err1 != nil || err2 != nil || a != b {
			return false
		}
	}
	return true
}

// namesOf lists the names of a language's runtimes in the order of their versions.
func namesOf(language string, match func(Runtime) bool) string {
	names := strings.Split(runtimeNames(func(r Runtime) bool { return r.Language == language && match(r) }), ", ")
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	return strings.Join(names, ", ")
}

func every(Runtime) bool { return true }

// runtimeNames lists the names of runtimes for messages.
func runtimeNames(match func(Runtime) bool) string {
	var names []string
	for _, r := range Runtimes() {
		if match(r) {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, ", ")
}
