package detect

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// packageJSON is what detection reads of a package.json. Members of other types than
// they should be count as absent, as npm sees them.
type packageJSON struct {
	Name            loose[string]            `json:"name"`
	Main            loose[string]            `json:"main"`
	Private         loose[bool]              `json:"private"`
	Files           loose[[]any]             `json:"files"`
	Exports         loose[any]               `json:"exports"`
	PackageManager  loose[string]            `json:"packageManager"`
	Engines         loose[map[string]string] `json:"engines"`
	Volta           loose[map[string]string] `json:"volta"`
	Scripts         loose[map[string]string] `json:"scripts"`
	Dependencies    loose[map[string]string] `json:"dependencies"`
	DevDependencies loose[map[string]string] `json:"devDependencies"`
	Workspaces      loose[workspaces]        `json:"workspaces"`
}

// loose is a member that is ignored when it is of another type.
type loose[T any] struct{ v T }

// UnmarshalJSON never fails for valid JSON.
func (l *loose[T]) UnmarshalJSON(data []byte) error {
	var v T
	if json.Unmarshal(data, &v) == nil {
		l.v = v
	}
	return nil
}

// workspaces are patterns, as a list or below "packages".
type workspaces []string

// UnmarshalJSON accepts both forms.
func (w *workspaces) UnmarshalJSON(data []byte) error {
	var list []string
	if err := json.Unmarshal(data, &list); err == nil {
		*w = list
		return nil
	}
	var object struct {
		Packages []string `json:"packages"`
	}
	err := json.Unmarshal(data, &object)
	*w = object.Packages
	return err
}

func (p packageJSON) depends(name string) bool {
	_, a := p.Dependencies.v[name]
	_, b := p.DevDependencies.v[name]
	return a || b
}

func (p packageJSON) script(name string) string { return strings.TrimSpace(p.Scripts.v[name]) }

// nodeFramework is a framework by the package that shows it.
type nodeFramework struct {
	depends, name string
	server        bool   // it starts a server of its own, or the package's start script does
	start         string // start command when there is no start script
	static        string // directory of the site that its build makes; "" for a server
}

// nodeFrameworks come in order: what builds on another one is before it.
var nodeFrameworks = []nodeFramework{
	{"next", "Next.js", true, "node_modules/.bin/next start -p 8080", ""},
	{"nuxt", "Nuxt", true, "node .output/server/index.mjs", ""},
	{"@remix-run/serve", "Remix", true, "node_modules/.bin/remix-serve build/server/index.js", ""},
	{"@react-router/serve", "React Router", true, "node_modules/.bin/react-router-serve build/server/index.js", ""},
	{"@sveltejs/adapter-node", "SvelteKit", true, "node build", ""},
	{"@sveltejs/adapter-static", "SvelteKit (static)", false, "", "build"},
	{"@astrojs/node", "Astro", true, "node dist/server/entry.mjs", ""},
	{"astro", "Astro (static)", false, "", "dist"},
	{"@sveltejs/kit", "SvelteKit", true, "node build", ""},
	{"@nestjs/core", "NestJS", true, "node dist/main.js", ""},
	{"@adonisjs/core", "AdonisJS", true, "node build/bin/server.js", ""},
	{"@strapi/strapi", "Strapi", true, "node_modules/.bin/strapi start", ""},
	{"gatsby", "Gatsby", false, "", "public"},
	{"@docusaurus/core", "Docusaurus", false, "", "build"},
	{"vitepress", "VitePress", false, "", ".vitepress/dist"},
	{"@11ty/eleventy", "Eleventy", false, "", "_site"},
	{"fastify", "Fastify", true, "", ""},
	{"express", "Express", true, "", ""},
	{"koa", "Koa", true, "", ""},
	{"@hapi/hapi", "hapi", true, "", ""},
	{"hono", "Hono", true, "", ""},
	{"expo", "Expo", false, "", "dist"},
	{"@angular/core", "Angular", false, "", "dist"},
	{"react-scripts", "Create React App", false, "", "build"},
	{"@vue/cli-service", "Vue CLI", false, "", "dist"},
	{"vite", "Vite", false, "", "dist"},
	{"parcel", "Parcel", false, "", "dist"},
}

func (p packageJSON) framework() (nodeFramework, bool) {
	for _, f := range nodeFrameworks {
		if p.depends(f.depends) {
			return f, true
		}
	}
	return nodeFramework{}, false
}

