package detect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/source/config"
)

// Result is what was detected.
type Result struct {
	File      config.File
	Language  string   // "go", "nodejs", "python", "ruby", "php", "java", "dotnet", "static", "docker"; "" of a configuration
	Framework string   // "Django", "Next.js"; "" when none is recognised
	Why       []string // a reason for each conclusion, for people, in the order of the conclusions
	Warnings  []string // what may not be as the user means it

	Dockerfile    string // path of the Dockerfile, when it wins
	Configuration string // name of the configuration file, when it wins
	Binary        bool   // the build makes one statically linked program that needs no runtime: plain Go without cgo
	Binaries      string // path of that program below the source directory; "" unless Binary
}

// Detector detects with settings. The zero Detector is ready.
type Detector struct {
	Choices             []Choice // answers to *Ambiguous errors
	IgnoreConfiguration bool     // detect even if the tree has an apprunner.yaml
}

// Detect finds out how the tree's service is built and started. It is deterministic.
// Its errors are *Ambiguous, *Unknown and *Malformed, each of which wraps a
// *slipway.Error.
func Detect(fsys fs.FS, choices ...Choice) (Result, error) {
	return Detector{Choices: choices}.Detect(fsys)
}

// Detect is like the function Detect.
func (d Detector) Detect(fsys fs.FS) (Result, error) {
	s := &scan{tree: newTree(fsys), choices: d.Choices}
	if !d.IgnoreConfiguration {
		if done, err := s.configuration(); done || err != nil {
			return s.Result, err
		}
	}
	err := s.detect()
	if s.broken != nil {
		return Result{}, s.broken
	}
	if err != nil {
		return Result{}, err
	}
	if s.cut != "" {
		s.warn("The tree is large: %s.", s.cut)
	}
	s.aboutRuntime()
	return s.Result, nil
}

// scan is one detection: the tree, what other platforms' files say, and the result as
// it grows.
type scan struct {
	*tree
	Result
	choices []Choice
	hosted  platform
}

func (s *scan) why(format string, args ...any) {
	s.Why = append(s.Why, clean(fmt.Sprintf(format, args...)))
}

func (s *scan) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, clean(fmt.Sprintf(format, args...)))
}

// ask returns the option that was chosen, the only one there is, or an *Ambiguous.
func (s *scan) ask(kind, problem string, options []Option) (Option, error) {
	for _, c := range s.choices {
		if c.Kind != kind {
			continue
		}
		if i := slices.IndexFunc(options, func(o Option) bool { return o.Value == c.Value }); i >= 0 {
			s.why("%s %s was chosen", kind, c.Value)
			return options[i], nil
		}
		if len(options) > 0 {
			return Option{}, &Ambiguous{Kind: kind, Problem: fmt.Sprintf("There is no %s %q; choose one of", kind, clean(c.Value)), Options: options}
		}
	}
	if len(options) == 1 {
		return options[0], nil
	}
	return Option{}, &Ambiguous{Kind: kind, Problem: problem, Options: options}
}

// configuration takes an existing apprunner.yaml, which wins over everything.
func (s *scan) configuration() (bool, error) {
	name := s.first(config.FileName, "apprunner.yml")
	if name == "" {
		return false, nil
	}
	data := s.prefix(name, config.MaxSize+1)
	f, findings := config.Parse(name, data)
	if m := firstMistake(name, findings); m != nil {
		return false, m
	}
	for _, finding := range findings {
		s.warn("%s:%d: %s", name, finding.Line, finding.Message)
	}
	s.File, s.Configuration = f, name
	s.why("%s is there and wins over everything else", name)
	if f.Runtime == config.Docker {
		s.Dockerfile = s.first("Dockerfile", "dockerfile", "Containerfile")
	}
	return true, nil
}

// firstMistake returns the first error among the findings, and how many more there are.
func firstMistake(name string, findings []config.Finding) *Malformed {
	var m *Malformed
	more := -1
	for _, f := range findings {
		if f.Severity != config.Error {
			continue
		}
		if more++; m == nil {
			m = &Malformed{File: name, Line: f.Line, Column: f.Column, Problem: strings.TrimSuffix(f.Message, ".")}
		}
	}
	if more > 0 {
		m.Problem += fmt.Sprintf(" (and %d more: slipway lint shows them)", more)
	}
	return m
}

