package config

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// command is one item of a list of commands, with its place.
type command struct {
	text string
	node *yaml.Node
	path string
	list entry
}

// commands reads a list of commands.
func (p *parser) commands(e entry, path string) []string {
	n := resolve(e.value)
	switch {
	case n == nil || isNull(n):
		return nil
	case n.Kind == yaml.ScalarNode:
		s, ok := p.scalar(e, path)
		if !ok || strings.TrimSpace(s) == "" {
			return nil
		}
		p.report(e.value, Error, CodeType, p.scalarToList(e, ""), "%s is a single value; it must be a list of commands, each with a dash", path)
		return []string{strings.TrimSpace(s)}
	case n.Kind == yaml.MappingNode:
		p.report(e.value, Error, CodeType, nil, "%s is a mapping; it must be a list of commands, each with a dash", path)
		return nil
	}
	var all []string
	for _, item := range n.Content[:min(len(n.Content), maxEntries)] {
		if s, ok := p.command(item, n, path, e); ok {
			all = append(all, s)
		}
	}
	return all
}

// command reads one item of a list of commands.
func (p *parser) command(item, in *yaml.Node, path string, e entry) (string, bool) {
	n := resolve(item)
	switch {
	case n == nil:
		return "", false
	case isNull(n):
		where := item
		if e.merged || item.Kind == yaml.AliasNode {
			where = nil
		}
		p.report(item, Error, CodeType, p.removeItem(where, in, "remove it"), "an item of %s is empty; each item is a command", path)
		return "", false
	case n.Kind == yaml.MappingNode:
		p.report(item, Error, CodeType, p.quoteItem(item, n), "an item of %s is a mapping, since it has a colon with a space after it; put the whole command in quotes", path)
		return "", false
	case n.Kind == yaml.SequenceNode:
		p.report(item, Error, CodeType, nil, "an item of %s is a list; each item is a command", path)
		return "", false
	}
	if !p.tagged(n, "an item of "+path) {
		return "", false
	}
	s := strings.TrimSpace(n.Value)
	if s == "" {
		p.report(item, Error, CodeType, p.removeItem(item, in, "remove it"), "an item of %s is empty; each item is a command", path)
		return "", false
	}
	return s, true
}

// quoteItem puts an item that was meant as text in quotes.
func (p *parser) quoteItem(item, n *yaml.Node) *Fix {
	if item != n || !isBlock(n, yaml.MappingNode) || len(n.Content) != 2 || n.Content[0].Anchor != "" {
		return nil
	}
	line := item.Line
	from, end := p.text.offset(item.Line, item.Column), p.text.end[line-1]
	raw := strings.TrimRight(string(p.text.src[from:end]), " ")
	indent, _ := p.text.indent(line)
	if strings.Contains(raw, " #") || p.text.block(line, indent, false) != line {
		return nil
	}
	return &Fix{Title: "put it in quotes", Edits: []Edit{{Start: from, End: end, Text: "'" + strings.ReplaceAll(raw, "'", "''") + "'"}}}
}

var simpleCommand = regexp.MustCompile(`^[A-Za-z./_$][A-Za-z0-9 @%+=,./$_|;()<>*?'"-]*(?: && [A-Za-z0-9 @%+=,./$_|;()<>*?'"-]+)*$`)

// each calls f for each command of the build that has a place.
func (p *parser) each(f func(c command, next string)) {
	for _, path := range []string{"build.commands.pre-build", "build.commands.build", "build.commands.post-build", "run.pre-run"} {
		e, ok := p.get(path)
		if !ok {
			continue
		}
		n := resolve(e.value)
		if n == nil || n.Kind != yaml.SequenceNode {
			continue
		}
		for i, item := range n.Content[:min(len(n.Content), maxEntries)] {
			c := resolve(item)
			if c == nil || c.Kind != yaml.ScalarNode || isNull(c) {
				continue
			}
			next := ""
			if i+1 < len(n.Content) {
				if after := resolve(n.Content[i+1]); after != nil && after.Kind == yaml.ScalarNode {
					next = strings.TrimSpace(after.Value)
				}
			}
			f(command{text: strings.TrimSpace(c.Value), node: item, path: path, list: e}, next)
		}
	}
}

// checkCommands warns of commands that do not do what they seem to.
func (p *parser) checkCommands() {
	if p.runtime.Name == Docker {
		return
	}
	python := p.runtime.Language == "python" && p.runtime.Build == RevisedBuild
	p.each(func(c command, next string) {
		if what := lostState(c.text); what != "" && next != "" {
			p.report(c.node, Warning, CodeCommand, nil, "%s, and each command has a shell of its own: it has no effect on the next one. Join them: `%s && ...`", what, p.short(c.text, "..."))
		}
		if python {
			p.pythonName(c)
		}
		if p.runtime.Build == RevisedBuild {
			p.dropped(c)
		}
	})
	if python && barePython.MatchString(p.file.Command) && !strings.Contains(p.file.Command, "venv") {
		e, _ := p.get("run.command")
		p.report(e.value, Warning, CodeCommand, p.replaceIn(e.value, "python", "python3"), "run.command begins with python; in App Runner's %s only python3 is the right version", p.runtime.Name)
	}
}

