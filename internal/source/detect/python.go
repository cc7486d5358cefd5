package detect

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pyproject is what detection reads of a pyproject.toml.
type pyproject struct {
	Project struct {
		Name           string         `toml:"name"`
		RequiresPython any            `toml:"requires-python"`
		Dependencies   any            `toml:"dependencies"`
		Scripts        map[string]any `toml:"scripts"`
	} `toml:"project"`
	BuildSystem struct {
		Backend any `toml:"build-backend"`
	} `toml:"build-system"`
	Tool struct {
		Poetry *struct {
			Dependencies map[string]any `toml:"dependencies"`
			PackageMode  any            `toml:"package-mode"`
		} `toml:"poetry"`
		PDM   any `toml:"pdm"`
		UV    any `toml:"uv"`
		Hatch any `toml:"hatch"`
	} `toml:"tool"`
}

// pythonPlan is the state of Python's rules.
type pythonPlan struct {
	*scan
	project  pyproject
	packages string   // text of all files that name dependencies, in lower case
	install  []string // commands that install the dependencies
}

func seePython(s *scan) (manifest, program string) {
	manifest = s.first("requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py", "uv.lock", "poetry.lock", "environment.yml")
	if manifest == "" {
		if manifest = s.first("app.py", "main.py", "wsgi.py", "asgi.py", "server.py"); manifest == "" {
			return "", ""
		}
	}
	p := &pythonPlan{scan: s}
	if s.has("manage.py") {
		return manifest, "manage.py"
	}
	if apps := p.apps(); len(apps) > 0 {
		return manifest, apps[0].file
	}
	return manifest, p.script()
}

func (s *scan) planPython() error {
	p := &pythonPlan{scan: s}
	s.toml("pyproject.toml", &p.project)
	if s.broken != nil {
		return s.broken
	}
	p.version()
	p.dependencies()
	if err := p.program(); err != nil {
		return err
	}
	if strings.TrimSpace(p.packages) == "" && p.Framework != "" {
		p.warn("No file names the packages that the program needs, so only what is named here is installed: write a requirements.txt.")
	}
	p.place()
	s.setEnv("PYTHONUNBUFFERED", "1")
	return nil
}

var pipfileVersion = regexp.MustCompile(`(?m)^\s*python(?:_full)?_version\s*=\s*["']([0-9.]+)["']`)

func (p *pythonPlan) version() {
	requires, _ := p.project.Project.RequiresPython.(string)
	poetry := ""
	if t := p.project.Tool.Poetry; t != nil {
		poetry, _ = t.Dependencies["python"].(string)
	}
	pipfile := ""
	if m := pipfileVersion.FindStringSubmatch(p.text("Pipfile")); m != nil {
		pipfile = m[1]
	}
	for _, c := range []struct{ constraint, where string }{
		{p.versionFile(".python-version", "python-", "cpython-"), ".python-version"},
		{p.versionFile("runtime.txt", "python-"), "runtime.txt"},
		{p.toolVersion("python"), ".tool-versions"},
		{requires, "pyproject.toml, requires-python"},
		{poetry, "pyproject.toml, tool.poetry.dependencies.python"},
		{pipfile, "Pipfile, python_version"},
	} {
		if c.constraint != "" {
			p.pickRuntime("python", minorOf(c.constraint), says(c.where, c.constraint), pep440)
			return
		}
	}
	p.pickRuntime("python", "", "", pep440)
}

// minorOf leaves out the patch level of a bare version: any of its line will do.
func minorOf(v string) string {
	if m := regexp.MustCompile(`^([0-9]+\.[0-9]+)\.[0-9]+$`).FindStringSubmatch(v); m != nil {
		return m[1]
	}
	return v
}

