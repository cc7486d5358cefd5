package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/runtime"
)

func hostPlatform() string { return "linux/" + goruntime.GOARCH }

const (
	// maxRounds is how often the frontend is asked about one Dockerfile. Each answer but
	// the last names base images, of which ONBUILD can name more.
	maxRounds = 8
	// maxImages is how many base images a Dockerfile may have.
	maxImages = 64
	// maxWarnings is how many remarks about a Dockerfile the log has.
	maxWarnings = 20
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 32 << 20
)

// frontendLimits are those of one run of the frontend. Its disk is the driver's default,
// which sandboxes have ready.
func frontendLimits() step.Limits {
	return step.Limits{Memory: 512, Pids: 256, Output: 64 << 10, Time: 2 * time.Minute}
}

// graph turns the Dockerfile into steps.
func (b *build) graph(ctx context.Context) (graph.Answer, error) {
	r := graph.Request{
		Dockerfile: b.Dockerfile, Name: b.Name, Target: b.Target, Args: map[string]string{}, Platform: b.cfg.Platform,
		Images: map[string]graph.Image{},
	}
	for _, v := range b.Args {
		r.Args[v.Name] = v.Value
	}
	for range maxRounds {
		a, err := b.ask(ctx, r)
		if err != nil {
			return a, err
		}
		if a.Error != nil {
			return a, b.mistake(*a.Error)
		}
		if len(a.Wanted) == 0 {
			for _, w := range a.Warnings[:min(len(a.Warnings), maxWarnings)] {
				b.Log.Say("warning: " + w)
			}
			return a, nil
		}
		for _, w := range a.Wanted {
			if len(r.Images) >= maxImages {
				return a, slipway.Errorf(slipway.InvalidRequest, "%s has more than %d base images.", b.Name, maxImages)
			}
			if _, known := r.Images[w.Name]; known {
				continue
			}
			if r.Images[w.Name], err = b.pull(ctx, w.Name); err != nil {
				return a, err
			}
		}
	}
	return graph.Answer{}, fmt.Errorf("%s still has unknown base images after %d rounds", b.Name, maxRounds)
}

// mistake words a mistake in the Dockerfile.
func (b *build) mistake(f graph.Failure) error {
	at := b.Name
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", b.Name, f.Line)
		b.excerpt(f.Line, f.Line)
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s: %s.", at, strings.TrimRight(f.Message, ".\n"))
}

// ask runs the frontend once.
func (b *build) ask(ctx context.Context, r graph.Request) (graph.Answer, error) {
	var a graph.Answer
	program, err := b.programs.path(frontend)
	if err != nil {
		return a, err
	}
	dir, err := os.MkdirTemp(b.Dir, "frontend-*")
	if err != nil {
		return a, err
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		return a, err
	}
	var said tail
	res, err := b.cfg.Runner.Exec(ctx, step.Process{
		Layers: []string{b.empty}, Binds: []runtime.Bind{{Source: program, Target: "/frontend"}, {Source: in, Target: "/in"}},
		Argv: []string{"/frontend", "/in", "/answer"}, Env: []string{"HOME=/"}, Dir: "/", User: "0:0",
		Offline: true, Limits: frontendLimits(), Changes: out,
	}, said.write)
	if err != nil {
		return a, err
	}
	if res.Exit.Code != 0 {
		b.cfg.Log.Error("the program that reads Dockerfiles failed", "service", b.Service, "code", res.Exit.Code, "limit", res.Limit, "reason", res.Exit.Reason, "output", said.String())
		if res.Limit != "" {
			return a, slipway.Errorf(slipway.InvalidRequest, "%s is too large or too deep to be read: its program met its %s limit.", b.Name, res.Limit)
		}
		return a, slipway.Errorf(slipway.InvalidRequest, "%s cannot be read: the program that reads Dockerfiles failed. The server's log has its output.", b.Name)
	}
	text, err = readBelow(out, "answer", maxAnswer)
	if err != nil {
		return a, fmt.Errorf("read what the frontend says: %w", err)
	}
	return graph.Parse(text)
}

// readBelow reads a regular file of a directory, of at most so many bytes.
func readBelow(dir, name string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > most {
		return nil, errors.Join(fmt.Errorf("%s is no file of at most %d bytes", name, most), err)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// pull makes a base image ready and describes it to the frontend.
func (b *build) pull(ctx context.Context, name string) (graph.Image, error) {
	b.Log.Say("Resolving the base image " + name + ".")
	img, err := b.pullPatiently(ctx, name)
	if err == nil {
		_, err = b.cfg.Images.Layers(ctx, img.Digest)
	}
	if slipway.CodeOf(err) != "" {
		line := lineOf(string(b.Dockerfile), name)
		b.excerpt(line, line)
		return graph.Image{}, slipway.Errorf(slipway.CodeOf(err), "%s: %v", b.place(graph.Step{Line: line}), err)
	}
	if err != nil {
		return graph.Image{}, err
	}
	text, err := b.cfg.Images.ConfigFile(img.Digest)
	b.bases[name] = img.Digest
	return graph.Image{Digest: img.Digest, Config: text}, err
}

// pullPauses are how long to wait before a pull is tried again, when that may help.
func pullPauses() []time.Duration { return []time.Duration{2 * time.Second, 8 * time.Second} }

func (b *build) pullPatiently(ctx context.Context, name string) (image.Image, error) {
	img, err := b.cfg.Images.Pull(ctx, name, nil)
	for _, pause := range pullPauses() {
		if !errors.Is(err, image.ErrUnavailable) {
			break
		}
		b.Log.Say(fmt.Sprintf("%v It is tried again in %v.", err, pause))
		select {
		case <-ctx.Done():
			return img, context.Cause(ctx)
		case <-time.After(pause):
		}
		img, err = b.cfg.Images.Pull(ctx, name, nil)
	}
	return img, err
}

// lineOf returns the line of a Dockerfile that most likely names a base image; 0 if none
// does. A name may be made of arguments.
func lineOf(dockerfile, name string) int {
	name = strings.TrimSuffix(name, ":latest")
	short := name[strings.LastIndexByte(name, '/')+1:]
	found, n := 0, 0
	for line := range strings.Lines(dockerfile) {
		n++
		if strings.Contains(line, name) {
			return n
		}
		if found == 0 && strings.Contains(line, short) {
			found = n
		}
	}
	return found
}

// tail keeps the end of a program's output.
type tail struct{ text []byte }

const maxTail = 4 << 10

func (t *tail) write(data []byte) {
	t.text = append(t.text, data...)
	if n := len(t.text) - maxTail; n > 0 {
		t.text = t.text[n:]
	}
}

func (t *tail) String() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "?") }