// language is one language's rules.
type language struct {
	name, title string
	manifests   []string // files that are looked for, for people
	// seen looks for the language. Its program is "" when there are only its tools or
	// libraries: such a language gives way to one that has a program to start.
	seen func(*scan) (manifest, program string)
	// plan fills in the result.
	plan func(*scan) error
}

func languages() []language {
	return []language{
		{"go", "Go", []string{"go.mod", "go.work", "*.go"}, seeGo, (*scan).planGo},
		{"python", "Python", []string{"requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py"}, seePython, (*scan).planPython},
		{"ruby", "Ruby", []string{"Gemfile", "config.ru"}, seeRuby, (*scan).planRuby},
		{"php", "PHP", []string{"composer.json", "index.php"}, seePHP, (*scan).planPHP},
		{"java", "Java", []string{"pom.xml", "build.gradle", "build.gradle.kts"}, seeJava, (*scan).planJava},
		{"dotnet", ".NET", []string{"*.csproj", "*.fsproj", "*.sln"}, seeDotNet, (*scan).planDotNet},
		{"nodejs", "Node.js", []string{"package.json", "server.js"}, seeNode, (*scan).planNode},
		{"static", "a static site", []string{"index.html"}, seeStatic, (*scan).planStatic},
	}
}

// sighting is a language that was seen at the root.
type sighting struct {
	language
	manifest, program string
}

func (s *scan) detect() error {
	s.hosted = s.readPlatforms()
	if done := s.dockerfile(); done {
		return nil
	}
	var programs, tools []sighting
	for _, l := range languages() {
		manifest, program := l.seen(s)
		if s.broken != nil {
			return s.broken
		}
		if manifest == "" {
			continue
		}
		if program != "" {
			programs = append(programs, sighting{l, manifest, program})
		} else {
			tools = append(tools, sighting{l, manifest, program})
		}
	}
	chosen, err := s.decide(programs, tools)
	if err != nil {
		return err
	}
	if chosen.name == "static" && strings.HasPrefix(chosen.manifest, "docs/") && !s.chosen(KindLanguage) {
		if programs, _ := s.below(); slices.ContainsFunc(programs, func(o Option) bool { return rank(o.Why) < 3 }) {
			return s.nothing() // the site only documents them
		}
	}
	s.Language = chosen.name
	s.why("%s -> %s", chosen.manifest, chosen.title)
	for _, other := range append(programs, tools...) {
		if other.name != chosen.name && other.name != "static" {
			s.why("%s is there too, but the program is %s's", other.manifest, chosen.title)
		}
	}
	if err := chosen.plan(s); err != nil {
		if unknown, ok := errors.AsType[*Unknown](err); ok && s.broken == nil {
			return s.orBelow(unknown, chosen)
		}
		return err
	}
	s.finish()
	return nil
}

// decide picks the language.
func (s *scan) decide(programs, tools []sighting) (sighting, error) {
	all := append(slices.Clone(programs), tools...)
	for _, c := range s.choices {
		if c.Kind == KindLanguage {
			return s.askLanguage(all)
		}
	}
	if word := s.hosted.language(); word != "" {
		for _, l := range all {
			if l.name == word {
				s.why("%s is a command of %s", s.hosted.from, l.title)
				return l, nil
			}
		}
	}
	programs = withoutSites(programs)
	switch {
	case len(programs) == 1:
		return programs[0], nil
	case len(programs) > 1:
		return s.askLanguage(programs)
	case len(tools) == 1:
		return tools[0], nil
	case len(tools) > 1:
		return s.askLanguage(tools)
	}
	return sighting{}, s.nothing()
}

// withoutSites leaves out what only makes files for browsers, unless nothing else
// starts: a site of files, and packages of Node.js that build the assets of another
// language's program.
func withoutSites(programs []sighting) []sighting {
	for _, site := range []string{"static", "nodejs"} {
		if len(programs) < 2 {
			break
		}
		programs = slices.DeleteFunc(slices.Clone(programs), func(l sighting) bool {
			return l.name == site && (site == "static" || l.program == onlyAssets)
		})
	}
	return programs
}

func (s *scan) askLanguage(all []sighting) (sighting, error) {
	var options []Option
	for _, l := range all {
		why := l.manifest
		if l.program != "" && l.program != l.manifest {
			why += ", " + l.program
		}
		options = append(options, Option{Value: l.name, Why: clean(why)})
	}
	o, err := s.ask(KindLanguage, "Several languages have a program at the root", options)
	if err != nil {
		return sighting{}, err
	}
	return all[slices.IndexFunc(all, func(l sighting) bool { return l.name == o.Value })], nil
}

