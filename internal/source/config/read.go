package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/openslipway/slipway"
)

// read fills the File from the entries that were collected.
func (p *parser) read() {
	p.readVersion()
	p.readRuntime()
	p.readBuild()
	p.readRun()
	p.checkNames()
	p.checkCommands()
}

// scalar returns the text of a scalar as it is written, without quotes. path names it
// in findings. A null is "" and not ok.
func (p *parser) scalar(e entry, path string) (string, bool) {
	n := resolve(e.value)
	if n == nil || isNull(n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode {
		p.report(e.value, Error, CodeType, nil, "%s is %s; it must be a single value", path, kindOf(n))
		return "", false
	}
	return n.Value, p.tagged(n, path)
}

// tagged reports a tag that is not of YAML's own scalars.
func (p *parser) tagged(n *yaml.Node, path string) bool {
	if n.Style&yaml.TaggedStyle == 0 {
		return true
	}
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!bool":
		return true
	}
	if strings.HasPrefix(n.Tag, "!!") {
		p.report(n, Error, CodeTag, nil, "%s has the tag %s; it must be plain text", path, p.quote(n.Tag))
		return false
	}
	p.report(n, Error, CodeTag, nil, "%s has the tag %s, as CloudFormation's functions do; apprunner.yaml is not a template, so write the value itself", path, p.quote(n.Tag))
	return false
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

func kindOf(n *yaml.Node) string {
	switch {
	case n == nil:
		return "an alias of itself"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	}
	return "a single value"
}

// section reports whether the mapping at a path is there; a value of another kind is
// an error.
func (p *parser) section(path string) bool {
	if p.objects[path] != nil {
		return true
	}
	if e, ok := p.get(path); ok {
		if n := resolve(e.value); n == nil || !isNull(n) {
			p.excused[path] = true
			if fix := p.gluedKey(n, path); fix != nil {
				p.report(e.value, Error, CodeSyntax, fix, "there is no space after the colon of %s", p.quote(strings.SplitN(n.Value, ":", 2)[0]))
				return false
			}
			if key := p.cutOff(n, path); key != "" {
				p.report(e.value, Error, CodeSyntax, nil, "%s is the word %s; is it the key %q, which was cut off or has no colon?", path, p.quote(n.Value), key)
				return false
			}
			p.report(e.value, Error, CodeType, p.asMapping(path, e), "%s is %s; it must be a mapping with the keys %s", path, kindOf(n), list(allowed[path]))
		}
	}
	return false
}

// gluedKey repairs a value that is a key and its value without a space between them.
func (p *parser) gluedKey(n *yaml.Node, path string) *Fix {
	if n == nil || n.Kind != yaml.ScalarNode {
		return nil
	}
	from, _, ok := p.text.scalar(n)
	key, _, found := strings.Cut(n.Value, ":")
	if !ok || !found || !slices.Contains(allowed[path], key) || n.Style != 0 {
		return nil
	}
	at := from + len(key) + 1
	return &Fix{Title: "add a space after the colon", Edits: []Edit{{Start: at, End: at, Text: " "}}}
}

// cutOff returns the key of the mapping at a path that a single word is the beginning
// of; "" for none.
func (p *parser) cutOff(n *yaml.Node, path string) string {
	if n == nil || n.Kind != yaml.ScalarNode || len(n.Value) < 2 {
		return ""
	}
	for _, key := range allowed[path] {
		if strings.HasPrefix(key, n.Value) {
			return key
		}
	}
	return ""
}

func (p *parser) readVersion() {
	e, ok := p.get("version")
	if !ok {
		p.missing("version", p.addKey("", "version: 1.0"), "%s begins with `version: 1.0`", FileName)
		return
	}
	v, ok := p.scalar(e, "version")
	switch {
	case ok && slices.Contains([]string{"1.0", "1"}, v):
	case ok || isNull(e.value):
		p.report(e.value, Error, CodeVersion, p.replaceValue(e, "1.0", "write version: 1.0"), "version is %s; it is the version of the file's format, and the only one is 1.0", p.quote(v))
	}
}

// missing reports a required key that is absent, unless another finding explains it.
func (p *parser) missing(path string, fix *Fix, format string, args ...any) {
	if p.excused[path] {
		return
	}
	where, _ := split(path)
	for w := where; w != ""; w, _ = split(w) {
		if p.excused[w] && p.objects[w] == nil {
			return
		}
	}
	line, column := 1, 1
	for w := where; w != ""; w, _ = split(w) {
		if e, ok := p.get(w); ok && !e.merged {
			line, column = at(e.key)
			break
		}
	}
	if o := p.objects[where]; o != nil && o.node != nil && where != "" {
		line, column = at(o.node)
		if e, ok := p.get(where); ok && !e.merged {
			line, column = at(e.key)
		}
	}
	if e, ok := p.get(path); ok && !e.merged {
		line, column = at(e.key)
	}
	p.add(Finding{Line: line, Column: column, Severity: Error, Code: CodeMissing, Fix: fix, Message: path + " is missing: " + fmt.Sprintf(format, args...)})
}

func (p *parser) readRuntime() {
	e, ok := p.get("runtime")
	name, set := "", false
	if ok {
		name, set = p.scalar(e, "runtime")
	}
	if !set || name == "" {
		if !ok || isNull(e.value) || set {
			p.missing("runtime", p.runtimeFix(), "it names the managed runtime, one of %s; Slipway also has %s", runtimeNames(Runtime.AppRunner), runtimeNames(func(r Runtime) bool { return !r.AppRunner() }))
		}
		return
	}
	if r, ok := RuntimeNamed(name); ok {
		p.useRuntime(e, r)
		return
	}
	p.guess(e, name)
}

// runtimeFix adds a missing runtime when the version tells which it is.
func (p *parser) runtimeFix() *Fix {
	e, ok := p.get("run.runtime-version")
	if !ok {
		return p.runtimeOfCommands()
	}
	n := resolve(e.value)
	if n == nil || n.Kind != yaml.ScalarNode {
		return nil
	}
	g := GuessRuntime(n.Value)
	if !g.Certain || n.Value == "" || g.Version != "" {
		return p.runtimeOfCommands()
	}
	return p.setRuntime(g.Runtime.Name)
}

// setRuntime adds the runtime, or a value to its empty key.
func (p *parser) setRuntime(name string) *Fix {
	if e, ok := p.get("runtime"); ok {
		return p.replaceValue(e, name, "write runtime: "+name)
	}
	return p.addKey("", "runtime: "+name)
}

// programs tell a language by the first word of a command.
var programs = map[string]string{
	"npm": "nodejs", "npx": "nodejs", "node": "nodejs", "yarn": "nodejs", "pnpm": "nodejs",
	"pip": "python", "pip3": "python", "python": "python", "python3": "python", "gunicorn": "python", "uvicorn": "python",
	"mvn": "corretto", "./mvnw": "corretto", "gradle": "corretto", "./gradlew": "corretto", "java": "corretto",
	"dotnet": "dotnet", "go": "go", "composer": "php", "php": "php", "bundle": "ruby", "ruby": "ruby", "rails": "ruby",
}

// runtimeOfCommands adds the newest runtime of the commands' language.
func (p *parser) runtimeOfCommands() *Fix {
	language := p.commandLanguage()
	if language == "" {
		return nil
	}
	return p.setRuntime(newest(language).Name)
}

// commandLanguage returns the language that all commands that tell one have in common;
// "" for none.
func (p *parser) commandLanguage() string {
	language := ""
	add := func(command string) bool {
		word, _, _ := strings.Cut(command, " ")
		l := programs[word]
		if l == "" || l == language {
			return true
		}
		first := language == ""
		language = l
		return first
	}
	same := true
	p.each(func(c command, _ string) { same = add(c.text) && same })
	if e, ok := p.get("run.command"); ok {
		if n := resolve(e.value); n != nil && n.Kind == yaml.ScalarNode {
			same = add(strings.TrimSpace(n.Value)) && same
		}
	}
	if !same {
		return ""
	}
	return language
}

func (p *parser) useRuntime(e entry, r Runtime) {
	p.runtime, p.file.Runtime = r, r.Name
	switch {
	case r.Name == Docker:
		p.report(e.value, Warning, CodeRuntimeBeyond, nil, "App Runner has no runtime %q; Slipway builds the repository's Dockerfile", Docker)
	case !r.AppRunner():
		p.report(e.value, Warning, CodeRuntimeBeyond, nil, "App Runner has no runtime %s; Slipway has. App Runner's are %s", r.Name, namesOf(r.Language, Runtime.AppRunner))
	}
}

// guess handles a name that is no runtime's.
func (p *parser) guess(e entry, name string) {
	g := GuessRuntime(name)
	if g.Runtime.Name != "" && !g.Certain {
		if v, ok := p.get("run.runtime-version"); ok && resolve(v.value) != nil { // "node", with 18 there
			if all := runtimesFor(g.Language, cleanVersion(resolve(v.value).Value)); len(all) == 1 {
				g.Runtime, g.Certain = all[0], true
			}
		}
	}
	if language := p.commandLanguage(); g.Language == "" && versionForm.MatchString(name) && language != "" {
		g = guessVersion(language, name) // "3.11", with pip3 in the commands
	}
	r := g.Runtime
	switch {
	case r.Name == "":
		near := ""
		var all []string
		for _, r := range Runtimes() {
			all = append(all, r.Name)
		}
		var fix *Fix
		if n := nearest(name, all); n != "" {
			near, fix = "; did you mean "+n+"?", p.replaceValue(e, n, "write "+n)
			p.runtime, _ = RuntimeNamed(n)
		}
		p.report(e.value, Error, CodeRuntime, fix, "there is no runtime %s%s The runtimes are %s; Slipway also has %s", p.quote(name), orDot(near), runtimeNames(Runtime.AppRunner), runtimeNames(func(r Runtime) bool { return !r.AppRunner() }))
	case !g.Certain:
		p.runtime = r
		p.report(e.value, Error, CodeRuntime, p.runtimeAndVersion(e, g), "there is no runtime %s: a runtime's name has its version. For %s there are %s", p.quote(name), languageTitle(g.Language), namesOf(r.Language, every))
	default:
		p.runtime, p.file.Runtime = r, r.Name
		if g.Version != "" && p.file.RuntimeVersion == "" {
			if _, ok := p.get("run.runtime-version"); !ok {
				p.file.RuntimeVersion = g.Version
			}
		}
		beyond := ""
		if !r.AppRunner() {
			beyond = ", which App Runner doesn't have"
		}
		p.report(e.value, Warning, CodeRuntimeName, p.runtimeAndVersion(e, g), "the runtime %s is called %s%s; App Runner refuses any other spelling", p.quote(name), r.Name, beyond)
	}
}

func orDot(s string) string {
	if s == "" {
		return "."
	}
	return s
}

func languageTitle(language string) string {
	switch language {
	case "python":
		return "Python"
	case "nodejs":
		return "Node.js"
	case "corretto":
		return "Java"
	case "dotnet":
		return ".NET"
	case "php":
		return "PHP"
	case "ruby":
		return "Ruby"
	}
	return "Go"
}

// runtimeAndVersion writes a runtime's name, and the version that the former name held
// beside it.
func (p *parser) runtimeAndVersion(e entry, g Guess) *Fix {
	fix := p.replaceValue(e, g.Runtime.Name, "write "+g.Runtime.Name)
	if _, ok := p.get("run.runtime-version"); fix == nil || g.Version == "" || ok {
		return fix
	}
	add := p.addKey("run", "runtime-version: "+quoted(g.Version))
	if add == nil {
		return nil
	}
	fix.Edits = append(fix.Edits, add.Edits...)
	fix.Title += " and lock the version " + g.Version
	return sortEdits(fix)
}

func (p *parser) readBuild() {
	docker := p.runtime.Name == Docker
	p.section("build")
	p.section("build.commands")
	for _, phase := range []struct {
		name string
		to   *[]string
	}{{"pre-build", &p.file.PreBuild}, {"build", &p.file.Build}, {"post-build", &p.file.PostBuild}} {
		path := "build.commands." + phase.name
		e, ok := p.get(path)
		if ok {
			*phase.to = p.commands(e, path)
		}
		if phase.name == "build" && !docker && (!ok || isNull(e.value)) {
			p.missing(path, p.addBuild(), "it is the list of commands that build the service; App Runner requires it even when there is nothing to build")
		}
		if docker && ok && len(*phase.to) > 0 {
			p.report(e.key, Warning, CodeUnused, nil, "%s has no effect with `runtime: docker`: the Dockerfile builds the image", path)
		}
	}
	if e, ok := p.get("build.env"); ok {
		p.file.BuildEnv = p.variables(e, "build.env", "value")
	}
}

func (p *parser) readRun() {
	docker := p.runtime.Name == Docker
	p.section("run")
	p.section("run.network")
	if e, ok := p.get("run.pre-run"); ok {
		p.file.PreRun = p.commands(e, "run.pre-run")
		p.checkPreRun(e)
	}
	e, ok := p.get("run.command")
	if ok {
		p.file.Command = p.startCommand(e)
	}
	if p.file.Command == "" && !docker {
		if n := resolve(e.value); !ok || n != nil && n.Kind == yaml.ScalarNode {
			p.missing("run.command", nil, "it is the command that starts the service, such as `command: %s`", exampleCommand(p.runtime.Language))
		}
	}
	p.readVersionLock()
	p.readPort()
	if e, ok := p.get("run.env"); ok {
		p.file.Env = p.withoutPort(e, p.variables(e, "run.env", "value"))
	}
	if e, ok := p.get("run.secrets"); ok {
		p.file.Secrets = p.variables(e, "run.secrets", "value-from")
	}
}

func exampleCommand(language string) string {
	switch language {
	case "python":
		return "python3 app.py"
	case "corretto":
		return "java -jar target/app.jar"
	case "dotnet":
		return "dotnet app.dll"
	case "go":
		return "./app"
	case "php":
		return "sh start.sh"
	case "ruby":
		return "bundle exec ruby app.rb"
	}
	return "node server.js"
}

// checkPreRun reports a pre-run that its runtime has no place for.
func (p *parser) checkPreRun(e entry) {
	if len(p.file.PreRun) == 0 || p.runtime.Name == "" || p.runtime.Build == RevisedBuild {
		return
	}
	if p.runtime.Build == DockerfileBuild {
		p.report(e.key, Warning, CodePreRun, nil, "run.pre-run has no effect with `runtime: docker`: put the commands into the Dockerfile")
		return
	}
	p.report(e.key, Warning, CodePreRun, p.removePreRun(e), "run.pre-run is only for runtimes with App Runner's revised build (python311, nodejs18, nodejs22 and newer); with %s, whose build commands run again in the image that is deployed, put these commands into build.commands.build", p.runtime.Name)
}

// startCommand returns run.command. A list is joined.
func (p *parser) startCommand(e entry) string {
	n := resolve(e.value)
	if n != nil && n.Kind == yaml.SequenceNode {
		command := p.joined(n)
		p.report(e.value, Error, CodeType, p.replaceWhole(e, command, "write it as one line"), "run.command is a list; it must be one command line, such as `command: %s`", p.short(command, exampleCommand(p.runtime.Language)))
		return ""
	}
	s, ok := p.scalar(e, "run.command")
	if !ok {
		return ""
	}
	if bracketed.MatchString(s) {
		p.report(e.value, Warning, CodeCommand, nil, "run.command is in the form of a Dockerfile's CMD; write it as a command line")
	}
	return strings.TrimSpace(s)
}

var bracketed = regexp.MustCompile(`^\[\s*"[^"]*"\s*(?:,\s*"[^"]*"\s*)*\]$`)

// short returns a command for a message, or another when it is long or secret.
func (p *parser) short(command, other string) string {
	if command == "" || len(command) > 60 || strings.ContainsAny(command, "\n`") {
		return other
	}
	return p.redactor.Redact(command)
}

var simpleWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./$*-]+$`)

// joined makes one command line of a list: of the words of one command, or, when an
// item has several words itself, of several commands; "" when that can't be told.
func (p *parser) joined(n *yaml.Node) string {
	var words []string
	several := false
	for _, item := range n.Content[:min(len(n.Content), 100)] {
		item = resolve(item)
		if item == nil || item.Kind != yaml.ScalarNode || strings.ContainsAny(item.Value, "\n'") || item.Value == "" {
			return ""
		}
		several = several || strings.Contains(item.Value, " ")
		words = append(words, item.Value)
	}
	switch {
	case len(words) == 1:
		return words[0]
	case several && n.Style&yaml.FlowStyle == 0:
		return strings.Join(words, " && ")
	}
	for i, w := range words {
		if !simpleWord.MatchString(w) {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

var (
	versionPrefix = regexp.MustCompile(`(?i)^\s*(?:[a-z.]*[a-z][-_ ]?|[~^=v]+\s*|>=?\s*)+`)
	versionForm   = regexp.MustCompile(`^[0-9]+(?:\.[0-9]+){0,4}$`)
)

// cleanVersion takes what people add to a version off it: "v18.x" is "18".
func cleanVersion(v string) string {
	v = strings.TrimSpace(versionPrefix.ReplaceAllString(v, ""))
	for _, suffix := range []string{".x", ".*", ".X"} {
		for strings.HasSuffix(v, suffix) {
			v = strings.TrimSuffix(v, suffix)
		}
	}
	if !versionForm.MatchString(v) {
		return ""
	}
	return v
}

func (p *parser) readVersionLock() {
	e, ok := p.get("run.runtime-version")
	if !ok {
		return
	}
	v, ok := p.scalar(e, "run.runtime-version")
	if !ok {
		return
	}
	r := p.runtime
	if r.Name == Docker {
		p.report(e.key, Warning, CodeUnused, p.removeEntry(e, p.node("run"), "remove it"), "run.runtime-version has no effect with `runtime: docker`: the Dockerfile names its base image")
		return
	}
	form, has := Runtime{Parts: 5}.Accepts(v)
	if r.Name != "" {
		form, has = r.Accepts(v)
	}
	switch {
	case !form:
		p.versionForm(e, v)
	case r.Name == "":
		p.file.RuntimeVersion = v
	case !has:
		p.otherVersion(e, v)
	default:
		p.file.RuntimeVersion = v
		p.number(e.value, "run.runtime-version")
		if _, minor, found := strings.Cut(v, "."); r.Name == "go1" && found && !versionIn(v, goOfAppRunner) {
			p.report(e.value, Warning, CodeRuntimeBeyond, nil, "App Runner's go1 is Go %s only; Slipway has Go 1.%s", goOfAppRunner, p.redactor.Redact(minor))
		}
	}
}

// anyVersion are words for the newest version.
var anyVersion = []string{"latest", "lts", "newest", "stable", "current", "*", "x"}

// versionForm reports a runtime-version that is not in the form of one.
func (p *parser) versionForm(e entry, v string) {
	clean := cleanVersion(v)
	if _, has := p.runtime.Accepts(clean); clean != "" && has {
		p.file.RuntimeVersion = clean
		p.report(e.value, Warning, CodeRuntimeVersion, p.replaceValue(e, quoted(clean), "write "+clean), "run.runtime-version is %s; write only the number, %s: a version is the newest within what is given", p.quote(v), clean)
		return
	}
	if slices.Contains(anyVersion, strings.ToLower(v)) {
		p.report(e.value, Warning, CodeRuntimeVersion, p.removeEntry(e, p.node("run"), "remove it, for the newest version"), "run.runtime-version is %s; App Runner takes only a number. The newest is used, as without run.runtime-version", p.quote(v))
		return
	}
	example := "3.11"
	if len(p.runtime.Lines) > 0 {
		example = p.runtime.Lines[len(p.runtime.Lines)-1]
	}
	p.report(e.value, Error, CodeRuntimeVersion, p.removeEntry(e, p.node("run"), "remove it, for the newest version"), "run.runtime-version is %s; it must be a version such as %s or be absent, for the newest", p.quote(v), example)
}

// otherVersion reports a version that the runtime does not have.
func (p *parser) otherVersion(e entry, v string) {
	r := p.runtime
	others := runtimesFor(r.Language, v)
	if len(others) == 0 {
		p.report(e.value, Error, CodeRuntimeVersion, p.removeEntry(e, p.node("run"), "remove it, for the newest version"), "%s has no version %s; its versions are those of %s. Without run.runtime-version it is the newest", r.Name, p.quote(v), list(r.Lines))
		return
	}
	other := others[len(others)-1]
	var fix *Fix
	if runtime, ok := p.get("runtime"); ok && p.file.Runtime == r.Name {
		fix = p.replaceValue(runtime, other.Name, "write runtime: "+other.Name)
	}
	p.report(e.value, Error, CodeRuntimeVersion, fix, "the version %s is of the runtime %s, not of %s (%s); write runtime: %s, or remove run.runtime-version", p.quote(v), other.Name, r.Name, r.Title, other.Name)
}

func (p *parser) readPort() {
	if e, ok := p.get("run.network.port"); ok {
		s, set := p.scalar(e, "run.network.port")
		switch {
		case !set:
		case !validPort(s):
			fix := (*Fix)(nil)
			if m := portForm.FindStringSubmatch(s); m != nil && validPort(m[1]) {
				fix = p.replaceValue(e, m[1], "write "+m[1])
			}
			p.report(e.value, Error, CodePort, fix, "run.network.port is %s; it must be a number from 1 to 65535", p.quote(s))
		default:
			p.file.Port, _ = strconv.Atoi(s)
		}
	}
	e, ok := p.get("run.network.env")
	if !ok {
		return
	}
	if n := resolve(e.value); n != nil && n.Kind != yaml.ScalarNode {
		p.variablesInNetwork(e)
		return
	}
	s, set := p.scalar(e, "run.network.env")
	switch {
	case !set:
	case s == "PORT":
		p.report(e.value, Warning, CodePortVariable, p.removeEntry(e, p.node("run.network"), "remove it"), "run.network.env is PORT, which always holds the port; run.network.env is for a second variable with another name")
	case !variableName.MatchString(s):
		p.report(e.value, Error, CodePortVariable, nil, "run.network.env is %s; it must be the name of a variable that is to hold the port, such as APP_PORT", p.quote(s))
	default:
		p.file.PortVariable = s
	}
}

// validPort reports whether s is the number of a TCP port in decimal.
func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 65536 && s == strconv.Itoa(n)
}

var (
	portForm     = regexp.MustCompile(`^\s*(?:[0-9]+:|tcp:|:)?0*([1-9][0-9]{0,4})(?:/tcp|\.0)?\s*$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