var (
	lostCD     = regexp.MustCompile(`^(?:cd|pushd)(?:[ \t]+[^&|;\s]+)?$`)
	lostExport = regexp.MustCompile(`^(?:export\s+[^&|;\n]+|[A-Za-z_][A-Za-z0-9_]*=[^&|;\s]*)$`)
	lostSource = regexp.MustCompile(`^(?:source|\.)\s+[^&|;\n]+$`)
	lostOther  = regexp.MustCompile(`^(?:nvm use|conda activate|set -[a-z]+|alias )[^&|;\n]*$`)
	barePython = regexp.MustCompile(`^python\s`)
)

// lostState says what a command changes only in its own shell; "" for nothing.
func lostState(c string) string {
	switch {
	case lostCD.MatchString(c):
		return "this changes the directory of its own shell only"
	case lostExport.MatchString(c):
		return "this sets a variable of its own shell only"
	case lostSource.MatchString(c):
		return "this changes the environment of its own shell only"
	case lostOther.MatchString(c):
		return "this changes its own shell only"
	}
	return ""
}

var barePip = regexp.MustCompile(`^(pip|python)\s`)

// pythonName warns of pip and python, which are missing or another version.
func (p *parser) pythonName(c command) {
	m := barePip.FindStringSubmatch(c.text)
	if m == nil || strings.Contains(c.text, "activate") {
		return
	}
	p.report(c.node, Warning, CodeCommand, p.replaceIn(c.node, m[1], m[1]+"3"), "%s is missing or of another version in App Runner's %s; write %s3", m[1], p.runtime.Name, m[1])
}

// replaceIn replaces the first word of a scalar on one line.
func (p *parser) replaceIn(n *yaml.Node, word, with string) *Fix {
	from, to, ok := p.text.scalar(n)
	if !ok {
		return nil
	}
	raw := string(p.text.src[from:to])
	at := strings.Index(raw, word)
	if at < 0 || at > 1 {
		return nil
	}
	return &Fix{Title: "write " + with, Edits: []Edit{{Start: from + at, End: from + at + len(word), Text: with}}}
}

// install is a kind of command that puts files outside /app, which the revised build
// copies to the image that runs and drops all else.
type install struct {
	form *regexp.Regexp // of one simple command; the rest are its arguments
	kept *regexp.Regexp // what makes the files stay after all; nil for nothing
	what string
}

var installs = []install{
	{
		regexp.MustCompile(`^(?:sudo\s+)?(?:python3?(?:\.[0-9]+)?\s+-m\s+)?pip3?(?:\.[0-9]+)?\s+(?:-[-\w=]+\s+)*install\b`),
		regexp.MustCompile(`\s-t(?:\s|[./\w])|--target|--prefix|--root\b`),
		"packages go to the build image's site-packages",
	},
	{
		regexp.MustCompile(`^(?:poetry\s+install|pipenv\s+(?:install|sync)|uv\s+pip\s+install)\b`),
		nil,
		"packages go outside /app",
	},
	{
		regexp.MustCompile(`^(?:sudo\s+)?(?:(?:npm|pnpm)\s+(?:(?:-g|--global)\s+)?(?:install|i|add)\b|yarn\s+global\s+add\b)`),
		regexp.MustCompile(`--prefix`),
		"the program goes outside /app",
	},
	{
		regexp.MustCompile(`^(?:sudo\s+)?(?:(?:yum|dnf|microdnf|apt-get|apt|apk)\s+(?:-\S+\s+)*(?:install|add|groupinstall)\b|amazon-linux-extras\s+install\b)`),
		nil,
		"system packages go outside /app",
	},
}

var (
	globally = regexp.MustCompile(`(?:^|\s)(?:-g|--global|--location=global|global)(?:\s|$)`)
	simpleBy = regexp.MustCompile(`\s*(?:&&|\|\||[;|\n])\s*`)
	inVenv   = regexp.MustCompile(`venv|virtualenv|activate|in-project\s+true`)
	// buildTools are packages that only builds need, unless the start command has them.
	buildTools = regexp.MustCompile(`^(?:npm|yarn|pnpm|typescript|tsc|webpack|webpack-cli|vite|gulp|gulp-cli|grunt|grunt-cli|turbo|nx|lerna|node-gyp|rimraf|@angular/cli|@nestjs/cli|@vue/cli|pip3?|setuptools|wheel|build|poetry|poetry-core|pipenv|uv|virtualenv|cython|pytest|tox|black|flake8|ruff|mypy|gcc|gcc-c\+\+|g\+\+|make|cmake|git|tar|gzip|unzip|zip|xz|wget|curl|which|findutils|autoconf|automake|libtool|patch|build-essential|pkg-config|.*-dev(?:el)?|.*Development.*|Tools"?)(?:[=@<>~].*)?$`)
)

