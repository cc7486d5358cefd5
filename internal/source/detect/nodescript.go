package detect

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// nodeDevServers are commands that serve what a developer is working on, or that show
// the built site on localhost. None is made for a service.
var nodeDevServers = []string{
	"react-scripts start", "craco start", "react-app-rewired start", "vite", "vite dev", "vite serve", "vite preview", "ng serve", "ng s",
	"vue-cli-service serve", "gatsby develop", "gatsby start", "docusaurus start", "astro dev", "astro preview", "astro start", "parcel",
	"webpack serve", "webpack-dev-server", "webpack-cli serve", "rsbuild dev", "rspack serve", "expo start", "next dev",
	"nuxt dev", "nuxi dev", "remix dev", "remix vite:dev", "react-router dev", "svelte-kit dev", "vitepress dev", "eleventy --serve", "snowpack dev",
}

var (
	scriptPrefix = regexp.MustCompile(`^(?:(?:cross-env|npx|env|exec)\s+(?:--?[a-z]+\s+)*|[A-Za-z_][A-Za-z0-9_]*=(?:'[^']*'|"[^"]*"|\S*)\s+|dotenv\s+(?:-e\s+\S+\s+)?--\s+)`)
	scriptCall   = regexp.MustCompile(`^(?:(?:npm|pnpm|yarn|bun)\s+run|yarn|pnpm)\s+([A-Za-z0-9:_-]+)$`)
)

// developmentServer reports whether a script is a server for developers. A script that
// only calls another one counts as that one.
func (p packageJSON) developmentServer(script string) bool {
	const mostCalls = 3
	for range mostCalls {
		script = strings.TrimSpace(script)
		for m := scriptPrefix.FindString(script); m != ""; m = scriptPrefix.FindString(script) {
			script = script[len(m):]
		}
		m := scriptCall.FindStringSubmatch(script)
		if m == nil || p.script(m[1]) == "" {
			break
		}
		script = p.script(m[1])
	}
	if strings.Contains(script, "&&") || strings.Contains(script, ";") {
		return false
	}
	return script == "next" || script == "nuxt" || slices.ContainsFunc(nodeDevServers, func(dev string) bool {
		rest, ok := strings.CutPrefix(script, dev)
		if dev == "vite" && strings.HasPrefix(rest, " build") || dev == "parcel" && strings.HasPrefix(rest, " build") {
			return false
		}
		return ok && (rest == "" || rest[0] == ' ')
	})
}

var (
	tsOut       = regexp.MustCompile(`(?m)^[^/\n]*"outDir"\s*:\s*"([A-Za-z0-9_./-]+)"`)
	tsRoot      = regexp.MustCompile(`(?m)^[^/\n]*"rootDir"\s*:\s*"([A-Za-z0-9_./-]+)"`)
	tsCompiles  = regexp.MustCompile(`(?:^|[\s;&])tsc(?:$|[\s;&])`)
	tsEntries   = []string{"src/server.ts", "src/index.ts", "src/main.ts", "src/app.ts", "server.ts", "index.ts", "main.ts", "app.ts"}
	builtScript = regexp.MustCompile(`^[A-Za-z0-9_./-]+\.[cm]?js$`)
)

// compiledEntry returns the file that node starts when a build makes it of TypeScript:
// what `main` names, or the compiled form of a file that starts a server. It is "" for
// none.
func (s *scan) compiledEntry(dir string, p packageJSON) string {
	build := p.script("build")
	if build == "" {
		return ""
	}
	main := cleanPath(p.Main.v)
	config := s.text(path.Join(dir, "tsconfig.json"))
	out := ""
	if m := tsOut.FindStringSubmatch(config); m != nil {
		out = cleanPath(m[1])
	}
	for _, e := range tsEntries {
		if !s.has(path.Join(dir, e)) || !s.nodeServes(path.Join(dir, e)) {
			continue
		}
		if base, _, _ := strings.Cut(main, "/"); builtScript.MatchString(main) && (base == out || base == "dist" || base == "build" || base == "lib") {
			return main
		}
		if out == "" || !tsCompiles.MatchString(build) {
			return ""
		}
		return path.Join(out, strings.TrimSuffix(s.belowRootDir(dir, e, config), ".ts")+".js")
	}
	return ""
}

// belowRootDir returns a source file's path below the directory whose layout the
// compiler keeps: rootDir, or what all source files have in common.
func (s *scan) belowRootDir(dir, file, config string) string {
	root := ""
	if m := tsRoot.FindStringSubmatch(config); m != nil {
		root = cleanPath(m[1])
	} else if strings.HasPrefix(file, "src/") && len(s.names(dir, "*.ts")) == 0 {
		root = "src"
	}
	if root == "" {
		return file
	}
	return strings.TrimPrefix(file, root+"/")
}

// serverScripts are scripts that start a server in production when there is no start
// script.
var serverScripts = []string{"start:prod", "start:production", "start:server", "server:start", "server", "serve", "prod", "production"}

// serverProgram finds the programs that such a script begins with.
var serverProgram = regexp.MustCompile(`(?:^|[\s/])(?:node|tsx|ts-node|bun|serve|http-server|nest|next|nuxt|fastify|pm2-runtime)\s`)

// serverScript returns the first of them that is no development server; "" for none.
func (p packageJSON) serverScript() string {
	for _, name := range serverScripts {
		if script := p.script(name); serverProgram.MatchString(script) && !p.developmentServer(script) && !strings.Contains(script, "watch") {
			return name
		}
	}
	return ""
}

// fastifyListen finds where Fastify listens, which is localhost unless a host is given.
var fastifyListen = regexp.MustCompile(`\.listen\(\s*\{([^{}]{0,200})\}`)

// nodeOnlyLocal reports whether a program listens on the loopback interface only.
func nodeOnlyLocal(text string, f nodeFramework) bool {
	if nodeLocal.MatchString(text) {
		return true
	}
	m := fastifyListen.FindStringSubmatch(text)
	return f.name == "Fastify" && m != nil && !strings.Contains(m[1], "host") && !strings.Contains(m[1], "...")
}

// nodeLocal finds a server that listens on the loopback interface only.
var nodeLocal = regexp.MustCompile(`\.listen\((?:[^()]|\([^()]*\)){0,120}?['"](?:localhost|127\.0\.0\.1)['"]|(?i:hapi\.server|fastify|serve)\(\{[^{}]{0,200}\bhost(?:name)?:\s*['"](?:localhost|127\.0\.0\.1)['"]`)