// variablesInNetwork handles variables at run.network.env, one level too deep.
func (p *parser) variablesInNetwork(e entry) {
	_, there := p.get("run.env")
	var fix *Fix
	if !there {
		fix = p.move("run.network", e, "run.env")
	}
	p.report(e.key, Error, CodeMisplacedKey, fix, "run.network.env is %s of variables; variables belong at run.env, and run.network.env is the name of one variable that is to hold the port", kindOf(resolve(e.value)))
	if !there && p.objects["run"] != nil {
		e.merged = true
		p.objects["run"].entries["env"] = e
	}
}

var arnPlaceholder = regexp.MustCompile(`<[A-Za-z0-9_ -]+>|\$\{?[A-Za-z0-9_:.]+\}?|\b(?:YOUR|your)[-_A-Za-z0-9]*|\b(?:[A-Z]+[-_])*(?:ACCOUNT|REGION)(?:[-_][A-Z]+)*\b|\b(?:account|region)[-_]?(?:id)?\b`)

// secretReference reports a value-from that App Runner can't have.
func (p *parser) secretReference(v variable) {
	credential := p.isCredential(v.node)
	if _, err := slipway.ParseSecretReference(v.Value); err == nil && !credential {
		return
	}
	if placeholder := arnPlaceholder.FindString(v.Value); placeholder != "" && !credential && strings.HasPrefix(v.Value, "arn:") {
		p.report(v.node, Error, CodeSecret, nil, "value-from of %s is an ARN with the placeholder %s, which nothing replaces: write the ARN of your secret, as `slipway secret put` prints it", p.quote(v.Name), p.quote(placeholder))
		return
	}
	for _, colons := range []string{"::", ":"} { // a JSON key, or a key and a stage
		if _, err := slipway.ParseSecretReference(v.Value + colons); err == nil && !credential && strings.HasPrefix(v.Value, "arn:") {
			fix := p.replaceValue(entry{value: v.node, merged: v.item == nil}, quoted(v.Value+colons), "end the ARN with "+colons)
			p.report(v.node, Error, CodeSecret, fix, "value-from of %s names a JSON key of the secret without the colons that follow it (:KEY:STAGE:VERSION, of which the last two may be empty): end the ARN with %q", p.quote(v.Name), colons)
			return
		}
	}
	p.report(v.node, Error, CodeSecret, nil, "value-from of %s is no reference to a secret: it must be the ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME) or the name or ARN of a parameter; never the secret itself", p.quote(v.Name))
}
