package runtimes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// path of programs in made runtimes.
const programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// limits of the stages of recipes.
func limits() step.Limits {
	return step.Limits{Memory: 2048, Pids: 2048, Disk: 10 << 30, Output: 4 << 20, Time: 20 * time.Minute}
}

// kitchen is one runtime or base being made.
type kitchen struct {
	*Set
	dir string // of its own
	say func(string)
}

// cook makes a runtime by its recipe, and returns the image of the base too.
func (s *Set) cook(ctx context.Context, e entry, wanted string, say func(string)) (digest, from string, err error) {
	if from, err = s.base(ctx, e.Recipe.Base, say); err != nil {
		return "", "", err
	}
	dir, err := os.MkdirTemp(s.path("work"), e.Name+"-*")
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k := &kitchen{s, dir, say}
	var layers []image.NewLayer
	if e.Recipe.Fetch != nil {
		say("Making " + e.Name + ": fetching what is not in Debian's packages.")
		l, err := k.fetch(ctx, from, e, wanted)
		if err != nil {
			return "", "", err
		}
		layers = append(layers, l)
	}
	commands := append(install(e.Recipe.Packages), e.Recipe.Commands...)
	if len(commands) > 0 {
		say("Making " + e.Name + ": installing Debian packages.")
		l, err := k.stage(ctx, "packages", step.Stage{Image: from, Commands: commands, Env: s.env(wanted)})
		if err != nil {
			return "", "", err
		}
		layers = append(layers, l)
	}
	env := []string{"PATH=" + programPath}
	if p := e.Env["PATH"]; p != "" {
		env[0] = "PATH=" + p
	}
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		if name != "PATH" {
			env = append(env, name+"="+e.Env[name])
		}
	}
	img, err := s.cfg.Images.Adopt(ctx, image.Adoption{Base: from, Layers: layers, Config: image.RunConfig{Env: env, Dir: "/app"}, Created: time.Now().UTC()})
	return img.Digest, from, err
}

// update fetches the lists of packages, and fails if a mirror does not answer.
const update = "apt-get -q -o APT::Update::Error-Mode=any update"

// install returns the commands that install Debian packages and leave nothing else.
func install(packages []string) []string {
	if len(packages) == 0 {
		return nil
	}
	return []string{
		update,
		"apt-get -qy -o Dpkg::Use-Pty=0 install --no-install-recommends " + strings.Join(packages, " "),
		"apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log",
	}
}

// env returns the variables of a recipe's commands.
func (s *Set) env(lock string) []string {
	return step.Environment([]config.Variable{
		{Name: "PATH", Value: programPath},
		{Name: "HOME", Value: "/root"},
		{Name: "LOCK", Value: lock},
		{Name: "DEBIAN_FRONTEND", Value: "noninteractive"},
		{Name: "DEBCONF_NONINTERACTIVE_SEEN", Value: "true"},
	}, s.cfg.Way.Variables())
}

// fetch makes the layer of what a recipe fetches to /usr/local.
func (k *kitchen) fetch(ctx context.Context, from string, e entry, wanted string) (image.NewLayer, error) {
	f := e.Recipe.Fetch
	l, err := k.stage(ctx, "fetch", step.Stage{Image: from, Commands: append(install(f.Packages), f.Commands...), Env: k.env(wanted)})
	if err != nil {
		return l, err
	}
	kept := filepath.Join(k.dir, "fetched")
	if err := os.MkdirAll(kept+"/usr", 0o755); err != nil {
		return l, err
	}
	if st, err := os.Lstat(l.Dir + "/usr"); err != nil || !st.IsDir() {
		return l, errors.New("it fetched nothing to /usr/local")
	}
	if err := os.Rename(l.Dir+"/usr/local", kept+"/usr/local"); err != nil {
		return l, fmt.Errorf("it fetched nothing to /usr/local: %w", err)
	}
	return layerOf(ctx, kept, l.By)
}

func layerOf(ctx context.Context, dir, by string) (image.NewLayer, error) {
	p, err := pack.Digest(ctx, dir)
	return image.NewLayer{Dir: dir, DiffID: p.DiffID, Size: p.Size, Entries: p.Entries, By: by}, err
}

