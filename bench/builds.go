package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// project is source code in a repository, with what builds it.
type project struct {
	name    string
	runtime types.Runtime
	build   string
	start   string
	file    string // of which one line changes
	dir     string // the repository's work tree
	changes int
}

const goMain = `package main

import (
	"fmt"
	"net/http"
	"os"
)

const version = 0

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, version) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
`

const nodeMain = `const version = 0
require('http').createServer((q, r) => r.end(String(version))).listen(process.env.PORT)
`

// nodePackages are what the Node.js project depends on; with what these depend on, some
// 300 packages.
const nodePackages = `{"name":"shop","version":"1.0.0","dependencies":{"express":"4.21.2","webpack":"5.97.1","eslint":"8.57.1","mocha":"10.8.2"}}
`

// newProject makes a repository.
func newProject(ctx context.Context, root string, p project, files map[string]string) (*project, error) {
	p.dir = filepath.Join(root, p.name)
	for name, text := range files {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return nil, err
		}
	}
	if err := p.git(ctx, "init", "-q", "-b", "main"); err != nil {
		return nil, err
	}
	return &p, p.commit(ctx)
}

func (p *project) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=b@example.com", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=b@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

func (p *project) commit(ctx context.Context) error {
	if err := p.git(ctx, "add", "-A"); err != nil {
		return err
	}
	return p.git(ctx, "commit", "-q", "-m", "change "+strconv.Itoa(p.changes))
}

// change changes one line and commits it.
func (p *project) change(ctx context.Context) error {
	path := filepath.Join(p.dir, p.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	p.changes++
	now := strings.Replace(string(text), fmt.Sprintf("version = %d\n", p.changes-1), fmt.Sprintf("version = %d\n", p.changes), 1)
	if now == string(text) {
		return fmt.Errorf("%s has no line to change", path)
	}
	if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
		return err
	}
	return p.commit(ctx)
}

// createCode creates a service from code, and returns the operation.
func (s *server) createCode(ctx context.Context, name string, p *project) (*service, string, error) {
	out, err := s.CreateService(ctx, &apprunner.CreateServiceInput{
		ServiceName: &name,
		SourceConfiguration: &types.SourceConfiguration{
			AutoDeploymentsEnabled: aws.Bool(false),
			CodeRepository: &types.CodeRepository{
				RepositoryUrl:     aws.String("file://" + p.dir),
				SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
				CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceApi, CodeConfigurationValues: &types.CodeConfigurationValues{
					Runtime: p.runtime, BuildCommand: &p.build, StartCommand: &p.start, Port: aws.String("8080"),
				}},
			},
		},
	})
	if err != nil {
		return nil, "", fmt.Errorf("create %s: %w", name, err)
	}
	return &service{s: s, arn: *out.Service.ServiceArn, url: *out.Service.ServiceUrl}, *out.OperationId, nil
}

// buildEnded is ended for an operation that builds, which may make a runtime first.
func (v *service) buildEnded(ctx context.Context, name, id string) error {
	for range 10 { // patience each
		err := v.ended(ctx, id)
		if err == nil || !strings.Contains(err.Error(), "given up after") {
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, v.buildLog(ctx, name, id))
			}
			return err
		}
	}
	return fmt.Errorf("operation %s has not ended", id)
}

func (v *service) buildLog(ctx context.Context, name, id string) string {
	cmd := exec.CommandContext(ctx, v.s.bin, "logs", name, "--deployment", id)
	cmd.Env = append(os.Environ(), "SLIPWAY_ENDPOINT="+v.s.ready.API, "SLIPWAY_CREDENTIALS="+v.s.ready.Credentials, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + "\n" + string(out)
	}
	return string(out)
}

// deployed is how long a deployment took: all of it, and what is between the lines of
// its log about the build.
type deployed struct{ all, build time.Duration }

// deploy deploys the newest commit.
func (v *service) deploy(ctx context.Context, name string) (d deployed, err error) {
	began := time.Now()
	out, err := v.s.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: &v.arn})
	if err != nil {
		return d, err
	}
	if err := v.buildEnded(ctx, name, *out.OperationId); err != nil {
		return d, err
	}
	d.all = time.Since(began)
	d.build, err = buildTime(v.buildLog(ctx, name, *out.OperationId))
	return d, err
}

