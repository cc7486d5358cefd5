package build_test

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// fakeRunner plays commands: each is a few words of the language of play.
type fakeRunner struct {
	mu     sync.Mutex
	stages []step.Stage  // as they were asked for
	block  chan struct{} // nil, or what the command "wait" waits for
}

func (f *fakeRunner) Run(ctx context.Context, s step.Stage, log step.Log) (step.Result, error) {
	f.mu.Lock()
	f.stages = append(f.stages, s)
	f.mu.Unlock()
	p := &play{ctx: ctx, fake: f, stage: s, log: log, upper: s.Changes}
	if p.upper == "" {
		dir, err := os.MkdirTemp("", "fake-*")
		if err != nil {
			return step.Result{}, err
		}
		defer os.RemoveAll(dir)
		p.upper = filepath.Join(dir, "upper")
	}
	return p.run()
}

// ran returns how many stages were asked for.
func (f *fakeRunner) ran() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.stages)
}

// play is one stage being played.
type play struct {
	ctx   context.Context
	fake  *fakeRunner
	stage step.Stage
	log   step.Log
	upper string
	limit runtime.Limit
}

func (p *play) run() (r step.Result, err error) {
	r.Last = -1
	if err := os.Mkdir(p.upper, 0o755); err != nil {
		return r, err
	}
	for i, c := range p.stage.Commands {
		r.Last = i
		p.log.Begin(i)
		code, err := p.do(strings.Fields(c))
		if err != nil {
			return r, err
		}
		if code != 0 {
			r.Exit, r.Limit = slipway.Exit{Code: code}, p.limit
			return r, os.RemoveAll(p.upper)
		}
	}
	l, err := pack.Digest(p.ctx, p.upper)
	r.Layer = &runtime.JobLayer{DiffID: l.DiffID, Size: l.Size, Entries: l.Entries}
	return r, err
}

// do carries out one command:
//
//	print TEXT...       writes a line
//	write PATH          makes a file with its own name in it
//	elf PATH [dynamic]  makes a program that is static, or wants an interpreter
//	show PATH           writes a file's content, or that there is none
//	env NAME            writes a variable
//	exit CODE [LIMIT]   fails
//	cache BYTES         writes a file of that size into the first cache
//	fail ERRNO          fails as a driver does that cannot keep the changes
//	sleep               takes a while
//	wait                blocks until the test or ctx lets it go
func (p *play) do(words []string) (code int, err error) {
	say := func(format string, args ...any) { p.log.Output(fmt.Appendf(nil, format, args...)) }
	arg := strings.Join(words[1:], " ")
	switch words[0] {
	case "print":
		say("%s\n", arg)
	case "write":
		path := filepath.Join(p.upper, arg)
		return 0, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(arg), 0o644))
	case "elf":
		path := filepath.Join(p.upper, words[1])
		return 0, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, elfFile(len(words) > 2), 0o755))
	case "show":
		for _, dir := range append([]string{p.upper}, p.stage.Layers...) {
			if b, err := os.ReadFile(filepath.Join(dir, arg)); err == nil {
				say("%s: %s\n", arg, b)
				return 0, nil
			}
		}
		say("%s: not there\n", arg)
	case "env":
		value := "not set"
		for _, e := range p.stage.Env {
			if v, ok := strings.CutPrefix(e, arg+"="); ok {
				value = v
			}
		}
		say("%s: %s\n", arg, value)
	case "exit":
		if len(words) > 2 {
			p.limit = runtime.Limit(words[2])
		}
		_, err = fmt.Sscan(words[1], &code)
	case "cache":
		size, err := strconv.Atoi(arg)
		return 0, errors.Join(err, os.WriteFile(filepath.Join(p.stage.Binds[0].Source, "big"), make([]byte, size), 0o644))
	case "sleep":
		<-time.After(400 * time.Millisecond)
	case "fail":
		errs := map[string]error{"name": &pack.NameError{Name: "app/.wh.x"}, "deep": unix.ENAMETOOLONG, "link": unix.ELOOP, "disk": unix.EIO}
		return 0, fmt.Errorf("run job: %w", errs[arg])
	case "wait":
		select {
		case <-p.fake.block:
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	default:
		code = 127
	}
	return code, err
}

