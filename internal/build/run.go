package build

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// run is one build that has begun.
type run struct {
	b       *Builder
	r       Request
	runtime runtimes.Runtime
	limits  Limits
	log     *logger
	dir     string // of its own

	bases map[string]string // digests of a Dockerfile's base images, by name; set by dockerfile
	binds []runtime.Bind
	env   []string
	done  []built // by stage
}

// built is the files of a stage that has run.
type built struct {
	all []image.NewLayer // over the runtime's image, lowest first
	app []image.NewLayer // the same with only /app of this stage
}

// image runs the stages and makes the image.
func (r *run) image(ctx context.Context) (image.Image, error) {
	source, err := r.source(ctx)
	if err != nil {
		return image.Image{}, err
	}
	if err := r.prepare(); err != nil {
		return image.Image{}, err
	}
	defer r.trim()
	stages, result := plan(r.r.File, r.runtime.Kind, r.r.Mode, r.r.Program != "")
	for i, s := range stages {
		below := []image.NewLayer{source}
		switch {
		case s.on != onSource && s.app:
			below = r.done[s.on].app
		case s.on != onSource:
			below = r.done[s.on].all
		}
		b, err := r.stage(ctx, i, s, below, slices.ContainsFunc(stages[i+1:], func(t stage) bool { return t.on == i && t.app }))
		if err != nil {
			return image.Image{}, err
		}
		r.done = append(r.done, b)
	}
	a := image.Adoption{
		Base: r.runtime.Image, Layers: r.done[result].all, Created: r.r.Time,
		Config: image.RunConfig{Env: step.Environment(r.runtime.Env), Dir: r.r.dir(), Labels: r.labels()},
	}
	if r.r.Program != "" && r.r.Mode == ModeRuntime {
		if err := r.program(ctx, &a); err != nil {
			return image.Image{}, err
		}
	}
	if a.SBOM, err = r.software(ctx, a.Base, a.Layers); err != nil {
		return image.Image{}, err
	}
	return r.b.cfg.Images.Adopt(ctx, a)
}

// Labels of built images, beside those of OCI.
const (
	labelBuilder = "io.slipway.builder"
	LabelRuntime = "io.slipway.runtime"
	labelVersion = "io.slipway.runtime-version"
	labelSource  = "io.slipway.source"
	labelCommit  = "org.opencontainers.image.revision"
	labelOrigin  = "org.opencontainers.image.source"
	labelBase    = "org.opencontainers.image.base.digest"
	labelTime    = "org.opencontainers.image.created"
)

// labels tell where the image comes from. An image that is used again for another commit
// of the same content keeps those of the commit that it was built of.
func (r *run) labels() map[string]string {
	labels := map[string]string{LabelRuntime: r.runtime.Name}
	for name, value := range map[string]string{
		labelVersion: r.runtime.Version, labelBase: r.runtime.Image, labelBuilder: r.b.cfg.Version,
		labelSource: r.r.SourceID, labelCommit: r.r.Commit, labelOrigin: r.r.Origin,
	} {
		if value != "" {
			labels[name] = value
		}
	}
	if !r.r.Time.IsZero() {
		labels[labelTime] = r.r.Time.UTC().Format(time.RFC3339)
	}
	return labels
}

// prepare sets what all commands get: the binds and the environment.
func (r *run) prepare() error {
	w := r.b.cfg.Way
	vars := append([]config.Variable{{Name: "HOME", Value: "/root"}}, r.runtime.Env...)
	for _, c := range r.runtime.Caches {
		dir, err := r.b.cache.Dir(r.r.Service, c.Name)
		if err != nil {
			return err
		}
		r.binds = append(r.binds, runtime.Bind{Source: dir, Target: c.Path, Write: true})
		for name, value := range c.Env {
			vars = append(vars, config.Variable{Name: name, Value: value})
		}
	}
	r.binds = append(r.binds, w.Binds()...)
	r.env = step.Environment(vars, w.Variables(), r.r.Env, r.r.File.BuildEnv, r.r.Secrets)
	return nil
}