// nodeEntries are file names of servers when package.json names none.
var nodeEntries = []string{"server.js", "app.js", "index.js", "main.js", "server.mjs", "index.mjs", "src/server.js", "src/index.js", "src/app.js", "src/main.js"}

// startable returns what shows that a package has a program to start; "" for none.
func (s *scan) startable(dir string, p packageJSON) string {
	if start := p.script("start"); start != "" {
		return path.Join(dir, "package.json") + " has scripts.start"
	}
	if f, ok := p.framework(); ok && (f.server || f.static != "" && p.script("build") != "") {
		return "it depends on " + f.depends
	}
	if entry := s.nodeEntry(dir, p); entry != "" {
		return entry
	}
	if name := p.serverScript(); name != "" {
		return path.Join(dir, "package.json") + " has scripts." + name
	}
	return ""
}

// nodeEntry returns the file that node starts, as a path below dir.
func (s *scan) nodeEntry(dir string, p packageJSON) string {
	if main := cleanPath(p.Main.v); main != "" && s.has(path.Join(dir, main)) && s.nodeServes(path.Join(dir, main)) {
		return main
	}
	for _, e := range nodeEntries {
		if s.has(path.Join(dir, e)) && s.nodeServes(path.Join(dir, e)) {
			return e
		}
	}
	return s.compiledEntry(dir, p)
}

var nodeListen = regexp.MustCompile(`\.listen\(|createServer\(|\bserve\(`)

func (s *scan) nodeServes(name string) bool { return nodeListen.Match(s.read(name)) }

func seeNode(s *scan) (manifest, program string) {
	var p packageJSON
	if !s.json("package.json", &p) {
		if s.has("server.js") && s.nodeServes("server.js") {
			return "server.js", "server.js"
		}
		return "", ""
	}
	if len(s.workspacePatterns(p)) > 0 {
		return "package.json", "package.json has workspaces"
	}
	program = s.startable(".", p)
	if f, ok := p.framework(); ok && f.static != "" && program != "" {
		start := p.script("start")
		if start == "" || p.developmentServer(start) {
			return "package.json", onlyAssets
		}
	}
	return "package.json", program
}

// nodePlan is the state of Node.js's rules.
type nodePlan struct {
	*scan
	root packageJSON // of the root, which installs
	app  packageJSON // of the package that starts: the root's, or a workspace's
	dir  string      // of that package
}

func (s *scan) planNode() error {
	n := &nodePlan{scan: s, dir: "."}
	s.json("package.json", &n.root)
	n.app = n.root
	n.version()
	if err := n.workspace(); err != nil {
		return err
	}
	if err := n.install(); err != nil {
		return err
	}
	f, ok := n.app.framework()
	if ok {
		f = n.onlySite(f)
		s.Framework = f.name
		s.why("%s depends on %s -> %s", path.Join(n.dir, "package.json"), f.depends, f.name)
		f = n.refine(f)
		s.Framework = f.name
	}
	n.linkManagers()
	n.build()
	if f.static != "" && n.app.script("start") == "" || n.devServer(f) {
		return n.site(f)
	}
	if err := n.startCommand(f); err != nil {
		return err
	}
	s.setEnv("NODE_ENV", "production")
	if f.name == "Astro" || f.name == "AdonisJS" {
		s.setEnv("HOST", "0.0.0.0")
		s.why("%s listens on localhost unless HOST says otherwise -> HOST", f.name)
	}
	return nil
}

// refine corrects what the dependencies don't tell.
func (n *nodePlan) refine(f nodeFramework) nodeFramework {
	config := ""
	for _, name := range []string{"next.config.js", "next.config.mjs", "next.config.ts"} {
		config += n.text(path.Join(n.dir, name))
	}
	switch {
	case f.depends == "next" && regexp.MustCompile(`output:\s*['"]export['"]`).MatchString(config):
		n.why("the configuration of Next.js exports a static site")
		out := "out"
		if m := nextDist.FindStringSubmatch(config); m != nil {
			out = cleanPath(m[1])
		}
		return nodeFramework{f.depends, "Next.js (static)", false, "", out}
	case f.depends == "next" && regexp.MustCompile(`output:\s*['"]standalone['"]`).MatchString(config):
		n.warn("The standalone output of Next.js is not used: the service starts `next start` with the installed packages.")
	case f.depends == "@sveltejs/kit":
		n.warn("SvelteKit needs @sveltejs/adapter-node to be started by node: add it to the devDependencies and to svelte.config.js.")
	}
	return f
}

