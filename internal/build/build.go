package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/build/docker"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/sbom"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// Runner runs the commands of a stage. step.Runner is one.
type Runner interface {
	Run(ctx context.Context, s step.Stage, log step.Log) (step.Result, error)
}

// Runtimes provides root file systems with a language. *runtimes.Set does.
type Runtimes interface {
	// Resolve returns the runtime of that name, ready to use, in the newest version
	// that the lock allows ("3.11"; "" for any). It may take minutes, and then says
	// what it does. It returns a *slipway.Error for what the user can fix.
	Resolve(ctx context.Context, name, lock string, say func(line string)) (runtimes.Runtime, error)
	// Slim returns an image for static programs that a runtime has built.
	Slim(ctx context.Context, rt runtimes.Runtime) (digest string, err error)
}

// Images is the part of the image store that builds need.
type Images interface {
	Adopt(ctx context.Context, a image.Adoption) (image.Image, error)
	// Layers fails if the store does not have the image, or not completely.
	Layers(ctx context.Context, digest string) ([]string, error)
}

// Config is what a Builder needs. Dir, Images, Runner, Runtimes and Log are required.
type Config struct {
	Dir      string // state; made if it is missing. On the image store's file system
	Images   Images
	Runner   Runner
	Runtimes Runtimes
	Log      *slog.Logger

	// Docker is what builds of Dockerfiles need. nil: there are none.
	Docker *Docker

	// Version of the builder: another one builds everything again.
	Version string

	// Concurrent is how many builds run at once, over all services. 0: DefaultConcurrent.
	Concurrent int
	// Spare returns how much memory builds may take beside what runs, in bytes. A
	// build waits while its limit is more, unless it is the only one. nil: what the
	// kernel says is available.
	Spare func() (int64, error)

	// Room returns how many bytes and files builds may still write to the disk of Dir.
	// A build that leaves none is stopped. nil: what is free, but for a reserve.
	Room func() (bytes, files int64, err error)

	// Limits of each stage, where a request has none. Zero values mean the defaults.
	Limits Limits
	// Advice says how a limit can be raised, for the log of a build that met it: "with
	// --build-memory". May be nil.
	Advice map[runtime.Limit]string

	// CacheBytes is what the caches of a service may take after a build. At twice as
	// much the build is stopped. 0: DefaultCacheBytes.
	CacheBytes int64
	// Way is how builds reach package registries. It is not part of an image's key.
	Way Way
}

// Docker is what builds of Dockerfiles need: the same sandboxes and images as other
// builds, with more of what they can do.
type Docker struct {
	Runner docker.Runner
	Images docker.Images
}

// Way is how builds reach package registries.
type Way = step.Way

// Limits bound each stage of a build. Zero values mean the defaults.
type Limits struct {
	CPU    int           // units, 1024 are one core; all cores
	Memory int           // MiB; DefaultMemory, at most half of the machine's
	Pids   int           // 4096
	Disk   int64         // bytes that a stage may write outside of caches; 10 GiB
	Output int64         // bytes of log; 16 MiB
	Time   time.Duration // 30 minutes
}

const (
	// DefaultConcurrent is how many builds run at once.
	DefaultConcurrent = 2
	// DefaultCacheBytes is what the caches of a service may take.
	DefaultCacheBytes = 5 << 30
	// DefaultMemory is the memory limit of a build, in MiB.
	DefaultMemory = 4096
)

// Mode is the way of building.
type Mode = slipway.BuildMode

const (
	ModeRuntime = slipway.BuildModeAppRunner // App Runner's for the runtime: original or revised
	ModeKeep    = slipway.BuildModeKeep      // the run image is the build image, with all that was changed
)

// Request is one build.
type Request struct {
	Service string // its id: caches and results are by service

	// Tree is a directory with the whole source tree. Build takes it: it is moved or
	// changed, and what is left of it is the caller's to remove. Nobody else may have
	// access to it.
	Tree string
	// SourceID identifies the content of Tree, or of the part that the build sees. The
	// same id and settings give the same image without a build. "": always build.
	SourceID        string
	Origin          string    // URL of the repository without credentials, for the image's labels; may be ""
	SourceDirectory string    // where commands run, below the tree's root; "" or "/": there
	Commit          string    // for the image's labels; may be ""
	Time            time.Time // of the commit: of the image's files. Zero: as they are

	File     config.File
	Mode     Mode
	Env      []config.Variable // the service's, for build commands; File.BuildEnv has precedence over it
	Secrets  []config.Variable // have precedence over both; masked in the log, and their values are no part of a key
	Settings string            // identifies settings that the fields above don't show: where secrets come from
	Limits   Limits

	// Program is the path below SourceDirectory of a static program that the build
	// commands make, which needs nothing else of the build: the image has it, but
	// neither the source nor the runtime. "": the image has both. A program that is not
	// static after all gets them.
	Program string

	// Dockerfile is the path of the Dockerfile that makes the image, below
	// SourceDirectory, which is its build context. "": a managed runtime makes it. A
	// Dockerfile's build uses nothing of File.
	Dockerfile string
	Target     string            // the stage of the Dockerfile to build; "" for the last
	Args       []config.Variable // values of the Dockerfile's ARGs
}