// dropped warns of installations that the revised build drops, unless pre-run repeats
// them or nothing but the build needs them.
func (p *parser) dropped(c command) {
	if c.path != "build.commands.build" && c.path != "build.commands.pre-build" {
		return
	}
	if slices.Contains(p.file.PreRun, c.text) || p.inProject(c.text) {
		return
	}
	for _, simple := range simpleBy.Split(c.text, -1) {
		for _, in := range installs {
			if p.lost(in, simple) {
				p.report(c.node, Warning, CodeDropped, p.addPreRun(c), "what this installs is not in the image that runs: %s, and the build of %s keeps only /app. Repeat it in run.pre-run%s", in.what, p.runtime.Name, insideApp(p.runtime.Language))
				return
			}
		}
	}
}

// lost reports whether a simple command installs something that the running service
// lacks.
func (p *parser) lost(in install, simple string) bool {
	verb := in.form.FindString(simple)
	if verb == "" || in.kept != nil && in.kept.MatchString(simple) {
		return false
	}
	node := strings.Contains(verb, "npm") || strings.Contains(verb, "yarn")
	if node && !globally.MatchString(simple) {
		return false // to node_modules
	}
	if strings.HasPrefix(verb, "uv") && !strings.Contains(simple, "--system") {
		return false // to .venv
	}
	for _, repeated := range p.file.PreRun {
		if slices.ContainsFunc(simpleBy.Split(repeated, -1), in.form.MatchString) {
			return false // the author knows, and installs what is needed
		}
	}
	needed := false
	packages := 0
	for word := range strings.FieldsSeq(simple[len(verb):]) {
		if strings.HasPrefix(word, "-") {
			needed = needed || word == "-r" || strings.HasPrefix(word, "--requirement")
			continue
		}
		packages++
		name, _, _ := strings.Cut(strings.Trim(word, `"'`), "@")
		needed = needed || !buildTools.MatchString(word) || name != "" && strings.Contains(" "+p.file.Command+" ", " "+name+" ")
	}
	return needed || packages == 0
}

// inProject reports whether a virtual environment or variables of the build make
// installations go below /app.
func (p *parser) inProject(c string) bool {
	if inVenv.MatchString(c) {
		return true
	}
	for _, list := range [][]string{p.file.PreBuild, p.file.Build} {
		for _, other := range list {
			if strings.Contains(other, "virtualenvs.in-project true") || strings.Contains(other, "PIPENV_VENV_IN_PROJECT") {
				return true
			}
		}
	}
	userBase := strings.Contains(c, "PYTHONUSERBASE=")
	for _, v := range p.file.BuildEnv {
		switch {
		case v.Name == "PIP_TARGET", v.Name == "PIP_PREFIX", v.Name == "VIRTUAL_ENV",
			v.Name == "PIPENV_VENV_IN_PROJECT", v.Name == "POETRY_VIRTUALENVS_IN_PROJECT",
			strings.EqualFold(v.Name, "npm_config_prefix"):
			return true
		}
		userBase = userBase || v.Name == "PYTHONUSERBASE"
	}
	return userBase && strings.Contains(c, "--user")
}

func insideApp(language string) string {
	if language == "python" {
		return ", or install below /app: `pip3 install --target lib ...` with PYTHONPATH=/app/lib in run.env, or a virtual environment"
	}
	return ""
}

// addPreRun repeats a command in run.pre-run.
func (p *parser) addPreRun(c command) *Fix {
	from, to, ok := p.text.scalar(c.node)
	if !ok || c.list.merged {
		return nil
	}
	raw := string(p.text.src[from:to])
	if isBlock(c.list.value, yaml.SequenceNode) && c.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && strings.Contains(raw, ": ") {
		return nil
	}
	if c.node.Kind != yaml.ScalarNode || c.node.Anchor != "" {
		return nil
	}
	const title = "repeat it in run.pre-run"
	e, there := p.get("run.pre-run")
	switch {
	case !there:
		if fix := p.addKey("run", "pre-run:", "  - "+raw); fix != nil {
			fix.Title = title
			return fix
		}
	case e.merged:
	case isBlock(e.value, yaml.SequenceNode) && len(e.value.Content) > 0:
		indent, ok := p.text.indent(e.key.Line)
		if !ok || indent != e.key.Column-1 {
			return nil
		}
		last := p.text.block(e.key.Line, indent, true)
		return &Fix{Title: title, Edits: []Edit{p.text.insertAfter(last, strings.Repeat(" ", e.value.Column-1)+"- "+raw+p.text.nl)}}
	}
	return nil
}