var nextDist = regexp.MustCompile(`distDir:\s*['"]([A-Za-z0-9_./-]+)['"]`)

// devServer reports whether the start script is a development server of a framework
// that builds a static site.
func (n *nodePlan) devServer(f nodeFramework) bool {
	start := n.app.script("start")
	if f.static == "" || !n.app.developmentServer(start) && !n.lacksServer(start) && !(f.depends == "next" && strings.HasPrefix(start, "next ")) {
		return false
	}
	n.why("scripts.start does not serve the built site -> it is served instead")
	return true
}

// lacksServer reports whether a script begins with a server of files that the package
// does not install: it is somewhere on its developer's machine.
func (n *nodePlan) lacksServer(start string) bool {
	program, _, _ := strings.Cut(start, " ")
	return (program == "serve" || program == "http-server") && !n.app.depends(program) && !n.root.depends(program)
}

// onlyAssets is the program of packages that only build files for browsers.
const onlyAssets = "package.json builds a site of files"

func (n *nodePlan) version() {
	for _, c := range []struct{ constraint, where string }{
		{n.root.Engines.v["node"], "package.json, engines.node"},
		{n.versionFile(".nvmrc", "node-v", "v"), ".nvmrc"},
		{n.versionFile(".node-version", "v"), ".node-version"},
		{n.root.Volta.v["node"], "package.json, volta.node"},
		{n.toolVersion("nodejs", "node"), ".tool-versions"},
	} {
		if c.constraint == "" {
			continue
		}
		want := ltsVersion(c.constraint)
		if want == "" {
			n.pickRuntime("nodejs", "", "", npm)
			n.why("%s, which allows it", says(c.where, c.constraint))
			return
		}
		n.pickRuntime("nodejs", want, says(c.where, c.constraint), npm)
		return
	}
	n.pickRuntime("nodejs", "", "", npm)
}

// ltsVersion translates nvm's aliases; "" is any version.
func ltsVersion(v string) string {
	switch strings.ToLower(v) {
	case "lts/*", "node", "stable", "latest", "current", "*", "lts", "lts/-1":
		return ""
	case "lts/erbium":
		return "12"
	case "lts/fermium":
		return "14"
	case "lts/gallium":
		return "16"
	case "lts/hydrogen":
		return "18"
	case "lts/iron":
		return "20"
	case "lts/jod":
		return "22"
	case "lts/krypton":
		return "24"
	}
	return v
}

// inDir makes npm run a script of the package that starts.
func (n *nodePlan) inDir(command string) string {
	if n.dir == "." {
		return command
	}
	return strings.Replace(command, "npm ", "npm --prefix "+shellWord(n.dir)+" ", 1)
}

// build adds the build script: a workspace's root knows the order of its packages.
func (n *nodePlan) build() {
	switch {
	case n.dir != "." && n.root.script("build") != "":
		n.File.Build = append(n.File.Build, "npm run build")
		n.why("package.json has scripts.build, which builds the workspace -> npm run build")
	case n.app.script("build") != "":
		command := n.inDir("npm run build")
		n.File.Build = append(n.File.Build, command)
		n.why("%s has scripts.build -> %s", path.Join(n.dir, "package.json"), command)
	case n.app.script("heroku-postbuild") != "":
		n.File.Build = append(n.File.Build, n.inDir("npm run heroku-postbuild"))
		n.why("%s has scripts.heroku-postbuild", path.Join(n.dir, "package.json"))
	case n.app.depends("nuxt"):
		n.File.Build = append(n.File.Build, "node_modules/.bin/nuxt build")
	case n.app.depends("next"):
		n.File.Build = append(n.File.Build, "node_modules/.bin/next build")
	}
	if len(n.File.Build) == 0 {
		n.File.Build = []string{"node --version"}
		n.why("nothing is to be built, but App Runner requires a build command -> node --version")
	}
}

var (
	nodeScript  = regexp.MustCompile(`^(?:NODE_ENV=production )?(node (?:--[a-z-]+(?:=[A-Za-z0-9_./-]+)? )*[A-Za-z0-9_./-]+)$`)
	portLiteral = regexp.MustCompile(`(?:--port|-p)[ =]([0-9]{2,5})\b`)
	nodePort    = regexp.MustCompile(`\.listen\(\s*([0-9]{2,5})\b|\b(?:port|PORT)\s*=\s*([0-9]{2,5})\b`)
)