// dependencies finds the package manager and the commands that install what it locked.
func (p *pythonPlan) dependencies() {
	for _, name := range p.pythonManifests() {
		p.packages += strings.ToLower(p.text(name)) + "\n"
	}
	switch {
	case p.has("uv.lock"):
		p.locked("uv.lock", "pip3 install uv", "uv export --frozen --no-dev --no-emit-project --format requirements-txt -o /tmp/requirements.txt", "pip3 install -r /tmp/requirements.txt")
	case p.has("poetry.lock"):
		p.locked("poetry.lock", "pip3 install poetry poetry-plugin-export", "poetry export"+p.hashes()+" -o /tmp/requirements.txt", "pip3 install -r /tmp/requirements.txt")
	case p.has("pdm.lock"):
		p.locked("pdm.lock", "pip3 install pdm", "pdm export --prod"+p.hashes()+" -o /tmp/requirements.txt", "pip3 install -r /tmp/requirements.txt")
	case p.has("Pipfile.lock"):
		p.locked("Pipfile.lock", "pip3 install pipenv", "pipenv requirements > /tmp/requirements.txt", "pip3 install -r /tmp/requirements.txt")
	case p.has("requirements.txt"):
		p.requirements("requirements.txt")
	case len(p.names("requirements", "*.txt")) > 0:
		names := p.names("requirements", "*.txt")
		name := names[0]
		for _, better := range []string{"requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"} {
			if slices.Contains(names, better) {
				name = better
				break
			}
		}
		p.requirements(name)
	case p.has("Pipfile"):
		p.unlocked("Pipfile", "pip3 install pipenv", "pipenv install --system --skip-lock")
	case p.project.Tool.Poetry != nil && p.project.Tool.Poetry.PackageMode == false:
		p.unlocked("pyproject.toml", "pip3 install poetry", "poetry config virtualenvs.create false", "poetry install --only main --no-root")
	case p.has("pyproject.toml") && p.installable(), p.has("setup.py"):
		p.unlocked(p.first("pyproject.toml", "setup.py"), "pip3 install .")
	case p.has("environment.yml"):
		p.warn("environment.yml is Conda's and is not installed: write a requirements.txt.")
	default:
		p.why("no dependencies are named -> nothing is installed")
	}
}