// buildTime returns the time between the first and the last line of a build.
func buildTime(log string) (time.Duration, error) {
	const form = "2006-01-02 15:04:05.000"
	var from, to time.Time
	for line := range strings.Lines(log) {
		if len(line) < len(form) {
			continue
		}
		at, err := time.Parse(form, line[:len(form)])
		switch {
		case err != nil:
		case strings.Contains(line, "] Starting to build your application source code."):
			from = at
		case strings.Contains(line, "] Successfully built your application source code.") && to.IsZero():
			to = at
		}
	}
	if from.IsZero() || to.IsZero() {
		return 0, fmt.Errorf("the log does not say how long the build took:\n%s", log)
	}
	return to.Sub(from), nil
}

// builder is all that builds are measured with.
type builder struct {
	*lab
	s       *server
	r       *report
	bare    map[types.Runtime]*bareRoot
	buildah *buildah // nil where there is none
	n       int
}

// measureBuilds measures builds, and deployments that build.
func measureBuilds(ctx context.Context, l *lab, r *report) error {
	s := &server{bin: l.slipway, dir: filepath.Join(l.dir, "builds"), flags: []string{
		"--runtime-recipes", "--git-protocols", "file", "--git-directory", filepath.Join(l.dir, "repositories"),
		"--new-database", // beside the images of the runtimes that it is given
	}}
	if l.runtimes != "" {
		if err := copyRuntimes(l.runtimes, s.dir); err != nil {
			return err
		}
	}
	if _, err := s.start(ctx); err != nil {
		return err
	}
	b := &builder{lab: l, s: s, r: r, bare: map[types.Runtime]*bareRoot{}}
	err := b.measure(ctx)
	for _, root := range b.bare {
		err = errors.Join(err, root.close())
	}
	if b.buildah != nil {
		err = errors.Join(err, b.buildah.close())
	}
	if e := new(unreachable); errors.As(err, &e) {
		r.absent("Builds", e.Error())
		err = nil
	}
	return errors.Join(err, s.close())
}

// unreachable is the error of a build that needs a package registry.
type unreachable struct{ why string }

func (u *unreachable) Error() string { return u.why }

func (b *builder) measure(ctx context.Context) error {
	root := filepath.Join(b.dir, "repositories")
	golang, err := newProject(ctx, root, project{name: "golang", runtime: types.RuntimeGo1, build: "go build -o server .", start: "./server", file: "main.go"},
		map[string]string{"main.go": goMain, "go.mod": "module example.com/shop\n\ngo 1.18\n"})
	if err != nil {
		return err
	}
	python, err := newProject(ctx, root, project{name: "nothing", runtime: types.RuntimePython311, build: "true", start: "exec python3 -m http.server $PORT", file: "version"},
		map[string]string{"version": "version = 0\n"})
	if err != nil {
		return err
	}
	node, err := newProject(ctx, root, project{name: "nodejs", runtime: types.Runtime("NODEJS_22"), build: "npm ci --no-audit --no-fund", start: "node server.js", file: "server.js"},
		map[string]string{"server.js": nodeMain, "package.json": nodePackages})
	if err != nil {
		return err
	}
	services := map[*project]*service{}
	for _, p := range []*project{python, golang, node} {
		if services[p], err = b.prepare(ctx, p); err != nil {
			return err
		}
		if b.runtimes == "" {
			continue
		}
		if err := copyRuntimes(b.s.dir, b.runtimes); err != nil {
			return err
		}
	}
	if b.buildah, err = newBuildah(ctx, b.lab, b.bare); err != nil {
		b.r.absent("buildah", firstLine([]byte(err.Error())))
	}
	for _, p := range []*project{python, golang, node} {
		if err := b.compare(ctx, p, services[p]); err != nil {
			return err
		}
	}
	if err := b.unchanged(ctx, services[golang]); err != nil {
		return err
	}
	return b.first(ctx, node)
}

// prepare makes a project's service, with its runtime and full caches, and the same
// runtime for bare commands.
func (b *builder) prepare(ctx context.Context, p *project) (*service, error) {
	whole := *p
	if p.name == "nodejs" { // the lock file is made by the same npm
		whole.build = "npm install --no-audit --no-fund --package-lock-only && cat package-lock.json > /dev/null && npm ci --no-audit --no-fund"
	}
	v, id, err := b.s.createCode(ctx, p.name, &whole)
	if err != nil {
		return nil, err
	}
	if err := v.buildEnded(ctx, p.name, id); err != nil {
		for _, sign := range []string{"EAI_AGAIN", "ENOTFOUND", "Temporary failure resolving", "Could not resolve", "could not be made", "no such host"} {
			if strings.Contains(err.Error(), sign) {
				return nil, &unreachable{"a package registry cannot be reached: " + sign}
			}
		}
		return nil, err
	}
	root, err := newBareRoot(b.lab, b.s.dir, p)
	if err != nil {
		return nil, err
	}
	b.bare[p.runtime] = root
	if p.name != "nodejs" {
		return v, nil
	}
	return v, b.lockPackages(ctx, p, v)
}

