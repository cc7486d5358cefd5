package detect

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var (
	pythonServes = regexp.MustCompile(`(?m)^(?:import|from) (?:streamlit|chainlit)\b|\b(?:app|application|api|server|uvicorn|bottle|web|demo|ui)\.run\(|^\s*run\(|serve_forever\(|HTTPServer\(|run_app\(|\.launch\(|serve\(|IOLoop\b`)
	pythonLocal  = regexp.MustCompile(`\.run\([^()]*host\s*=\s*["'](?:localhost|127\.0\.0\.1)["']|Server\(\(\s*["'](?:localhost|127\.0\.0\.1)["']`)
	pythonPort   = regexp.MustCompile(`port\s*=\s*([0-9]{2,5})\b|\(\s*["'](?:[0-9.]*|localhost)["']\s*,\s*([0-9]{2,5})\s*\)`)
)

// imports reports whether a Python text imports a module.
func importsModule(text, module string) bool {
	return regexp.MustCompile(`(?m)^(?:import|from) ` + module + `\b`).MatchString(text)
}

// script returns a script that starts a server by itself; "" for none.
func (p *pythonPlan) script() string {
	for _, name := range []string{"app.py", "main.py", "server.py", "run.py", "src/main.py", "src/app.py", "streamlit_app.py", "Home.py", "home.py"} {
		if pythonServes.MatchString(p.text(name)) {
			return name
		}
	}
	pages := ""
	for _, name := range p.names(".", "*.py") {
		if text := p.text(name); importsModule(text, "streamlit") || importsModule(text, "gradio") && strings.Contains(text, ".launch(") {
			if pages != "" {
				return "" // which of them?
			}
			pages = name
		}
	}
	return pages
}