// stage runs the commands of a stage over the layers below. split says that a later
// stage wants only its /app.
func (r *run) stage(ctx context.Context, i int, s stage, below []image.NewLayer, split bool) (built, error) {
	same := built{below, below}
	if len(s.commands) == 0 {
		return same, nil
	}
	changes := filepath.Join(r.dir, "stage"+strconv.Itoa(i))
	want := step.Stage{
		Image: r.runtime.Image, Binds: r.binds, Dir: r.r.dir(), Env: r.env, Networks: r.b.cfg.Way.Networks,
		Limits: step.Limits(r.limits),
	}
	for _, l := range slices.Backward(below) {
		want.Layers = append(want.Layers, l.Dir)
	}
	for _, c := range s.commands {
		want.Commands = append(want.Commands, c.text)
	}
	if !s.discard {
		want.Changes, want.Unidentified = changes, split
	}
	res, err := r.commands(ctx, s, want)
	if err != nil {
		return built{}, err
	}
	if s.discard || res.Layer == nil || res.Layer.Entries == 0 {
		return same, nil
	}
	l := image.NewLayer{Dir: changes, DiffID: res.Layer.DiffID, Size: res.Layer.Size, Entries: res.Layer.Entries, By: "slipway build: " + phases(s.commands)}
	if !split {
		all := append(slices.Clone(below), l)
		return built{all, all}, nil
	}
	return r.split(ctx, below, l)
}

// phases names the phases of commands for an image's history.
func phases(list []command) string {
	var names []string
	for _, c := range list {
		if !slices.Contains(names, string(c.phase)) {
			names = append(names, string(c.phase))
		}
	}
	return strings.Join(names, ", ")
}

// stageLog passes the output of a stage to the build's log.
type stageLog struct {
	commands []command
	log      *logger
}

func (s stageLog) Begin(i int) {
	c := s.commands[i]
	s.log.begin(c.phase)
	for line := range strings.Lines(c.text) {
		s.log.write([]byte("$ " + strings.TrimRight(line, "\r\n") + "\n"))
	}
}

func (s stageLog) Output(data []byte) { s.log.write(data) }

// commands runs a stage's commands. A failed one is a *slipway.Error.
func (r *run) commands(ctx context.Context, s stage, want step.Stage) (step.Result, error) {
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go r.watch(watched, stop)
	res, err := r.b.cfg.Runner.Run(watched, want, stageLog{s.commands, r.log})
	r.log.begin(PhaseService)
	switch cause := context.Cause(watched); {
	case err != nil && ctx.Err() == nil && cause != nil: // the watcher's sentence
		return res, cause
	case err != nil:
		return res, mistake(err)
	}
	if res.Truncated {
		r.log.say(fmt.Sprintf("The output is longer than its limit of %s; the rest is not shown. Write less, or write it to a file.", bytesText(r.limits.Output)))
	}
	if res.Exit.Code == 0 {
		return res, nil
	}
	failed := command{phase: PhaseBuild}
	if res.Last >= 0 {
		failed = s.commands[res.Last]
	}
	return res, slipway.Errorf(slipway.InvalidRequest, "%s %s", reason(failed.phase), cause(failed, res, r.limits, r.b.cfg.Advice))
}

// trim removes the service's caches if they are too large.
func (r *run) trim() {
	trimmed, err := r.b.cache.Trim(r.r.Service, r.b.cfg.CacheBytes)
	if err != nil {
		r.b.log.Warn("cannot trim the caches of builds", "service", r.r.Service, "err", err)
	}
	if trimmed {
		r.log.say(fmt.Sprintf("The dependency caches of the service were larger than %s and have been emptied.", bytesText(r.b.cfg.CacheBytes)))
	}
}

// errNotTree is returned for a request whose tree is no directory.
var errNotTree = errors.New("the source tree is no directory")