// startCommand sets the command that starts the server.
func (n *nodePlan) startCommand(f nodeFramework) error {
	if n.honour() {
		n.nodePort(n.File.Command)
		return nil
	}
	start := n.app.script("start")
	dev := n.app.developmentServer(start)
	switch m := nodeScript.FindStringSubmatch(start); {
	case f.name == "AdonisJS" && n.dir == "." && n.has("bin/server.ts") && !strings.Contains(start, "build"):
		n.start(f.start, "scripts.start is for the directory that the build makes")
	case m != nil && n.dir == "." && n.app.script("prestart") == "":
		n.start(m[1], "package.json has scripts.start, which is node itself")
	case f.name == "NestJS" && strings.HasPrefix(start, "nest start") && n.app.script("start:prod") != "":
		n.start(n.inDir("npm run start:prod"), "scripts.start builds anew, scripts.start:prod does not")
	case dev && f.start != "" && n.dir == ".":
		n.start(f.start, "scripts.start is a server for developers")
	case start != "" && !dev:
		n.start(n.inDir("npm start"), path.Join(n.dir, "package.json")+" has scripts.start")
	case f.start != "" && n.dir == ".":
		n.start(f.start, f.name+" without scripts.start")
	default:
		if err := n.otherStart(f, start); err != nil {
			return err
		}
	}
	n.nodePort(start)
	return nil
}

// otherStart sets the start command of a package whose start script is absent or a
// server for developers.
func (n *nodePlan) otherStart(f nodeFramework, start string) error {
	entry := n.nodeEntry(n.dir, n.app)
	script := n.app.serverScript()
	if entry == "" && script == "" && f.server {
		entry = n.first(nodeEntries...)
	}
	switch {
	case entry != "":
		n.start("node "+shellWord(path.Join(n.dir, entry)), entry+" starts a server")
	case script != "":
		n.start(n.inDir("npm run "+script), path.Join(n.dir, "package.json")+" has scripts."+script)
	case start != "":
		n.start(n.inDir("npm start"), path.Join(n.dir, "package.json")+" has scripts.start")
		n.warn("scripts.start, %s, is a server for developers: add a script that serves what the build makes.", start)
	default:
		return &Unknown{
			Problem: "package.json does not say how the program is started",
			Looked:  append([]string{"scripts.start", "main", "Procfile"}, nodeEntries...), Found: []string{path.Join(n.dir, "package.json")},
			Next: n.nextStep(),
		}
	}
	return nil
}

// nextStep says what to do about a package without a program.
func (n *nodePlan) nextStep() string {
	const add = `Add a start script to package.json, for example "start": "node server.js".`
	if !n.app.Private.v && n.app.Name.v != "" && (n.app.Files.v != nil || n.app.Exports.v != nil) {
		return "It looks like a library, which is used by programs and does not run itself. If it is a program: " + strings.ToLower(add[:1]) + add[1:]
	}
	return add
}

// onlySite returns the framework that builds a site of files for browsers, if a
// package has one and nothing that starts the server that its packages could make.
func (n *nodePlan) onlySite(f nodeFramework) nodeFramework {
	start := n.app.script("start")
	if !f.server || f.start != "" || n.app.script("build") == "" || start != "" && !n.app.developmentServer(start) ||
		n.nodeEntry(n.dir, n.app) != "" || n.app.serverScript() != "" {
		return f
	}
	for _, site := range nodeFrameworks {
		if site.static != "" && n.app.depends(site.depends) {
			n.why("%s depends on %s, but nothing starts a server of it", path.Join(n.dir, "package.json"), f.depends)
			return site
		}
	}
	return f
}