// stage runs commands and returns what they changed. When they fail, the last lines of
// their output are in the error.
func (k *kitchen) stage(ctx context.Context, name string, s step.Stage) (image.NewLayer, error) {
	s.Changes = filepath.Join(k.dir, name)
	s.Limits, s.Networks = limits(), k.cfg.Way.Networks
	s.Binds = append(s.Binds, k.cfg.Way.Binds()...)
	if s.Dir == "" {
		s.Dir = "/"
	}
	var out tail
	began := time.Now()
	res, err := k.cfg.Runner.Run(ctx, s, &out)
	if err != nil {
		return image.NewLayer{}, err
	}
	if res.Exit.Code != 0 {
		for line := range strings.Lines(out.text()) {
			k.say(strings.TrimRight(line, "\n"))
		}
		return image.NewLayer{}, &commandFailed{stage: name, command: res.Last + 1, code: res.Exit.Code, limit: string(res.Limit), reason: res.Exit.Reason, says: out.says(), last: out.last()}
	}
	k.cfg.Log.Debug("ran a part of a recipe", "part", name, "took", time.Since(began).Round(time.Millisecond), "bytes", res.Layer.Size)
	return image.NewLayer{Dir: s.Changes, DiffID: res.Layer.DiffID, Size: res.Layer.Size, Entries: res.Layer.Entries, By: "slipway runtime: " + name}, nil
}

// codeNoVersion is the exit code of a recipe's command that finds no version for its
// lock: EX_DATAERR of sysexits.h.
const codeNoVersion = 65

// commandFailed is a failed command of a recipe.
type commandFailed struct {
	stage         string
	command, code int // command counts from 1
	limit, reason string
	says          string // the line of its output that says most
	last          string // the last line of its output
}

func (f *commandFailed) Error() string {
	text := fmt.Sprintf("command %d of %s ended with code %d", f.command, f.stage, f.code)
	for _, more := range []string{f.limit, f.reason} {
		if more != "" {
			text += ", " + more
		}
	}
	return text + ": " + f.says
}

// tail keeps the end of the output of a stage.
type tail struct{ end []byte }

func (t *tail) Begin(int) {}
func (t *tail) Output(data []byte) {
	t.end = append(t.end, data...)
	if n := len(t.end) - 4000; n > 0 {
		t.end = t.end[n:]
	}
}

func (t *tail) text() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.end)), "?") }

// says returns the line that says most: the first of those in which apt, npm or Go say
// what went wrong, or else the last one.
func (t *tail) says() string {
	lines := strings.Split(t.text(), "\n")
	for _, sign := range []string{"E: ", "npm ERR! ", "npm error ", "go: "} {
		for _, l := range lines {
			if strings.HasPrefix(l, sign) {
				return l
			}
		}
	}
	return t.last()
}

