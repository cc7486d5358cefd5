package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/docker"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
)

// Dockerfiles builds Dockerfiles. *docker.Solver does.
type Dockerfiles interface {
	Solve(ctx context.Context, r docker.Request) (docker.Result, error)
	// Fresh reports whether names still stand for the base images of an earlier build.
	Fresh(ctx context.Context, bases map[string]string) bool
}

// dockerfile makes the image of a Dockerfile.
func (r *run) dockerfile(ctx context.Context) (image.Image, error) {
	q := docker.Request{
		Service: r.r.Service, Dir: filepath.Join(r.dir, "steps"), Name: path.Clean(r.r.Dockerfile), Target: r.r.Target, Args: r.r.Args,
		Env: r.r.Env, Secrets: r.r.Secrets, Log: dockerLog{r.log}, Limits: step.Limits(r.limits),
	}
	if err := os.Mkdir(q.Dir, 0o700); err != nil {
		return image.Image{}, err
	}
	var err error
	if q.Context, q.Dockerfile, err = r.context(ctx); err != nil {
		return image.Image{}, err
	}
	if r.r.SourceID != "" {
		q.ContextID = r.r.SourceID + " " + path.Clean("/"+r.r.SourceDirectory) + " " + q.Name // an ignore file may be the Dockerfile's own
	}
	defer r.trim()
	res, err := r.solve(ctx, q)
	if err != nil {
		return image.Image{}, err
	}
	r.runtime.Image = res.Base
	list, err := r.software(ctx, res.Base, res.Layers)
	if err != nil {
		return image.Image{}, err
	}
	img, err := r.b.cfg.Images.Adopt(ctx, image.Adoption{
		Base: res.Base, Layers: res.Layers, Created: r.r.Time, SBOM: list, Container: res.Container, Config: image.RunConfig{Labels: r.labels()},
	})
	if err == nil {
		err := errors.Join(r.b.cache.SyncLayers(r.r.Service, res.Kept), r.b.cache.TrimLayers(r.r.Service, r.b.cfg.CacheBytes))
		if err != nil {
			r.b.log.Warn("cannot sync or trim the layers of builds", "service", r.r.Service, "err", err)
		}
	}
	r.bases = res.Bases
	return img, err
}

// solve builds, and words the failure of a step.
func (r *run) solve(ctx context.Context, q docker.Request) (docker.Result, error) {
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go r.watch(watched, stop)
	res, err := r.b.docker.Solve(watched, q)
	r.log.begin(PhaseService)
	cause := context.Cause(watched)
	failed, ok := errors.AsType[*docker.Failed](err)
	switch {
	case err != nil && ctx.Err() == nil && cause != nil: // the watcher's sentence
		return res, cause
	case ok:
		return res, slipway.Errorf(slipway.InvalidRequest, "%s %s:%d: %s", reason(PhaseBuild), failed.Name, failed.Line, r.causeOf(failed))
	}
	return res, mistake(err)
}

// causeOf says why a RUN failed and what to do next.
func (r *run) causeOf(f *docker.Failed) string {
	res := f.Result
	if res.Exit.Reason != "" && res.Limit == "" {
		return fmt.Sprintf("%s could not be started: %s.", short(f.Text), strings.TrimRight(res.Exit.Reason, "."))
	}
	if res.Limit == "" && res.Exit.Code == 127 {
		return short(f.Text) + " ended with code 127: a program in it does not exist in the image. Install it in an earlier instruction, or correct its name."
	}
	return cause(command{PhaseBuild, f.Text}, res, r.limits, r.b.cfg.Advice)
}

// dockerLog passes what the steps of a Dockerfile write to the build's log.
type dockerLog struct{ *logger }

func (d dockerLog) Say(text string) { d.say(text) }

func (d dockerLog) Output(data []byte) {
	d.begin(PhaseBuild)
	d.write(data)
}