// nodePort looks for a port in the start script and in the program.
func (n *nodePlan) nodePort(start string) {
	if m := portLiteral.FindStringSubmatch(start); m != nil {
		port, _ := strconv.Atoi(m[1])
		n.listens(port, "the start command has "+m[0])
		return
	}
	entries := append([]string{cleanPath(n.app.Main.v)}, nodeEntries...)
	if words := strings.Fields(n.File.Command); len(words) > 1 && words[0] == "node" {
		entries = append([]string{cleanPath(words[len(words)-1])}, entries...)
	}
	before := len(n.Warnings)
	for _, e := range append(entries, "src/main.ts", "src/index.ts", "src/server.ts", "src/app.ts", "server.ts", "index.ts") {
		text := n.text(path.Join(n.dir, or(e, "-")))
		if f, _ := n.app.framework(); nodeOnlyLocal(text, f) && len(n.Warnings) == before {
			n.onlyLocal(path.Join(n.dir, e))
		}
		if strings.Contains(text, "process.env.PORT") {
			n.why("%s reads PORT", path.Join(n.dir, e))
			return
		}
		if m := nodePort.FindStringSubmatch(text); m != nil {
			port, _ := strconv.Atoi(m[1] + m[2])
			n.listens(port, fmt.Sprintf("%s listens on %d", path.Join(n.dir, e), port))
			return
		}
	}
}

// site serves the files that the build makes.
func (n *nodePlan) site(f nodeFramework) error {
	if n.hosted.command != "" {
		return n.startCommand(f)
	}
	if n.app.script("build") == "" && (n.dir == "." || n.root.script("build") == "") {
		return &Unknown{
			Problem: fmt.Sprintf("package.json depends on %s, and does not say how the site is built", f.depends), Looked: []string{"scripts.build", "scripts.start"},
			Found: []string{path.Join(n.dir, "package.json")}, Next: fmt.Sprintf("Add a build script to package.json that writes the site to %s.", f.static),
		}
	}
	dir := path.Join(n.dir, f.static)
	if f.depends == "@angular/core" {
		if name := n.app.Name.v; plainWord.MatchString(name) && !strings.Contains(name, "/") {
			dir = path.Join(n.dir, f.static, name, "browser")
		}
	}
	n.Language = "static"
	n.serveFiles(dir, f.name+" makes a site of files in "+dir, true)
	return nil
}

// serveFiles adds a server of files, which is installed beside the packages.
func (s *scan) serveFiles(dir, reason string, single bool) {
	s.File.Build = append(s.File.Build, ownPackage+"serve@14")
	flag := ""
	if single {
		flag = "-s "
	}
	s.start(fmt.Sprintf(".slipway/node_modules/.bin/serve %s-l 8080 %s", flag, shellWord(dir)), reason)
}

// workspacePatterns returns the patterns of a workspace's packages.
func (s *scan) workspacePatterns(p packageJSON) []string {
	patterns := slices.Clone([]string(p.Workspaces.v))
	var pnpm struct {
		Packages []string `yaml:"packages"`
	}
	if s.yaml("pnpm-workspace.yaml", &pnpm) {
		patterns = append(patterns, pnpm.Packages...)
	}
	return patterns
}

// workspace finds the package that starts, when the root itself does not.
func (n *nodePlan) workspace() error {
	patterns := n.workspacePatterns(n.root)
	if len(patterns) == 0 || n.root.script("start") != "" && !n.chosen(KindWorkspace) || n.hosted.command != "" {
		return nil
	}
	var options []Option
	packages := map[string]packageJSON{}
	for _, dir := range n.walk(".", 4)[1:] {
		if !matchesAny(patterns, dir) {
			continue
		}
		var p packageJSON
		if !n.json(path.Join(dir, "package.json"), &p) {
			continue
		}
		if why := n.startable(dir, p); why != "" {
			packages[dir] = p
			options = append(options, Option{Value: dir, Why: clean(why)})
		}
	}
	if len(options) == 0 {
		return nil
	}
	o, err := n.ask(KindWorkspace, "Several packages of the workspace can be started", options)
	if err != nil {
		return err
	}
	n.dir, n.app = o.Value, packages[o.Value]
	n.why("of the workspace, %s has a program to start: %s", o.Value, o.Why)
	return nil
}

// matchesAny reports whether a directory matches a workspace's patterns; one that
// begins with ! excludes.
func matchesAny(patterns []string, dir string) bool {
	matched := false
	for _, p := range patterns {
		exclude := strings.HasPrefix(p, "!")
		p = cleanPath(strings.TrimPrefix(p, "!"))
		ok, _ := path.Match(p, dir)
		if base, deep := strings.CutSuffix(p, "/**"); deep && strings.HasPrefix(dir, base+"/") {
			ok = true
		}
		if ok {
			matched = !exclude
		}
	}
	return matched
}
