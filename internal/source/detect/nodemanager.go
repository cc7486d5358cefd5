package detect

import (
	"regexp"
	"slices"
	"strings"
)

// nodeManager is a package manager with its lock file.
type nodeManager struct {
	name string
	lock []string
}

var nodeManagers = []nodeManager{
	{"npm", []string{"package-lock.json", "npm-shrinkwrap.json"}},
	{"yarn", []string{"yarn.lock"}},
	{"pnpm", []string{"pnpm-lock.yaml"}},
	{"bun", []string{"bun.lock", "bun.lockb"}},
}

// manager returns the package manager, its lock file ("" for none) and the version
// that packageManager names.
func (n *nodePlan) manager() (name, lock, version string, err error) {
	field := n.root.PackageManager.v
	wanted, rest, _ := strings.Cut(field, "@")
	version, _, _ = strings.Cut(rest, "+")
	if !exactVersion.MatchString(version) {
		version = ""
	}
	var options []Option
	for _, m := range nodeManagers {
		lock := n.first(m.lock...)
		if m.name == wanted {
			n.why("package.json, packageManager says %s", field)
			return m.name, lock, version, nil
		}
		if lock != "" {
			options = append(options, Option{Value: m.name, Why: lock})
		}
	}
	if len(options) == 0 {
		if n.has("pnpm-workspace.yaml") {
			return "pnpm", "", "", nil
		}
		return "npm", "", "", nil
	}
	if len(options) == 2 && options[0].Value == "npm" && options[1].Value == "bun" && !n.scriptsCall("bun") && !n.chosen(KindTool) {
		n.why("%s is there too, but no script calls bun", options[1].Why)
		options = options[:1] // some generators of code write both
	}
	o, err := n.ask(KindTool, "Lock files of several package managers are there", options)
	return o.Value, o.Why, "", err
}

var exactVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?$`)

// install sets the commands that install all packages, also those that the build needs.
func (n *nodePlan) install() error {
	if n.root.Dependencies.v == nil && n.root.DevDependencies.v == nil && len(n.workspacePatterns(n.root)) == 0 {
		n.why("no dependencies are named -> nothing is installed")
		return nil
	}
	name, lock, version, err := n.manager()
	if err != nil {
		return err
	}
	command := ""
	switch name {
	case "npm":
		command = "npm install"
		if lock != "" {
			command = "npm ci"
		}
	case "yarn":
		command = n.yarn(lock, version)
	case "pnpm":
		command = n.pnpm(lock, version)
	case "bun":
		n.File.Build = append(n.File.Build, ownPackage+"bun@"+or(version, "1"))
		command = ".slipway/node_modules/.bin/bun install" + frozen(lock, " --frozen-lockfile")
	}
	if lock == "" {
		n.why("no lock file -> %s", command)
		n.warn("There is no lock file, so each build may install other versions: commit the one that %s writes.", name)
	} else {
		n.why("%s -> %s", lock, command)
	}
	n.File.Build = append(n.File.Build, command)
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func frozen(lock, flag string) string {
	if lock == "" {
		return ""
	}
	return flag
}

// yarn returns the command for yarn 1, or for the later yarn that the repository has.
func (n *nodePlan) yarn(lock, version string) string {
	if releases := n.names(".yarn/releases", "yarn-*.cjs"); len(releases) > 0 {
		return "node " + shellWord(releases[len(releases)-1]) + " install" + frozen(lock, " --immutable")
	}
	later := strings.Contains(string(n.prefix("yarn.lock", 1024)), "__metadata:")
	if version != "" && !strings.HasPrefix(version, "1.") || later && version == "" {
		return "npx --yes @yarnpkg/cli-dist@" + or(version, "4") + " install" + frozen(lock, " --immutable")
	}
	return "npx --yes yarn@" + or(version, "1") + " install" + frozen(lock, " --frozen-lockfile")
}

var pnpmLock = regexp.MustCompile(`lockfileVersion:\s*'?([0-9]+)`)

// pnpm returns the command for the pnpm that wrote the lock file.
func (n *nodePlan) pnpm(lock, version string) string {
	return "npx --yes pnpm@" + or(version, n.pnpmVersion()) + " install" + frozen(lock, " --frozen-lockfile")
}

func (n *nodePlan) pnpmVersion() string {
	if m := pnpmLock.FindSubmatch(n.prefix("pnpm-lock.yaml", 1024)); m != nil {
		switch string(m[1]) {
		case "5":
			return "7"
		case "6":
			return "8"
		}
	}
	return "10"
}

// ownPackage installs a package that the project does not have itself, beside its own.
const ownPackage = "npm install --no-save --no-package-lock --prefix .slipway "

// linkManagers puts the package managers that scripts call to where npm finds them:
// the runtime may have only npm.
func (n *nodePlan) linkManagers() {
	for _, m := range []string{"pnpm", "bun", "yarn"} {
		if !n.scriptsCall(m) {
			continue
		}
		if m != "bun" || !slices.ContainsFunc(n.File.Build, func(c string) bool { return strings.HasPrefix(c, ownPackage+"bun@") }) {
			n.File.Build = append(n.File.Build, ownPackage+m+"@"+n.managerVersion(m))
		}
		n.File.Build = append(n.File.Build, "mkdir -p node_modules/.bin && ln -sf ../../.slipway/node_modules/.bin/"+m+" node_modules/.bin/"+m)
		n.why("a script calls %s -> it is installed for scripts", m)
	}
}

// scriptsCall reports whether a script that is run, or one that may be run by it,
// begins a command with a program.
func (n *nodePlan) scriptsCall(program string) bool {
	call := regexp.MustCompile(`(?:^|&&|\|\||;)\s*(?:[A-Z_]+=\S+\s+)*` + program + `x?\s`)
	for _, p := range []packageJSON{n.root, n.app} {
		for _, name := range []string{"start", "prestart", "build", "prebuild", "postbuild", "start:prod", "heroku-postbuild", "postinstall"} {
			if call.MatchString(p.script(name) + " ") {
				return true
			}
		}
	}
	return false
}

// managerVersion returns the version of a package manager to install: that of
// packageManager, of the lock file, or its usual one.
func (n *nodePlan) managerVersion(name string) string {
	if field, ok := strings.CutPrefix(n.root.PackageManager.v, name+"@"); ok {
		if v, _, _ := strings.Cut(field, "+"); exactVersion.MatchString(v) && (name != "yarn" || strings.HasPrefix(v, "1.")) {
			return v
		}
	}
	if name == "pnpm" {
		return n.pnpmVersion()
	}
	return "1"
}
