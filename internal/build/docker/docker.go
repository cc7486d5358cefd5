package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source/config"
)

// Runner runs programs in sandboxes. step.Runner does.
type Runner interface {
	Exec(ctx context.Context, p step.Process, output func(data []byte)) (step.Result, error)
}

// Images is the part of the image store that is needed.
type Images interface {
	Pull(ctx context.Context, ref string, progress func(image.Progress)) (image.Image, error)
	Layers(ctx context.Context, digest string) ([]string, error)
	ConfigFile(digest string) ([]byte, error)
}

// Config is what a Solver needs. All fields but Way and Platform are required.
type Config struct {
	Dir    string // for the programs; nothing else uses it
	Runner Runner
	Images Images
	Cache  *cache.Cache
	Log    *slog.Logger

	Way      step.Way // how RUN reaches package registries; no part of a key
	Platform string   // "linux/amd64"; "": that of this program
}

// Solver builds Dockerfiles. It is safe for concurrent use, for different services.
type Solver struct {
	cfg      Config
	programs programs
}

// New makes the solver's directory.
func New(cfg Config) (*Solver, error) {
	if !filepath.IsAbs(cfg.Dir) || cfg.Runner == nil || cfg.Images == nil || cfg.Cache == nil || cfg.Log == nil {
		return nil, errors.New("docker: an absolute directory, a runner, images, a cache and a log are required")
	}
	if cfg.Platform == "" {
		cfg.Platform = hostPlatform()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of Dockerfile builds: %w", err)
	}
	return &Solver{cfg: cfg, programs: programs{dir: cfg.Dir}}, nil
}

// Request is one build.
type Request struct {
	Service string

	// Dir is an empty directory, reachable for nobody else, on the file system of the
	// cache and of the image store. What Result has is below it.
	Dir string

	// Context is the build context: everything in it belongs to root, and it has no
	// device files. ContextID identifies its contents; "": they are not known.
	Context   string
	ContextID string

	Dockerfile []byte
	Name       string // of the Dockerfile, for messages
	Target     string
	Args       []config.Variable
	Env        []config.Variable // for each RUN, where the Dockerfile sets none of that name
	Secrets    []config.Variable // by id, for RUN --mount=type=secret

	Limits step.Limits // of all steps together, but for CPU, memory and pids
	Log    Log
}

// Log receives what happens.
type Log interface {
	Say(text string)    // a line of the service itself
	Output(data []byte) // of steps
}

// Result is the files and the configuration of an image.
type Result struct {
	Base      string            // manifest digest of the base image; "" for none
	Layers    []image.NewLayer  // over it, lowest first
	Container json.RawMessage   // see image.Adoption
	Bases     map[string]string // digests of the base images by the names that the Dockerfile has
	Kept      []string          // keys of the layers that the cache has now and had not before
}

// Failed is returned when a step's program failed.
type Failed struct {
	Name   string // of the Dockerfile
	Line   int
	Text   string // of the instruction
	Output string // of a program that copies, which says what is wrong; "" for a RUN
	Result step.Result
	Limits step.Limits // that the program had
}

func (f *Failed) Error() string {
	return fmt.Sprintf("%s:%d: %s ended with code %d", f.Name, f.Line, f.Text, f.Result.Exit.Code)
}

// Solve builds. A mistake of the user is a *slipway.Error, or a *Failed for a step that
// failed.
func (s *Solver) Solve(ctx context.Context, r Request) (Result, error) {
	b := &build{Solver: s, Request: r, deadline: time.Now().Add(r.Limits.Time)}
	if err := b.begin(); err != nil {
		return Result{}, err
	}
	a, err := b.graph(ctx)
	if err != nil {
		return Result{}, err
	}
	b.steps = a.Steps
	b.nodes = make([]node, len(a.Steps))
	if err := b.refuse(); err != nil {
		return Result{}, err
	}
	if err := b.own(); err != nil {
		return Result{}, err
	}
	b.number()
	st := stack{}
	if a.Result != graph.None {
		if st, err = b.files(ctx, a.Result); err != nil {
			return Result{}, err
		}
	}
	res := Result{Base: st.base, Container: a.Config.Container, Bases: b.bases, Kept: b.kept}
	res.Layers, err = b.result(ctx, st)
	return res, err
}

// Fresh reports whether names still stand for the base images that an earlier build had.
func (s *Solver) Fresh(ctx context.Context, bases map[string]string) bool {
	for name, digest := range bases {
		img, err := s.cfg.Images.Pull(ctx, name, nil)
		if err != nil || img.Digest != digest {
			return false
		}
	}
	return true
}

// build is one build.
type build struct {
	*Solver
	Request
	deadline time.Time
	empty    string            // an empty directory, for a root without files
	bases    map[string]string // see Result
	kept     []string          // see Result
	steps    []graph.Step
	nodes    []node
	output   int64 // bytes that may still be written to the log; negative: the limit was met
	disk     int64 // bytes that may still be changed
}

// begin makes the directories of the build.
func (b *build) begin() error {
	b.empty = filepath.Join(b.Dir, "empty")
	b.bases = map[string]string{}
	b.output, b.disk = b.Limits.Output, b.Limits.Disk
	return os.Mkdir(b.empty, 0o755)
}

// limits returns the limits of the next step: what is left of those of the build.
func (b *build) limits() step.Limits {
	l := b.Limits
	if l.Time > 0 {
		l.Time = max(time.Until(b.deadline), time.Second)
	}
	// A disk of another size takes longer to make: there are few.
	for size := l.Disk; size > 0 && b.disk < size; size /= 2 {
		l.Disk = max(size/2, 1<<24)
	}
	if l.Output > 0 {
		l.Output = max(b.output, 1)
	}
	return l
}