// context makes the build context of the source directory, without what its ignore file
// leaves out, and returns the Dockerfile.
func (r *run) context(ctx context.Context) (dir string, dockerfile []byte, err error) {
	tree := filepath.Join(r.dir, "tree")
	if err := r.takeTree(ctx, tree); err != nil {
		return "", nil, err
	}
	if dir, err = below(tree, r.r.SourceDirectory); err != nil {
		return "", nil, r.noSourceDirectory()
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", nil, err
	}
	defer root.Close()
	if dockerfile, err = readSmall(root, r.r.Dockerfile); err != nil {
		return "", nil, r.noDockerfile(err)
	}
	return dir, dockerfile, r.ignore(ctx, root, dir)
}

// below returns a directory below another, without links in its path.
func below(tree, name string) (string, error) {
	at, err := filepath.EvalSymlinks(filepath.Join(tree, path.Clean("/"+name)))
	if err != nil {
		return "", err
	}
	if at != tree && !strings.HasPrefix(at, tree+"/") {
		return "", fs.ErrNotExist
	}
	if st, err := os.Lstat(at); err != nil || !st.IsDir() {
		return "", errors.Join(fs.ErrNotExist, err)
	}
	return at, nil
}

func (r *run) noDockerfile(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return slipway.Errorf(slipway.InvalidRequest,
			"There is no file %q in the source directory %q. Add it, or name another by the setting %sdockerfile.", r.r.Dockerfile, path.Clean("/"+r.r.SourceDirectory), slipway.SettingPrefix)
	}
	return slipway.Errorf(slipway.InvalidRequest, "%q cannot be read: %v.", r.r.Dockerfile, err)
}

// maxSmall bounds a Dockerfile and an ignore file, in bytes.
const maxSmall = 1 << 20

// readSmall reads a regular file of a root.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(errors.New("it is no file"), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if len(text) > maxSmall {
		return nil, fmt.Errorf("it has more than %s", bytesText(maxSmall))
	}
	return text, err
}

// ignore removes from the build context what its ignore file names: that of the
// Dockerfile, or .dockerignore.
func (r *run) ignore(ctx context.Context, root *os.Root, dir string) error {
	name := path.Clean(r.r.Dockerfile) + ".dockerignore"
	text, err := readSmall(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		name = ".dockerignore"
		text, err = readSmall(root, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var patterns []string
	if err == nil {
		patterns, err = ignorefile.ReadAll(bytes.NewReader(text))
	}
	var matcher *patternmatcher.PatternMatcher
	if err == nil {
		matcher, err = patternmatcher.New(patterns)
	}
	if err != nil {
		return slipway.Errorf(slipway.InvalidRequest, "%s cannot be read: %v.", name, err)
	}
	p := pruner{ctx: ctx, matcher: matcher}
	if err := p.prune(dir, "", patternmatcher.MatchInfo{}); err != nil {
		return slipway.Errorf(slipway.InvalidRequest, "%s cannot be applied: %v.", name, err)
	}
	return nil
}

// pruner removes the files of a directory that match patterns. Nobody else changes the
// directory, and no link is followed.
type pruner struct {
	ctx     context.Context //nolint:containedctx // lives for one walk
	matcher *patternmatcher.PatternMatcher
}

func (p *pruner) prune(dir, name string, above patternmatcher.MatchInfo) error {
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	list, err := os.ReadDir(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	for _, e := range list {
		child := path.Join(name, e.Name())
		out, info, err := p.matcher.MatchesUsingParentResults(child, above)
		if err != nil {
			return err
		}
		at := filepath.Join(dir, child)
		switch {
		case out && (!e.IsDir() || !p.matcher.Exclusions()):
			err = os.RemoveAll(at)
		case e.IsDir():
			if err = p.prune(dir, child, info); err == nil && out {
				if err = os.Remove(at); errors.Is(err, unix.ENOTEMPTY) { // an exception is in it
					err = nil
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