// Result is what a build made.
type Result struct {
	Digest         string // of the image's manifest
	Runtime        string // name
	RuntimeVersion string // that was built for: "3.11.2"
	Cached         bool   // an earlier build had the same inputs
}

// Builder builds images. It is safe for concurrent use.
type Builder struct {
	cfg   Config
	log   *slog.Logger
	work  string
	cache *cache.Cache
	queue *queue

	mu    sync.Mutex             // guards bases
	bases map[string]sbom.Result // what is in the runtimes, by digest of their images

	docker Dockerfiles // nil if there are none
}

// New opens the builder's directory, in which no other process builds, and removes what
// an earlier one left of its running builds.
func New(cfg Config) (*Builder, error) {
	if cfg.Dir == "" || cfg.Images == nil || cfg.Runner == nil || cfg.Runtimes == nil || cfg.Log == nil {
		return nil, errors.New("builds need a directory, images, a runner, runtimes and a log")
	}
	if cfg.Way.CAFile != "" && !filepath.IsAbs(cfg.Way.CAFile) {
		return nil, fmt.Errorf("the bundle of certificates for builds is %q; it must be an absolute path", cfg.Way.CAFile)
	}
	cfg.Concurrent = cmp.Or(cfg.Concurrent, DefaultConcurrent)
	cfg.CacheBytes = cmp.Or(cfg.CacheBytes, DefaultCacheBytes)
	if cfg.Spare == nil {
		cfg.Spare = availableMemory
	}
	if cfg.Room == nil {
		cfg.Room = func() (bytes, files int64, err error) { return room.Left(cfg.Dir) }
	}
	b := &Builder{cfg: cfg, log: cfg.Log, work: filepath.Join(cfg.Dir, "work"), queue: newQueue(cfg.Concurrent, cfg.Spare), bases: map[string]sbom.Result{}}
	if err := os.RemoveAll(b.work); err != nil {
		return nil, fmt.Errorf("remove unfinished builds: %w", err)
	}
	if err := os.MkdirAll(b.work, 0o700); err != nil {
		return nil, fmt.Errorf("open the directory of builds: %w", err)
	}
	var err error
	if b.cache, err = cache.Open(filepath.Join(cfg.Dir, "cache")); err != nil || cfg.Docker == nil {
		return b, err
	}
	b.docker, err = docker.New(docker.Config{
		Dir: filepath.Join(cfg.Dir, "programs"), Runner: cfg.Docker.Runner, Images: cfg.Docker.Images, Cache: b.cache, Log: cfg.Log, Way: cfg.Way,
	})
	return b, err
}

// Dirs returns the directories that builds need at any time.
func (b *Builder) Dirs() []string {
	dirs := []string{b.work, filepath.Join(b.cfg.Dir, "cache")}
	if b.docker != nil {
		dirs = append(dirs, filepath.Join(b.cfg.Dir, "programs"))
	}
	return dirs
}

// Build builds an image, or returns that of an earlier build with the same inputs. It
// waits until it is the service's turn, and says so. log is called for one line at a
// time, and not after Build has returned.
//
// A failed command, a limit that was met and every other mistake of the user is a
// *slipway.Error with App Runner's reason, and the log says what to do next. When ctx
// ends, so does the build, with ctx's cause.
func (b *Builder) Build(ctx context.Context, r Request, log func(Line)) (Result, error) {
	l := newLogger(r.Secrets, log)
	if err := r.check(); err != nil {
		return Result{}, err
	}
	limits := r.Limits.or(b.cfg.Limits).withDefaults()
	leave, err := b.queue.enter(ctx, r.Service, int64(limits.Memory)<<20, func(ahead int) {
		l.say(waiting(ahead))
	})
	if err != nil {
		return Result{}, err
	}
	defer leave()
	l.say(sentenceStart)
	res, err := b.build(ctx, r, limits, l)
	if err != nil {
		if slipway.CodeOf(err) != "" {
			l.say(sentenceFailed + err.Error())
			err = slipway.Errorf(slipway.CodeOf(err), "%s", l.mask.Replace(sentenceFailed+err.Error()))
		}
		return Result{}, err
	}
	l.say(sentenceDone)
	return res, nil
}

func waiting(ahead int) string {
	switch ahead {
	case 0:
		return "The build waits: another build of this service is running, or the machine has no memory to spare."
	case 1:
		return "The build waits: 1 other is ahead of it."
	}
	return fmt.Sprintf("The build waits: %d others are ahead of it.", ahead)
}

// check refuses what no caller may ask for.
func (r *Request) check() error {
	if r.Service == "" || !filepath.IsAbs(r.Tree) {
		return errors.New("a build needs a service and an absolute path to a source tree")
	}
	if r.Mode != ModeRuntime && r.Mode != ModeKeep {
		return fmt.Errorf("%q is no way of building", r.Mode)
	}
	for _, vars := range [][]config.Variable{r.Env, r.Secrets, r.File.BuildEnv, r.Args} {
		for _, v := range vars {
			if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.Contains(v.Value, "\x00") {
				return slipway.Errorf(slipway.InvalidRequest, "The build variable %q cannot be set: a name has no \"=\", and neither name nor value a zero byte.", v.Name)
			}
		}
	}
	return nil
}