func (p *pythonPlan) pythonManifests() []string {
	names := []string{"requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "setup.cfg", "environment.yml"}
	return append(names, p.names("requirements", "*.txt")...)
}

// installable reports whether a pyproject.toml describes a package.
func (p *pythonPlan) installable() bool {
	return p.project.Project.Name != "" || p.project.BuildSystem.Backend != nil || p.project.Tool.Poetry != nil
}

func (p *pythonPlan) locked(lock string, commands ...string) {
	p.install = commands
	p.why("%s -> its locked versions are installed", lock)
}

// hashes leaves the hashes out of an export when a dependency is a directory or a
// repository: pip then refuses to check any.
func (p *pythonPlan) hashes() string {
	if regexp.MustCompile(`\b(?:git|path|file)\s*=|git\+`).MatchString(p.text("pyproject.toml")) {
		return " --without-hashes"
	}
	return ""
}

func (p *pythonPlan) unlocked(name string, commands ...string) {
	p.install = commands
	p.why("%s -> %s", name, strings.Join(commands, "; "))
	p.warn("There is no lock file beside %s, so each build may install other versions.", name)
}

var pinned = regexp.MustCompile(`(?m)^\s*[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?\s*(?:>=|~=|<|>|!=|;|#|\s*$)`)

func (p *pythonPlan) requirements(name string) {
	text := p.text(name)
	command := "pip3 install -r " + shellWord(name)
	if strings.Contains(text, "--hash=") {
		command = "pip3 install --require-hashes -r " + shellWord(name)
		p.why("%s has hashes -> %s", name, command)
	} else {
		p.why("%s -> %s", name, command)
		if pinned.MatchString(text) {
			p.warn("%s does not pin every version, so each build may install others.", name)
		}
	}
	p.install = []string{command}
}

// pythonApp is an application object: a variable of a module.
type pythonApp struct {
	file, framework, object string // "src/web.py", "FastAPI", "web:app"
	dir                     string // directory that must be in the module path
	asgi                    bool
	factory                 bool
}

var pythonApps = regexp.MustCompile(`(?m)^([A-Za-z_]\w*)(?:\s*:\s*[\w.]+)?\s*=\s*(?:[\w]+\.)?(FastAPI|Flask|Starlette|Quart|Litestar|Sanic|Bottle|Dash|Falcon|create_app|make_app)\(`)

var pythonFactory = regexp.MustCompile(`(?m)^def (create_app|make_app)\(\s*(?:\)|\w+\s*(?::[^=,)]+)?=[^,)]+\))`)

// apps finds the application objects in the usual files: those at the root, in the
// directories below it and in src.
func (p *pythonPlan) apps() []pythonApp {
	var apps []pythonApp
	dirs := append([]string{"."}, p.subdirs(".")...)
	dirs = append(dirs, p.subdirs("src")...)
	for _, dir := range dirs {
		base := path.Base(dir)
		if base == "tests" || base == "test" || base == "examples" || base == "docs" || base == "migrations" || base == "scripts" {
			continue
		}
		for _, name := range p.names(dir, "*.py") {
			if file := path.Base(name); strings.HasPrefix(file, "test_") || file == "conftest.py" || file == "setup.py" {
				continue
			}
			if app, ok := p.appIn(name); ok {
				apps = append(apps, app)
			}
		}
	}
	return apps
}

func (p *pythonPlan) appIn(name string) (pythonApp, bool) {
	text := p.text(name)
	m := pythonApps.FindStringSubmatch(text)
	app := pythonApp{file: name}
	object := ""
	switch {
	case m != nil && m[2] != "create_app" && m[2] != "make_app":
		app.framework, object = m[2], m[1]
	case m != nil && (path.Base(name) == "wsgi.py" || path.Base(name) == "asgi.py" || path.Dir(name) == "."):
		object = m[1]
	default:
		f := pythonFactory.FindStringSubmatch(text)
		if f == nil || path.Base(name) != "__init__.py" && path.Base(name) != "app.py" && path.Base(name) != "main.py" {
			return app, false
		}
		object, app.factory = f[1], true
	}
	if app.framework == "" {
		app.framework = p.imports(text)
	}
	if app.framework == "" {
		return app, false
	}
	if app.framework == "Dash" {
		object += ".server"
	}
	if app.framework == "Bottle" {
		app.framework = "Bottle"
	}
	switch app.framework {
	case "FastAPI", "Starlette", "Quart", "Litestar", "Sanic":
		app.asgi = true
	}
	module := strings.TrimSuffix(name, ".py")
	if rest, ok := strings.CutPrefix(module, "src/"); ok {
		app.dir, module = "src", rest
	}
	module = strings.TrimSuffix(module, "/__init__")
	app.object = strings.ReplaceAll(module, "/", ".") + ":" + object
	return app, pythonModule.MatchString(app.object)
}

var pythonModule = regexp.MustCompile(`^[A-Za-z0-9_.]+:[A-Za-z0-9_.]+$`)

// imports names the framework that a text imports.
func (p *pythonPlan) imports(text string) string {
	for _, f := range []struct{ module, name string }{
		{"fastapi", "FastAPI"}, {"flask", "Flask"}, {"quart", "Quart"}, {"starlette", "Starlette"}, {"litestar", "Litestar"}, {"sanic", "Sanic"},
	} {
		if regexp.MustCompile(`(?m)^(?:from|import) ` + f.module + `\b`).MatchString(text) {
			return f.name
		}
	}
	// A factory in another module: by what is installed.
	for _, f := range []struct{ module, name string }{{"fastapi", "FastAPI"}, {"flask", "Flask"}, {"quart", "Quart"}} {
		if strings.Contains(p.packages, f.module) && strings.Contains(text, "create_app") {
			return f.name
		}
	}
	return ""
}

func (p *pythonPlan) program() error {
	if p.has("manage.py") && !p.chosen(KindApp) {
		return p.django()
	}
	if manages := p.find(".", 1, "manage.py"); len(manages) > 0 && len(p.apps()) == 0 {
		return p.elsewhere(manages)
	}
	if p.honourPython() {
		p.Framework = p.frameworkOfPackages()
		return nil
	}
	apps := p.apps()
	if len(apps) == 0 {
		return p.byScript()
	}
	app, err := p.chooseApp(apps)
	if err != nil {
		return err
	}
	if err := p.ownDirectory(&app); err != nil {
		return err
	}
	p.Framework = app.framework
	p.why("%s has an application object of %s: %s", app.file, app.framework, app.object)
	if app.dir != "" && !slices.ContainsFunc(p.install, func(c string) bool { return strings.HasSuffix(c, "install .") }) {
		p.setEnv("PYTHONPATH", app.dir)
		p.why("modules are in %s -> PYTHONPATH", app.dir)
	}
	p.serve(app.object, app.asgi, app.factory)
	return nil
}

var pythonImport = regexp.MustCompile(`(?m)^(?:from|import) ([A-Za-z_]\w*)`)

// ownDirectory finds out whether the modules of an application below the root are
// imported as of its directory, not of the root. A directory with dependencies of its
// own is then a service of its own; else it must be in the module path.
func (p *pythonPlan) ownDirectory(app *pythonApp) error {
	dir := path.Dir(app.file)
	if path.Base(app.file) == "__init__.py" {
		dir = path.Dir(dir)
	}
	if dir == "." || app.dir != "" || p.chosen(KindApp) {
		return nil
	}
	own := p.first(path.Join(dir, "requirements.txt"), path.Join(dir, "pyproject.toml"), path.Join(dir, "Pipfile"))
	none := p.first("requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "uv.lock", "poetry.lock") == ""
	local := p.importsOf(dir, app.file)
	switch {
	case own != "" && (none || local != ""):
		return &Unknown{
			Problem: fmt.Sprintf("The program is in %s, which has dependencies of its own", dir), Found: []string{app.file, own},
			Next: fmt.Sprintf("Name that directory as the source directory: slipway plan PATH/%s", dir),
		}
	case local != "":
		app.dir = dir
		app.object = strings.TrimPrefix(app.object, strings.ReplaceAll(dir, "/", ".")+".")
		p.why("%s imports %s of its own directory", app.file, local)
	}
	return nil
}

// importsOf returns a module that a file imports and that only its directory has; ""
// for none.
func (p *pythonPlan) importsOf(dir, file string) string {
	exists := func(in, module string) bool {
		return p.has(path.Join(in, module+".py")) || p.hasDir(path.Join(in, module))
	}
	for _, m := range pythonImport.FindAllStringSubmatch(p.text(file), 200) {
		if exists(dir, m[1]) && !exists(".", m[1]) {
			return m[1]
		}
	}
	return ""
}

// chooseApp prefers the conventional names, nearest to the root.
func (p *pythonPlan) chooseApp(apps []pythonApp) (pythonApp, error) {
	if !p.chosen(KindApp) {
		for _, name := range []string{"wsgi.py", "asgi.py", "app.py", "main.py", "application.py", "server.py", "src/main.py", "src/app.py", "app/main.py", "app/app.py", "src/app/main.py", "app/__init__.py"} {
			if i := slices.IndexFunc(apps, func(a pythonApp) bool { return a.file == name }); i >= 0 {
				return apps[i], nil
			}
		}
	}
	var options []Option
	for _, a := range apps {
		options = append(options, Option{Value: a.object, Why: a.file + ", " + a.framework})
	}
	o, err := p.ask(KindApp, "There are several application objects", options)
	if err != nil {
		return pythonApp{}, err
	}
	return apps[slices.IndexFunc(apps, func(a pythonApp) bool { return a.object == o.Value })], nil
}

// elsewhere is the error for Django projects below the root.
func (p *pythonPlan) elsewhere(manages []string) error {
	var options []Option
	for _, m := range manages {
		options = append(options, Option{Value: path.Dir(m), Why: m})
	}
	if len(options) == 1 {
		return &Unknown{
			Problem: "The Django project is not at the root", Found: manages,
			Next: fmt.Sprintf("Name its directory as the source directory (slipway plan PATH/%s), or write an apprunner.yaml.", options[0].Value),
		}
	}
	return &Ambiguous{Kind: KindDirectory, Problem: "There are several Django projects", Options: options}
}

var djangoSettings = regexp.MustCompile(`DJANGO_SETTINGS_MODULE["']\s*,\s*["']([A-Za-z0-9_.]+)["']`)

func (p *pythonPlan) django() error {
	p.Framework = "Django"
	p.why("manage.py -> Django")
	var projects []Option
	for _, dir := range append([]string{"."}, p.subdirs(".")...) {
		if name := p.first(path.Join(dir, "wsgi.py"), path.Join(dir, "asgi.py")); name != "" && dir != "." {
			projects = append(projects, Option{Value: strings.ReplaceAll(dir, "/", "."), Why: name})
		}
	}
	settings := ""
	if m := djangoSettings.FindStringSubmatch(p.text("manage.py")); m != nil {
		settings = m[1]
		p.why("manage.py names the settings %s", settings)
	}
	if p.djangoCollects(settings) {
		p.install = append(p.install, "python3 manage.py collectstatic --noinput")
		p.why("the settings have STATIC_ROOT -> collectstatic")
	}
	if p.honourPython() {
		return nil
	}
	if root := strings.Split(settings, ".")[0]; root != "" && !p.chosen(KindProject) {
		if i := slices.IndexFunc(projects, func(o Option) bool { return o.Value == root }); i >= 0 {
			projects = projects[i : i+1]
		}
	}
	if len(projects) == 0 {
		return &Unknown{Problem: "The Django project has no wsgi.py or asgi.py", Looked: []string{"*/wsgi.py", "*/asgi.py"}, Found: []string{"manage.py"}, Next: "Add the wsgi.py that `django-admin startproject` makes, or a Procfile with a web: line."}
	}
	project, err := p.ask(KindProject, "There are several Django projects", projects)
	if err != nil {
		return err
	}
	module := strings.TrimSuffix(path.Base(project.Why), ".py")
	p.why("%s is the entry of the project %s", project.Why, project.Value)
	p.warn("Migrations are not run: run `python3 manage.py migrate` by hand, or make it a part of the start command.")
	p.serve(project.Value+"."+module+":application", module == "asgi", false)
	return nil
}

// djangoCollects reports whether the settings name a directory for static files.
func (p *pythonPlan) djangoCollects(settings string) bool {
	if settings == "" {
		return false
	}
	base := strings.ReplaceAll(settings, ".", "/")
	names := append([]string{base + ".py", base + "/__init__.py"}, p.names(path.Dir(base), "*.py")...)
	return slices.ContainsFunc(names, func(n string) bool {
		return regexp.MustCompile(`(?m)^\s*STATIC_ROOT\s*=`).MatchString(p.text(n))
	})
}

// serve sets the start command to the server that the dependencies have, or adds one.
func (p *pythonPlan) serve(object string, asgi, factory bool) {
	has := func(name string) bool {
		return regexp.MustCompile(`(?m)(?:^|[\s"'])` + name + `\b`).MatchString(p.packages)
	}
	port := 8080
	if p.hosted.port != 0 {
		port = p.hosted.port
	}
	call := ""
	switch {
	case asgi:
		if factory {
			call = " --factory"
		}
		command := fmt.Sprintf("python3 -m uvicorn%s --host 0.0.0.0 --port %d %s", call, port, object)
		if !has("uvicorn") && !has(`fastapi\[`) {
			p.install = append(p.install, "pip3 install uvicorn")
			p.warn("uvicorn is not among the dependencies: it is installed without a pinned version. Add it.")
		}
		p.start(command, "an ASGI application needs a server")
	default:
		if factory {
			object = "'" + object + "()'"
			p.warn("App Runner runs the start command without a shell: there, write it without quotes.")
		}
		if !has("gunicorn") {
			p.install = append(p.install, "pip3 install gunicorn")
			p.warn("gunicorn is not among the dependencies: it is installed without a pinned version. Add it.")
		}
		p.start(fmt.Sprintf("python3 -m gunicorn --bind 0.0.0.0:%d %s", port, object), "a WSGI application needs a server")
	}
}

func (p *pythonPlan) frameworkOfPackages() string {
	for _, f := range []struct{ module, name string }{
		{"fastapi", "FastAPI"},
		{"flask", "Flask"},
		{"django", "Django"},
		{"starlette", "Starlette"},
		{"quart", "Quart"},
		{"litestar", "Litestar"},
		{"sanic", "Sanic"},
		{"streamlit", "Streamlit"},
		{"bottle", "Bottle"},
		{"aiohttp", "aiohttp"},
	} {
		if strings.Contains(p.packages, f.module) {
			return f.name
		}
	}
	return ""
}

// place puts the installation where its packages survive: the revised build keeps only
// /app of what build commands wrote, and Python's packages are outside of it.
func (p *pythonPlan) place() {
	if !p.revised() {
		p.File.Build = p.install
		if len(p.install) == 0 {
			p.File.Build = []string{"python3 --version"}
		}
		return
	}
	p.File.PreRun = p.install
	p.File.Build = []string{"python3 --version"}
	if len(p.install) > 0 {
		p.why("%s has the revised build, which drops packages that build commands install -> they are installed in pre-run", p.File.Runtime)
	}
	p.why("App Runner requires a build command -> python3 --version")
}