func (t *tail) last() string {
	text := t.text()
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// basePrefix begins the names of the records of bases.
const basePrefix = "base-"

// base returns the image of a base, and makes it first if it is not there.
func (s *Set) base(ctx context.Context, name string, say func(string)) (digest string, err error) {
	b := s.table.Bases[name]
	key, _, err := s.baseKey(b)
	if err != nil {
		return "", err
	}
	done, err := s.lock(ctx, basePrefix+name)
	if err != nil {
		return "", err
	}
	defer done()
	if m, ok := s.find(ctx, basePrefix+name, key); ok {
		return m.Image, nil
	}
	m, err := s.makeBase(ctx, name, b, say)
	return m.Image, err
}

// baseKey identifies what a base is made of, and returns its sources.
func (s *Set) baseKey(b base) (key, sources string, err error) {
	if sources = b.Sources; sources == "" {
		sources, err = debianSources(s.cfg.Apt, b.Suite)
	}
	return keyOf("base", 2, b, sources), sources, err
}

// makeBase makes a base, whose lock the caller has.
func (s *Set) makeBase(ctx context.Context, name string, b base, say func(string)) (m Made, err error) {
	key, sources, err := s.baseKey(b)
	if err != nil {
		return m, err
	}
	dir, err := os.MkdirTemp(s.path("work"), "base-*")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k := &kitchen{s, dir, say}
	say("Making the base system " + name + ", once for all runtimes: downloading and unpacking its packages.")
	layers, err := k.debian(ctx, b, sources)
	if err != nil {
		return m, fmt.Errorf("make the base %s: %w", name, err)
	}
	img, err := s.cfg.Images.Adopt(ctx, image.Adoption{Layers: layers, Config: image.RunConfig{Env: []string{"PATH=" + programPath}}, Created: time.Now().UTC()})
	if err != nil {
		return m, err
	}
	m = Made{Key: key, Image: img.Digest, Origin: originRecipe}
	return m, s.record(basePrefix+name, m)
}

// debian makes a root file system of Debian packages: one layer with the unpacked
// packages, one with what their configuration changed.
func (k *kitchen) debian(ctx context.Context, b base, sources string) ([]image.NewLayer, error) {
	root, host := filepath.Join(k.dir, "root"), filepath.Join(k.dir, "host")
	if err := errors.Join(hostView(host), emptyRoot(root, b.Suite, sources)); err != nil {
		return nil, err
	}
	binds := []runtime.Bind{{Source: root, Target: "/target", Write: true}, {Source: "/usr", Target: "/usr"}}
	for _, dir := range []string{"apt.conf.d", "auth.conf.d", "trusted.gpg.d"} {
		if st, err := os.Stat(filepath.Join(k.cfg.Apt, dir)); err == nil && st.IsDir() {
			binds = append(binds, runtime.Bind{Source: filepath.Join(k.cfg.Apt, dir), Target: "/etc/apt/" + dir})
		}
	}
	for _, dir := range []string{"/etc/ssl/certs", "/etc/alternatives"} {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			binds = append(binds, runtime.Bind{Source: dir, Target: dir})
		}
	}
	_, err := k.stage(ctx, "unpack", step.Stage{
		Layers: []string{host}, Binds: binds, Env: append(k.env(""), "APT_CONFIG=/etc/apt/target.conf"),
		Commands: []string{update, "apt-get -qy -d install '?essential' " + strings.Join(b.Packages, " "), unpackAll},
	})
	if err != nil {
		return nil, err
	}
	unpacked, err := layerOf(ctx, root, "slipway runtime: unpack "+b.Suite)
	if err != nil {
		return nil, err
	}
	k.say("Making the base system: configuring its packages.")
	configured, err := k.stage(ctx, "configure", step.Stage{Layers: []string{root}, Env: k.env(""), Commands: []string{configureAll}})
	return []image.NewLayer{unpacked, configured}, err
}

// unpackAll unpacks the downloaded packages below /target.
const unpackAll = `set -e
cd /target
for p in var/cache/apt/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$p" | tar -xpf - --keep-directory-symlink --exclude='./usr/share/doc/*' --exclude='./usr/share/locale/*'
done`

// configureAll configures the unpacked packages in the root that they make.
const configureAll = `set -e
dpkg --force-depends --install /var/cache/apt/archives/*.deb
dpkg --configure -a
rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log
mkdir -p /app`

// hostView makes the root of the sandbox in which the host's apt runs.
func hostView(dir string) error {
	conf := `Dir "/target";
Dir::Bin "/usr/bin";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Etc "/target/etc/apt";
Dir::Etc::main "/etc/apt/apt.conf";
Dir::Etc::parts "/etc/apt/apt.conf.d";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
Dir::State::status "/target/var/lib/dpkg/status";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
`
	return writeTree(dir, []string{"usr", "etc/apt", "etc/ssl/certs", "etc/alternatives", "target", "tmp", "root", "var/lib/dpkg", "run"},
		map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"},
		map[string]string{"etc/apt/target.conf": conf, "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/nsswitch.conf": "hosts: files dns\n"})
}

// emptyRoot makes what must be there before packages are unpacked.
func emptyRoot(dir, suite, sources string) error {
	return writeTree(dir, []string{
		"usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc/apt/sources.list.d", "etc/apt/preferences.d", "etc/apt/apt.conf.d", "etc/dpkg/dpkg.cfg.d",
		"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "tmp", "root", "dev", "proc", "sys",
	}, map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}, map[string]string{
		"etc/apt/sources.list.d/" + suite + ".sources": sources,
		"etc/apt/apt.conf.d/90slipway":                 "APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n",
		"etc/dpkg/dpkg.cfg.d/slipway":                  "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\nforce-unsafe-io\n",
		"var/lib/dpkg/status":                          "",
		"var/lib/dpkg/available":                       "",
		"usr/sbin/policy-rc.d":                         "#!/bin/sh\nexit 101\n",
	})
}

// writeTree makes directories, links and files.
func writeTree(dir string, dirs []string, links, files map[string]string) error {
	for _, d := range append([]string{""}, dirs...) {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(dir, "tmp"), 0o1777|fs.ModeSticky)
}
