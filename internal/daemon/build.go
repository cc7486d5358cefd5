package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/builds"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/repository"
	"github.com/openslipway/slipway/internal/source/upload"
	"github.com/openslipway/slipway/internal/uploads"
)

// openBuilds opens what makes images of code: git, uploads, the builder and, over all of
// them, the maker that deployments call.
func (c *controlRole) openBuilds(context.Context) (err error) {
	if c.git, err = openGit(c.cfg, c.dirs); err != nil {
		return err
	}
	if err = c.openUploads(); err != nil {
		return err
	}
	cfg, err := c.buildConfig()
	if err != nil {
		return err
	}
	if c.builder, err = build.New(cfg); err != nil {
		return err
	}
	if c.builds, err = builds.New(builds.Config{List: c.runtimes.List, Prune: c.builder.Prune}); err != nil {
		return err
	}
	c.code, err = repository.New(repository.Config{
		Dir: c.dirs.source(), Git: c.git, Uploads: c.uploads, Builder: c.builder, Images: c.images, Log: c.part("build"), Output: c.keepOutput,
	})
	return err
}

func (c *controlRole) openUploads() (err error) {
	limits := upload.DefaultLimits()
	if c.cfg.UploadQuota > 0 {
		limits.Stored = int64(c.cfg.UploadQuota) << 20
	}
	c.uploads, err = uploads.New(uploads.Config{Dir: c.dirs.uploads(), Store: c.store, Log: c.part("uploads"), Limits: limits})
	return err
}

func openGit(all Config, d dirs) (*git.Git, error) {
	c := all.Git
	reach, err := all.codeReach()
	if err != nil {
		return nil, err
	}
	cfg := git.Config{Dir: d.git(), Protocols: c.Protocols, Directories: c.Directories, CAFile: c.CAFile, KnownHosts: git.PublicHosts(), Reach: reach}
	if c.KnownHosts != "" {
		keys, err := os.ReadFile(c.KnownHosts)
		if err != nil {
			return nil, fmt.Errorf("--git-known-hosts: %w", err)
		}
		cfg.KnownHosts = append(cfg.KnownHosts, keys...)
	}
	return git.New(cfg)
}

func (c *controlRole) buildConfig() (build.Config, error) {
	b := c.cfg.Build
	runner := step.Runner{Jobs: c.jobs}
	cfg := build.Config{
		Dir: c.dirs.build(), Images: c.images, Runner: runner, Log: c.part("build"), Concurrent: b.Concurrent,
		Limits: build.Limits{CPU: b.CPU, Memory: b.Memory, Pids: b.Pids, Disk: b.Disk << 20, Time: b.Time}, CacheBytes: b.Cache << 20,
		Advice: map[runtime.Limit]string{
			runtime.LimitMemory: "with --build-memory", runtime.LimitTime: "with --build-time", runtime.LimitPids: "with --build-pids",
			runtime.LimitDisk: "with --build-disk", build.LimitCache: "with --build-cache",
		},
	}
	way, err := wayOf(b, step.HostWay(b.getenv))
	if err != nil {
		return cfg, err
	}
	if cfg.Way, err = way.WithJavaStore(c.dirs.build()); err != nil {
		if b.CAFile != "" {
			return cfg, fmt.Errorf("--build-ca-file: %w", err)
		}
		c.log.Warn("builds cannot trust what this host does", "err", err)
		cfg.Way.CAFile = ""
	}
	var table []byte
	if b.RuntimesFile != "" {
		if table, err = os.ReadFile(b.RuntimesFile); err != nil {
			return cfg, fmt.Errorf("--runtimes-file: %w", err)
		}
	}
	c.runtimes, err = runtimes.New(runtimes.Config{
		Dir: c.dirs.runtimes(), Images: c.images, Runner: runner, Log: c.part("runtimes"), Way: cfg.Way,
		RecipesOnly: b.RecipesOnly, Override: table, OverrideName: b.RuntimesFile, CheckEvery: b.RuntimeCheck,
	})
	cfg.Runtimes, cfg.Docker = c.runtimes, &build.Docker{Runner: runner, Images: image.Bases{Store: c.images}}
	return cfg, err
}

// getenv returns a variable of the environment that says how the host reaches the
// outside.
func (b Build) getenv(name string) string {
	if b.Getenv == nil {
		return ""
	}
	return b.Getenv(name)
}

// nothing is the value of a flag that keeps builds from having the host's.
const nothing = "none"

// wayOf returns how builds reach the outside: as the host does, unless flags say
// otherwise.
func wayOf(b Build, way step.Way) (step.Way, error) {
	for _, f := range []struct {
		flag string
		of   *string
	}{{b.CAFile, &way.CAFile}, {b.Proxy, &way.Proxy}, {b.NoProxy, &way.NoProxy}} {
		switch f.flag {
		case "":
		case nothing:
			*f.of = ""
		default:
			*f.of = f.flag
		}
	}
	for _, v := range b.Env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return way, fmt.Errorf("--build-env is %.40q; it must be NAME=value", v)
		}
		way.Env = append(way.Env, config.Variable{Name: name, Value: value})
	}
	return way, nil
}

// keepOutput appends a line to the output of an operation's or a check's build.
func (c *controlRole) keepOutput(service, operation, line string) {
	if c.checks.Line(operation, line) {
		return
	}
	stream := logs.Stream{Service: service, Name: "build/" + operation}
	_, err := c.logs.Append(context.Background(), stream, []logs.Line{{At: time.Now(), Kind: logs.Stdout, Text: line}})
	if err != nil {
		c.log.Error("cannot keep the output of a build", "service", service, "operation", operation, "err", err)
	}
}

const (
	firstRefresh = 10 * time.Minute // after the start, which has more urgent work
	mostRefresh  = 6 * time.Hour    // all runtimes are made of packages, one after the other
	refreshEvery = time.Hour        // which runtimes are due is said by runtimes.Config.CheckEvery
)

// refresh makes runtimes again whose packages have newer versions.
type refresh struct {
	runtimes *runtimes.Set
	loops    *loop.Set
	log      *slog.Logger
}

// Run looks for newer packages until ctx ends.
func (r refresh) Run(ctx context.Context) error {
	return loop.Run(ctx, loop.Config{Name: "runtimes", Log: r.log, Set: r.loops, First: firstRefresh, Every: refreshEvery, Most: mostRefresh}, r.runtimes.Refresh)
}