// lockPackages makes the lock file of the Node.js project by the runtime's own npm, and
// has its service built with it.
func (b *builder) lockPackages(ctx context.Context, p *project, v *service) error {
	root := b.bare[p.runtime]
	if _, err := root.run(ctx, p, "npm install --no-audit --no-fund --package-lock-only"); err != nil {
		return err
	}
	lock, err := os.ReadFile(filepath.Join(root.tree, "package-lock.json"))
	if err != nil {
		return err
	}
	b.r.packages = strings.Count(string(lock), `"resolved":`)
	if err := os.WriteFile(filepath.Join(p.dir, "package-lock.json"), lock, 0o644); err != nil {
		return err
	}
	if err := p.commit(ctx); err != nil {
		return err
	}
	_, err = v.s.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: &v.arn, SourceConfiguration: &types.SourceConfiguration{
		CodeRepository: &types.CodeRepository{
			RepositoryUrl: aws.String("file://" + p.dir), SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
			CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceApi, CodeConfigurationValues: &types.CodeConfigurationValues{
				Runtime: p.runtime, BuildCommand: &p.build, StartCommand: &p.start, Port: aws.String("8080"),
			}},
		},
	}})
	if err != nil {
		return err
	}
	return poll(ctx, 50*time.Millisecond, func() (bool, error) {
		out, err := v.s.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: &v.arn})
		if err != nil {
			return false, err
		}
		if out.Service.Status != types.ServiceStatusRunning {
			return false, fmt.Errorf("the service is %s", out.Service.Status)
		}
		return true, nil
	})
}

// compare has the ways to build take turns at a project, of which one line changes each
// time. Caches are full.
func (b *builder) compare(ctx context.Context, p *project, v *service) error {
	row := &buildRow{what: p.build}
	b.r.builds = append(b.r.builds, row)
	for round := range b.buildRounds + 1 {
		if err := p.change(ctx); err != nil {
			return err
		}
		if err := b.r.noise.waitForQuiet(ctx); err != nil {
			return err
		}
		bare, err := b.bare[p.runtime].run(ctx, p, p.build)
		if err != nil {
			return err
		}
		if err := b.r.noise.waitForQuiet(ctx); err != nil {
			return err
		}
		d, err := v.deploy(ctx, p.name)
		if err != nil {
			return err
		}
		var other time.Duration
		if b.buildah != nil {
			if err := b.r.noise.waitForQuiet(ctx); err != nil {
				return err
			}
			if other, err = b.buildah.build(ctx, p); err != nil {
				return err
			}
		}
		if round == 0 { // warms caches
			continue
		}
		row.bare, row.build, row.deployment = append(row.bare, bare), append(row.build, d.build), append(row.deployment, d.all)
		if b.buildah != nil {
			row.buildah = append(row.buildah, other)
		}
	}
	return nil
}

// unchanged deploys the commit that runs already.
func (b *builder) unchanged(ctx context.Context, v *service) error {
	for round := range b.buildRounds + 1 {
		if err := b.r.noise.waitForQuiet(ctx); err != nil {
			return err
		}
		began := time.Now()
		out, err := v.s.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: &v.arn})
		if err == nil {
			err = v.ended(ctx, *out.OperationId)
		}
		if err != nil {
			return err
		}
		if round > 0 {
			b.r.unchanged = append(b.r.unchanged, time.Since(began))
		}
	}
	return nil
}

// first deploys a project for the first time: its caches are empty.
func (b *builder) first(ctx context.Context, p *project) error {
	root := b.bare[p.runtime]
	for range max(b.buildRounds/3, 1) {
		if err := root.emptyCaches(); err != nil {
			return err
		}
		if err := b.r.noise.waitForQuiet(ctx); err != nil {
			return err
		}
		bare, err := root.run(ctx, p, p.build)
		if err != nil {
			return err
		}
		if err := p.change(ctx); err != nil {
			return err
		}
		if err := b.r.noise.waitForQuiet(ctx); err != nil {
			return err
		}
		b.n++
		name := fmt.Sprintf("first-%d", b.n)
		began := time.Now()
		v, id, err := b.s.createCode(ctx, name, p)
		if err == nil {
			err = v.buildEnded(ctx, name, id)
		}
		if err != nil {
			return err
		}
		b.r.firstBare, b.r.first = append(b.r.firstBare, bare), append(b.r.first, time.Since(began))
	}
	return nil
}