// nothing returns the error for a root without a known language: the directories
// below it that have one, or what was looked for.
func (s *scan) nothing() error {
	programs, others := s.below()
	options := append(programs, others...)
	other, manifest := s.otherLanguage()
	if other != "" && !slices.ContainsFunc(options, func(o Option) bool { return rank(o.Why) < 3 }) {
		options = nil // its templates
	}
	if len(options) > 1 {
		return &Ambiguous{Kind: KindDirectory, Problem: "Nothing is recognised at the root, but several directories below it", Options: options}
	}
	u := &Unknown{Problem: "Nothing is recognised from which a service can be built"}
	for _, l := range languages() {
		u.Looked = append(u.Looked, l.manifests...)
	}
	u.Looked = append([]string{config.FileName, "Dockerfile"}, u.Looked...)
	switch dockerfiles := s.names(".", "Dockerfile.*"); {
	case other != "" && len(options) == 0:
		u.Problem, u.Looked, u.Found = "This is "+other+", which has no runtime", nil, []string{manifest}
		u.Next = "Add a Dockerfile that builds and starts it."
	case len(options) == 1:
		u.Found = []string{options[0].Why}
		u.Next = fmt.Sprintf("Name that directory as the source directory: slipway plan PATH/%s", options[0].Value)
	case len(dockerfiles) > 0:
		u.Found = dockerfiles
		u.Next = "Rename the one to build to Dockerfile, or write an apprunner.yaml: docs/detection.md shows one per language."
	default:
		u.Next = "Name the directory that has the program, add a Dockerfile, or write an apprunner.yaml: docs/detection.md shows one per language."
	}
	return u
}

// otherLanguage recognises languages without a runtime.
func (s *scan) otherLanguage() (language, manifest string) {
	for _, l := range []struct{ name, pattern string }{
		{"Rust", "Cargo.toml"},
		{"Elixir", "mix.exs"},
		{"Deno", "deno.json"},
		{"Deno", "deno.jsonc"},
		{"Gleam", "gleam.toml"},
		{"Swift", "Package.swift"},
		{"Haskell", "stack.yaml"},
		{"Haskell", "*.cabal"},
		{"Crystal", "shard.yml"},
		{"Dart", "pubspec.yaml"},
		{"Scala", "build.sbt"},
		{"Clojure", "project.clj"},
		{"Clojure", "deps.edn"},
		{"Zig", "build.zig"},
		{"C or C++", "CMakeLists.txt"},
		{"C or C++", "meson.build"},
		{"Perl", "cpanfile"},
		{"R", "renv.lock"},
		{"Erlang", "rebar.config"},
		{"OCaml", "dune-project"},
		{"Nim", "*.nimble"},
		{"Lua", "*.rockspec"},
		{"a site of Hugo", "hugo.toml"},
		{"a site of Hugo", "hugo.yaml"},
		{"a site of Hugo", "hugo.yml"},
		{"a site of Hugo", "archetypes/*.md"},
		{"a site of Jekyll", "_config.yml"},
		{"a site of MkDocs", "mkdocs.yml"},
	} {
		if found := s.names(path.Dir(l.pattern), path.Base(l.pattern)); len(found) > 0 {
			return l.name, found[0]
		}
	}
	if name := s.first("config.toml", "config.yaml"); name != "" && s.hasDir("content") && (s.hasDir("themes") || s.hasDir("layouts")) {
		return "a site of Hugo", name
	}
	return "", ""
}

// use sets the runtime and says why.
func (s *scan) use(r config.Runtime, reason string) {
	s.File.Runtime = r.Name
	s.why("%s -> %s", reason, r.Name)
}

// revised reports whether the build of the chosen runtime is a revised one, which
// keeps only /app of what build commands wrote.
func (s *scan) revised() bool {
	r, _ := config.RuntimeNamed(s.File.Runtime)
	return r.Build == config.RevisedBuild
}

func (s *scan) setEnv(name, value string) {
	s.File.Env = append(s.File.Env, config.Variable{Name: name, Value: value})
}

var defaultPort = regexp.MustCompile(`\b8080\b`)