// dir returns the directory in the image where commands run.
func (r *Request) dir() string { return path.Join("/app", path.Clean("/"+r.SourceDirectory)) }

// build builds what its turn has come for.
func (b *Builder) build(ctx context.Context, r Request, limits Limits, l *logger) (Result, error) {
	rt, err := b.runtime(ctx, r, l)
	if err != nil {
		return Result{}, err
	}
	if r.Dockerfile == "" {
		l.say(fmt.Sprintf("The runtime is %s %s.", rt.Name, rt.Version))
	}
	for _, note := range rt.Notes {
		l.say(note)
	}
	res := Result{Runtime: rt.Name, RuntimeVersion: rt.Version}
	k := b.key(r, rt)
	if res.Digest = b.find(ctx, r, k); res.Digest != "" {
		res.Cached = true
		l.say(sentenceAgain)
		return res, nil
	}
	dir, err := os.MkdirTemp(b.work, r.Service+"-*")
	if err != nil {
		return res, fmt.Errorf("begin a build: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			b.log.Error("cannot remove a build's files; the next start will", "dir", dir, "err", err)
		}
	}()
	run := &run{b: b, r: r, runtime: rt, limits: limits, log: l, dir: dir}
	makeImage := run.image
	if r.Dockerfile != "" {
		makeImage = run.dockerfile
	}
	img, err := makeImage(ctx)
	if err != nil {
		return res, err
	}
	res.Digest = img.Digest
	if k != "" {
		if err := b.cache.Store(r.Service, k, cache.Built{Image: img.Digest, Runtime: rt.Version, Bases: run.bases}); err != nil {
			b.log.Warn("cannot remember the result of a build", "service", r.Service, "err", err)
		}
	}
	return res, nil
}

// runtime returns the runtime of a build. A Dockerfile has none but its name.
func (b *Builder) runtime(ctx context.Context, r Request, l *logger) (runtimes.Runtime, error) {
	switch {
	case r.Dockerfile == "":
		return b.cfg.Runtimes.Resolve(ctx, r.File.Runtime, r.File.RuntimeVersion, l.say)
	case b.docker == nil:
		return runtimes.Runtime{}, slipway.Errorf(slipway.InvalidRequest, "This server cannot build Dockerfiles.")
	}
	return runtimes.Runtime{Name: config.Docker}, nil
}

// Find returns the image that Build would use again, and false if it would build. It
// needs no source tree, and does not wait for other builds.
func (b *Builder) Find(ctx context.Context, r Request, log func(Line)) (Result, bool) {
	if r.SourceID == "" {
		return Result{}, false
	}
	l := newLogger(r.Secrets, log)
	rt, err := b.runtime(ctx, r, l)
	if err != nil {
		return Result{}, false // Build says why
	}
	res := Result{Runtime: rt.Name, RuntimeVersion: rt.Version, Cached: true, Digest: b.find(ctx, r, b.key(r, rt))}
	if res.Digest == "" {
		return Result{}, false
	}
	l.say(sentenceAgain)
	return res, true
}

// find returns the image of an earlier build with this key, "" if there is none. What
// goes wrong costs a build and is no error.
func (b *Builder) find(ctx context.Context, r Request, key string) string {
	if key == "" {
		return ""
	}
	built, ok, err := b.cache.Find(r.Service, key)
	if err != nil {
		b.log.Warn("cannot read the result of an earlier build", "service", r.Service, "err", err)
	}
	if !ok {
		return ""
	}
	if r.Dockerfile != "" && !b.docker.Fresh(ctx, built.Bases) {
		return "" // a base image's name stands for another one by now
	}
	if _, err := b.cfg.Images.Layers(ctx, built.Image); err != nil {
		return "" // collected meanwhile
	}
	return built.Image
}

// Remove removes the caches of a service, which must not be building.
func (b *Builder) Remove(service string) error { return b.cache.Remove(service) }

// Prune removes the caches and results that no build has used since before, and returns
// the bytes that this freed. Services that build at the moment are left out.
func (b *Builder) Prune(before time.Time) (freed int64, err error) {
	services, err := b.cache.Services()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, s := range services {
		n, err := b.queue.idle(s, func() (int64, error) { return b.cache.Prune(s, before) })
		freed += n
		errs = append(errs, err)
	}
	return freed, errors.Join(errs...)
}

func (l Limits) or(other Limits) Limits {
	return Limits{
		CPU: cmp.Or(l.CPU, other.CPU), Memory: cmp.Or(l.Memory, other.Memory), Pids: cmp.Or(l.Pids, other.Pids),
		Disk: cmp.Or(l.Disk, other.Disk), Output: cmp.Or(l.Output, other.Output), Time: cmp.Or(l.Time, other.Time),
	}
}