// fakeRuntimes has one runtime of each kind.
type fakeRuntimes struct{ notes []string }

const (
	imageOriginal = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	imageRevised  = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
)

func (f fakeRuntimes) Resolve(_ context.Context, name, lock string, _ func(string)) (runtimes.Runtime, error) {
	rt := runtimes.Runtime{
		Name: name, Version: lock + ".7", Notes: f.notes, Image: imageRevised, Kind: config.RevisedBuild,
		Env:    []config.Variable{{Name: "PATH", Value: "/usr/bin:/bin"}},
		Caches: []runtimes.Cache{{Name: "tool", Path: "/cache/tool", Env: map[string]string{"TOOL_CACHE": "/cache/tool"}}},
	}
	switch name {
	case "revised":
	case "original":
		rt.Image, rt.Kind = imageOriginal, config.OriginalBuild
	default:
		return rt, slipway.Errorf(slipway.InvalidRequest, "There is no runtime %q.", name)
	}
	return rt, nil
}

// imageSlim is for static programs.
const imageSlim = "sha256:0000000000000000000000000000000000000000000000000000000000000003"

func (f fakeRuntimes) Slim(context.Context, runtimes.Runtime) (string, error) { return imageSlim, nil }

// elfFile is the head of a program for 64 bits, with one segment.
func elfFile(dynamic bool) []byte {
	kind := elf.PT_LOAD
	if dynamic {
		kind = elf.PT_INTERP
	}
	var b bytes.Buffer
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	for _, part := range []any{head, elf.Prog64{Type: uint32(kind)}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// fakeImages keeps what was adopted.
type fakeImages struct {
	mu      sync.Mutex
	adopted []image.Adoption
	files   []map[string]string // of each adoption, what its layers show
	lost    bool
}

func (f *fakeImages) Adopt(_ context.Context, a image.Adoption) (image.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopted = append(f.adopted, a)
	files := map[string]string{}
	for _, l := range a.Layers {
		err := filepath.WalkDir(l.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, l.Dir)] = string(b)
			return err
		})
		if err != nil {
			return image.Image{}, err
		}
	}
	f.files = append(f.files, files)
	return image.Image{Digest: fmt.Sprintf("sha256:%064d", 100+len(f.adopted))}, nil
}

func (f *fakeImages) Layers(context.Context, string) ([]string, error) {
	if f.lost {
		return nil, image.ErrNotFound
	}
	return nil, nil
}

// bench is a builder with fakes all around it.
type bench struct {
	*testing.T
	runner  *fakeRunner
	images  *fakeImages
	builder *build.Builder
	dir     string
}

func newBench(t *testing.T, edit ...func(*build.Config)) *bench {
	t.Helper()
	b := &bench{T: t, runner: &fakeRunner{}, images: &fakeImages{}, dir: t.TempDir()}
	cfg := build.Config{
		Dir: b.dir, Images: b.images, Runner: b.runner, Runtimes: fakeRuntimes{}, Version: "test",
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Spare: func() (int64, error) { return 1 << 40, nil },
		Limits: build.Limits{Memory: 2048, Disk: 10 << 30, Time: 30 * time.Minute},
		Advice: map[runtime.Limit]string{runtime.LimitMemory: "with --build-memory"},
	}
	for _, e := range edit {
		e(&cfg)
	}
	var err error
	if b.builder, err = build.New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

// tree makes a source tree.
func (b *bench) tree(files ...string) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "tree")
	for _, name := range append(files, "main") {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// build builds and returns the log.
func (b *bench) build(r build.Request) (string, build.Result, error) {
	b.Helper()
	if r.Tree == "" {
		r.Tree = b.tree()
	}
	if r.Service == "" {
		r.Service = "shop"
	}
	var log strings.Builder
	res, err := b.builder.Build(b.Context(), r, func(l build.Line) { log.WriteString(l.String() + "\n") })
	if left, lerr := os.ReadDir(filepath.Join(b.dir, "work")); lerr != nil || len(left) > 0 {
		b.Errorf("the build left %v, %v", left, lerr)
	}
	return log.String(), res, err
}