func (p *pythonPlan) byScript() error {
	name := p.script()
	if name == "" {
		return &Unknown{
			Problem: "No program to start is found in the Python files",
			Looked:  []string{"manage.py", "an application object of Flask, FastAPI, Starlette, Quart, Litestar, Sanic or Bottle", "app.py", "main.py", "server.py", "Procfile"},
			Found:   []string{p.first("requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "environment.yml", "wsgi.py", "app.py", "main.py", "asgi.py", "server.py", "uv.lock", "poetry.lock")},
			Next:    "Add a Procfile with a web: line, for example `web: gunicorn shop:app`, or write an apprunner.yaml.",
		}
	}
	text := p.text(name)
	switch {
	case importsModule(text, "streamlit"):
		p.Framework = "Streamlit"
		p.start("python3 -m streamlit run "+shellWord(name)+" --server.port 8080 --server.address 0.0.0.0 --server.headless true", name+" imports streamlit")
		return nil
	case importsModule(text, "chainlit"):
		p.Framework = "Chainlit"
		p.start("python3 -m chainlit run "+shellWord(name)+" --headless --host 0.0.0.0 --port 8080", name+" imports chainlit")
		return nil
	case importsModule(text, "gradio"):
		p.gradio(name, text)
		return nil
	}
	p.start("python3 "+shellWord(name), name+" starts a server itself")
	if pythonLocal.MatchString(text) {
		p.onlyLocal(name)
	}
	if m := pythonPort.FindStringSubmatch(text); m != nil && !strings.Contains(text, "PORT") {
		port, _ := strconv.Atoi(m[1] + m[2])
		p.listens(port, fmt.Sprintf("%s listens on %d", name, port))
	}
	return nil
}

// gradio tells Gradio by its variables where to listen: by itself it listens on
// localhost, on port 7860.
func (p *pythonPlan) gradio(name, text string) {
	p.Framework = "Gradio"
	p.start("python3 "+shellWord(name), name+" imports gradio")
	p.setEnv("GRADIO_SERVER_NAME", "0.0.0.0")
	if m := regexp.MustCompile(`server_port\s*=\s*([0-9]{2,5})\b`).FindStringSubmatch(text); m != nil {
		port, _ := strconv.Atoi(m[1])
		p.listens(port, fmt.Sprintf("%s listens on %d", name, port))
	} else {
		p.choosePort()
		p.setEnv("GRADIO_SERVER_PORT", strconv.Itoa(p.port()))
	}
	p.why("Gradio listens on localhost unless its variables say otherwise -> GRADIO_SERVER_NAME")
	if regexp.MustCompile(`server_name\s*=\s*["'](?:localhost|127\.0\.0\.1)["']`).MatchString(text) {
		p.onlyLocal(name)
	}
}

var barePythonWord = regexp.MustCompile(`(^|&&\s*|\|\|\s*|;\s*)((?:exec\s+)?)python(\s)`)

// honourPython is honour, with the name that Python has in every runtime: python alone
// is missing or another version in some of App Runner's.
func (p *pythonPlan) honourPython() bool {
	if !p.honour() {
		return false
	}
	p.server(p.File.Command)
	if named := barePythonWord.ReplaceAllString(p.File.Command, "${1}${2}python3${3}"); named != p.File.Command {
		p.File.Command = named
		p.why("python is called python3 in the runtime -> %s", named)
	}
	return true
}

// pythonServer is a server of Python by its command, with the options that make it
// listen on a port on all addresses. Without them it listens on localhost, or on
// another port.
type pythonServer struct {
	command *regexp.Regexp
	host    *regexp.Regexp // an option that names the address
	all     string         // names all addresses
	port    string         // names the port: a format
}

var (
	hostOption     = regexp.MustCompile(`(?:--host|-h|--bind|-b|--fd|--uds|--interface)\b`)
	portOption     = regexp.MustCompile(`(?:--port|-p|--bind|-b)[ =](?:[0-9.]*:)?([0-9]{2,5})\b|:([0-9]{2,5})\b|--server\.port[ =]([0-9]{2,5})\b`)
	djangoAddress  = regexp.MustCompile(`runserver\s+\S*[0-9]`)
	pythonCommands = []pythonServer{
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?uvicorn\b`), hostOption, " --host 0.0.0.0", " --port %d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?flask\b.*\srun\b`), hostOption, " --host 0.0.0.0", " --port %d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?fastapi (?:run|dev)\b`), hostOption, " --host 0.0.0.0", " --port %d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?chainlit run\b`), hostOption, " --host 0.0.0.0", " --port %d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?hypercorn\b`), hostOption, "", " --bind 0.0.0.0:%d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?daphne\b`), hostOption, " -b 0.0.0.0", " -p %d"},
		{regexp.MustCompile(`^(?:exec )?(?:python3? -m )?streamlit run\b`), regexp.MustCompile(`--server\.address\b`), " --server.address 0.0.0.0", " --server.port %d"},
		{regexp.MustCompile(`^(?:exec )?python3? \S*manage\.py runserver\b`), djangoAddress, "", " 0.0.0.0:%d"},
	}
)

// server looks at an honoured start command: at the port that it names, and at a server
// that needs to be told where to listen.
func (p *pythonPlan) server(command string) {
	named := portOption.FindStringSubmatch(command)
	if named != nil {
		port, _ := strconv.Atoi(named[1] + named[2] + named[3])
		p.listens(port, fmt.Sprintf("the start command names port %d", port))
	}
	if strings.Contains(command, "&&") || strings.Contains(command, ";") || strings.Contains(command, "|") {
		return
	}
	for _, one := range pythonCommands {
		if !one.command.MatchString(command) {
			continue
		}
		more := ""
		if !one.host.MatchString(command) {
			more += one.all
		}
		if named == nil {
			more += fmt.Sprintf(one.port, p.port())
		}
		if more != "" {
			p.File.Command = command + more
			p.why("%s by itself listens on localhost or on another port -> %s", path.Base(strings.Fields(command)[0]), p.File.Command)
		}
		return
	}
	if named == nil && strings.Contains(command, "gunicorn") {
		// gunicorn itself reads PORT and then listens on all addresses.
		p.why("gunicorn listens on PORT")
	}
}
