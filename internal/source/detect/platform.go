package detect

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// platform is what the files of other hosting platforms say of the web service.
type platform struct {
	command, from  string // start command, and where it is: "Procfile, web:"
	port           int
	portFrom       string
	dockerfile     string // path, "" for none
	dockerfileFrom string
	warnings       []string
}

func (p *platform) setCommand(command, from string) {
	command = strings.TrimSpace(command)
	if command == "" || strings.ContainsAny(command, "\n\x00") {
		return
	}
	if p.command == "" {
		p.command, p.from = command, from
	}
}

func (p *platform) setPort(port int, from string) {
	if p.port == 0 && port > 0 && port < 1<<16 {
		p.port, p.portFrom = port, from
	}
}

func (p *platform) setDockerfile(name, from string) {
	if name = cleanPath(name); p.dockerfile == "" && name != "" {
		p.dockerfile, p.dockerfileFrom = name, from
	}
}

func (p *platform) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// names warns of variables that a file sets, by their names.
func (p *platform) names(file string, names []string) {
	names = slices.DeleteFunc(names, func(n string) bool { return n == "PORT" || !envName.MatchString(n) })
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if len(names) > 12 {
		more = fmt.Sprintf(" and %d more", len(names)-12)
		names = names[:12]
	}
	p.warn("%s sets variables, which are not taken over: %s%s.", file, strings.Join(names, ", "), more)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// readPlatforms reads all platforms' files. The first that says something is followed.
// A file that can't be read is told of and ignored: it is not this platform's.
func (s *scan) readPlatforms() platform {
	var p platform
	for _, read := range []func(*platform){s.readProcfile, s.readAppJSON, s.readRailway, s.readRender, s.readFly, s.readHeroku} {
		if m := s.attempt(func() { read(&p) }); m != nil {
			p.warn("%s was ignored: %s.", m.position(), m.Problem)
		}
	}
	return p
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)

func (s *scan) readProcfile(p *platform) {
	for l := range strings.Lines(s.text("Procfile")) {
		m := procfileLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		switch m[1] {
		case "web":
			p.setCommand(m[2], "Procfile, web:")
		case "release":
			p.warn("The Procfile's release command is not run: run it by hand, or make it a part of the start command.")
		default:
			p.warn("The Procfile's process %s is not started: it needs a service of its own.", m[1])
		}
	}
}

// readAppJSON reads Heroku's app.json. Expo and others have a file of the same name.
func (s *scan) readAppJSON(p *platform) {
	var app struct {
		Env       map[string]any `json:"env"`
		Formation map[string]struct {
			Command string `json:"command"`
		} `json:"formation"`
		Scripts map[string]any `json:"scripts"`
		Expo    any            `json:"expo"`
	}
	if !s.json("app.json", &app) || app.Expo != nil {
		return
	}
	p.setCommand(app.Formation["web"].Command, "app.json, formation.web.command")
	var names []string
	for n := range app.Env {
		names = append(names, n)
	}
	p.names("app.json", names)
}

type railway struct {
	Build struct {
		Dockerfile string `json:"dockerfilePath" toml:"dockerfilePath"`
	} `json:"build" toml:"build"`
	Deploy struct {
		Start any `json:"startCommand" toml:"startCommand"` // a string, or null
	} `json:"deploy" toml:"deploy"`
}

func (s *scan) readRailway(p *platform) {
	var r railway
	name := "railway.json"
	if !s.json(name, &r) {
		name = "railway.toml"
		if !s.toml(name, &r) {
			return
		}
	}
	start, _ := r.Deploy.Start.(string)
	p.setCommand(start, name+", deploy.startCommand")
	p.setDockerfile(r.Build.Dockerfile, name+", build.dockerfilePath")
}

type renderService struct {
	Type          string `yaml:"type"`
	Name          string `yaml:"name"`
	RootDir       string `yaml:"rootDir"`
	Start         string `yaml:"startCommand"`
	Dockerfile    string `yaml:"dockerfilePath"`
	DockerCommand string `yaml:"dockerCommand"`
	Env           []struct {
		Key string `yaml:"key"`
	} `yaml:"envVars"`
}

func (s *scan) readRender(p *platform) {
	var r struct {
		Services []yaml.Node `yaml:"services"`
	}
	if !s.yaml("render.yaml", &r) {
		return
	}
	var found []renderService
	for _, n := range r.Services {
		var one renderService
		if n.Decode(&one) == nil && one.Type == "web" && cleanPath(one.RootDir) == "" {
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		return
	}
	one := found[0]
	if len(found) > 1 {
		p.warn("render.yaml has %d web services here; the first, %s, was followed.", len(found), cleanOr(one.Name, "without a name"))
	}
	p.setCommand(one.Start, "render.yaml, startCommand")
	p.setCommand(one.DockerCommand, "render.yaml, dockerCommand")
	p.setDockerfile(one.Dockerfile, "render.yaml, dockerfilePath")
	var names []string
	for _, e := range one.Env {
		names = append(names, e.Key)
	}
	p.names("render.yaml", names)
}

func (s *scan) readFly(p *platform) {
	var f struct {
		Build struct {
			Dockerfile string `toml:"dockerfile"`
		} `toml:"build"`
		Processes   map[string]any `toml:"processes"`
		Env         map[string]any `toml:"env"`
		HTTPService struct {
			Port any `toml:"internal_port"`
		} `toml:"http_service"`
		Services []struct {
			Port any `toml:"internal_port"`
		} `toml:"services"`
		Deploy struct {
			Release string `toml:"release_command"`
		} `toml:"deploy"`
	}
	if !s.toml("fly.toml", &f) {
		return
	}
	for _, process := range []string{"app", "web"} {
		if command, ok := f.Processes[process].(string); ok {
			p.setCommand(command, "fly.toml, processes."+process)
		}
	}
	ports := []any{f.HTTPService.Port}
	for _, one := range f.Services {
		ports = append(ports, one.Port)
	}
	for _, port := range ports {
		if n, ok := port.(int64); ok && n < 1<<16 {
			p.setPort(int(n), "fly.toml, internal_port")
		}
	}
	p.setDockerfile(f.Build.Dockerfile, "fly.toml, build.dockerfile")
	if f.Deploy.Release != "" {
		p.warn("The release command of fly.toml is not run: run it by hand, or make it a part of the start command.")
	}
	var names []string
	for n := range f.Env {
		names = append(names, n)
	}
	p.names("fly.toml", names)
}

// readHeroku reads heroku.yml, which names a Dockerfile per process.
func (s *scan) readHeroku(p *platform) {
	var h struct {
		Build struct {
			Docker map[string]any `yaml:"docker"`
		} `yaml:"build"`
		Run map[string]any `yaml:"run"`
	}
	if !s.yaml("heroku.yml", &h) {
		return
	}
	if name, ok := h.Build.Docker["web"].(string); ok {
		p.setDockerfile(name, "heroku.yml, build.docker.web")
	}
	if command, ok := h.Run["web"].(string); ok {
		p.setCommand(command, "heroku.yml, run.web")
	}
}

// cleanPath returns a slash-separated path below the root; "" for the root itself and
// for what leads out of it.
func cleanPath(name string) string {
	name = path.Clean("/" + strings.ReplaceAll(name, "\\", "/"))
	if name == "/" || strings.ContainsRune(name, 0) {
		return ""
	}
	return name[1:]
}

var portExpansion = regexp.MustCompile(`\$\{PORT(?::-?[0-9]+)?\}|\$PORT\b`)

// literalPort writes the port in place of $PORT: App Runner runs start commands without
// a shell, which would leave it as it is.
func literalPort(command string, port int) string {
	return portExpansion.ReplaceAllLiteralString(command, strconv.Itoa(port))
}

var commandLanguages = map[string]string{
	"node": "nodejs", "npm": "nodejs", "npx": "nodejs", "yarn": "nodejs", "pnpm": "nodejs", "bun": "nodejs", "next": "nodejs",
	"python": "python", "python3": "python", "gunicorn": "python", "uvicorn": "python", "hypercorn": "python", "daphne": "python",
	"waitress-serve": "python", "flask": "python", "fastapi": "python", "streamlit": "python", "poetry": "python", "uv": "python", "pipenv": "python",
	"bundle": "ruby", "rails": "ruby", "bin/rails": "ruby", "puma": "ruby", "rackup": "ruby", "ruby": "ruby", "rake": "ruby", "thin": "ruby", "unicorn": "ruby",
	"php": "php", "heroku-php-apache2": "php", "heroku-php-nginx": "php", "vendor/bin/heroku-php-apache2": "php", "vendor/bin/heroku-php-nginx": "php",
	"java": "java", "dotnet": "dotnet", "go": "go",
}

// language returns the language of the start command's program; "" when it is not
// known.
func (p platform) language() string {
	for _, word := range strings.Fields(p.command) {
		if strings.Contains(word, "=") || word == "exec" || word == "env" {
			continue
		}
		return commandLanguages[strings.TrimPrefix(word, "./")]
	}
	return ""
}