// start sets the start command, unless a file of another platform says one. A port in
// it is given as 8080 and replaced by the one that such a file names.
func (s *scan) start(command, reason string) {
	if s.File.Command == "" {
		if s.hosted.port != 0 {
			command = defaultPort.ReplaceAllString(command, strconv.Itoa(s.hosted.port))
		}
		s.File.Command = command
		s.why("%s -> %s", reason, command)
	}
}

// honour takes the start command of another platform's file, if there is one. A
// language's rules call it before they look for a command of their own.
func (s *scan) honour() bool {
	if s.hosted.command == "" {
		return false
	}
	s.choosePort()
	command := literalPort(s.hosted.command, s.port())
	s.File.Command = command
	s.why("%s -> start command %s", s.hosted.from, command)
	if strings.ContainsAny(command, "&|;<>$`'\"*(") {
		s.warn("App Runner runs the start command without a shell, so `%s` works differently there.", command)
	}
	return true
}

// port returns the port as commands are to use it.
func (s *scan) port() int {
	if s.File.Port == 0 {
		return config.DefaultPort
	}
	return s.File.Port
}

// finish adds what holds for every language.
func (s *scan) finish() {
	s.choosePort()
	if s.File.Port == 0 {
		s.why("no other port is named -> 8080, in PORT too")
	}
	if s.File.Port == config.DefaultPort {
		s.File.Port = 0
	}
	for _, w := range s.hosted.warnings {
		s.warn("%s", w)
	}
	s.aside()
}

// startScript is a script that starts a server as its last command or among them.
var startScript = regexp.MustCompile(`(?m)^\s*(?:exec\s+)?(?:(?:python3?|poetry run|pipenv run|uv run|bundle exec|npx)\s+(?:-m\s+)?)?(?:gunicorn|uvicorn|hypercorn|daphne|flask run|fastapi run|manage\.py runserver|streamlit run|node|npm (?:run )?start|java|puma|rails s|php-fpm|supervisord)\b`)

// aside warns of what is in the tree too and is not used: a script that starts a
// server, and programs in directories below a site.
func (s *scan) aside() {
	for _, name := range []string{"startup.sh", "start.sh", "entrypoint.sh", "run.sh"} {
		if startScript.MatchString(s.text(name)) && !strings.Contains(s.File.Command, name) {
			s.warn("%s starts a server too and is not used: to use it, make `sh %s` the start command.", name, name)
			break
		}
	}
	if s.Language != "static" {
		return
	}
	programs, _ := s.below()
	programs = slices.DeleteFunc(programs, func(o Option) bool { return rank(o.Why) == 3 })
	if len(programs) > 0 {
		s.warn("The site is deployed, and not the program in %s: for that, name its directory as the source directory.", programs[0].Value)
	}
}

// choosePort takes the port that another platform's file names.
func (s *scan) choosePort() {
	if s.File.Port != 0 || s.hosted.port == 0 {
		return
	}
	s.File.Port = s.hosted.port
	s.why("%s -> port %d", s.hosted.portFrom, s.hosted.port)
}

// listens sets the port that the program's own text names.
func (s *scan) listens(port int, where string) {
	if s.File.Port == 0 && port > 0 && port < 1<<16 {
		s.File.Port = port
		s.why("%s -> port %d", where, port)
	}
}

// onlyLocal warns of a program that no request can reach.
func (s *scan) onlyLocal(file string) {
	s.warn("%s listens on localhost only, where requests from outside don't arrive: let it listen on 0.0.0.0.", file)
}

// aboutRuntime says what App Runner has in place of a runtime that it lacks.
func (s *scan) aboutRuntime() {
	r, ok := config.RuntimeNamed(s.File.Runtime)
	if !ok || r.AppRunner() || s.Configuration != "" {
		return
	}
	if r.Build == config.DockerfileBuild {
		s.warn("App Runner builds no Dockerfile: there, push the image to a registry.")
		return
	}
	if near := nearestOfAppRunner(r); near != "" {
		s.warn("App Runner has no %s; the nearest it has is %s.", r.Name, near)
	} else {
		s.warn("App Runner has no %s.", r.Name)
	}
}

// chosen reports whether a kind of choice was answered by the caller.
func (s *scan) chosen(kind string) bool {
	return slices.ContainsFunc(s.choices, func(c Choice) bool { return c.Kind == kind })
}
