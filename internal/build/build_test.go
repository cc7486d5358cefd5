package build_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

var update = flag.Bool("update", false, "rewrite the golden logs")

// everything is a file with commands in each phase. What one phase writes, the next
// ones look for.
var everything = config.File{
	RuntimeVersion: "1.2",
	PreBuild:       []string{"print pre", "write usr/lib/site-packages/pre"},
	Build:          []string{"show app/main", "show usr/lib/site-packages/pre", "write app/out", "write usr/local/bin/tool", "write tmp/scratch"},
	PreRun:         []string{"show app/out", "show usr/local/bin/tool", "write usr/lib/run", "print pre-run"},
	PostBuild:      []string{"show app/out", "show usr/local/bin/tool", "show usr/lib/run", "write app/late"},
}

// TestLogs compares logs and images of whole builds with golden files.
func TestLogs(t *testing.T) {
	t.Parallel()
	with := func(edit func(f *config.File)) config.File {
		f := everything
		edit(&f)
		return f
	}
	for name, r := range map[string]build.Request{
		"revised":  {File: with(func(f *config.File) { f.Runtime = "revised" })},
		"original": {File: with(func(f *config.File) { f.Runtime = "original"; f.PreRun = nil })},
		"keep":     {File: with(func(f *config.File) { f.Runtime = "revised" }), Mode: build.ModeKeep},
		"no-build": {File: config.File{Runtime: "revised", RuntimeVersion: "1"}},
		"failed-build": {File: with(func(f *config.File) {
			f.Runtime, f.Build = "revised", []string{"print compiling", "exit 2", "print never"}
		})},
		"failed-pre-build":  {File: with(func(f *config.File) { f.Runtime, f.PreBuild = "revised", []string{"yum install x"} })},
		"failed-pre-run":    {File: with(func(f *config.File) { f.Runtime, f.PreRun = "revised", []string{"exit 137 memory"} })},
		"failed-post-build": {File: with(func(f *config.File) { f.Runtime, f.PostBuild = "revised", []string{"exit 143 time"} })},
		"failed-pids":       {File: with(func(f *config.File) { f.Runtime, f.Build = "revised", []string{"exit 2 pids"} })},
		"failed-name":       {File: with(func(f *config.File) { f.Runtime, f.Build = "revised", []string{"fail name"} })},
		"failed-disk":       {File: with(func(f *config.File) { f.Runtime, f.Build = "original", []string{"exit 1 disk"} })},
		"unknown-runtime":   {File: config.File{Runtime: "cobol"}},
		"no-directory":      {File: everything, SourceDirectory: "/services/web"},
		"environment": {
			Env:     []config.Variable{{Name: "A", Value: "service"}, {Name: "B", Value: "service"}},
			Secrets: []config.Variable{{Name: "TOKEN", Value: "s3cret-token"}},
			File: config.File{
				Runtime: "revised", BuildEnv: []config.Variable{{Name: "B", Value: "file"}}, Env: []config.Variable{{Name: "C", Value: "run"}},
				Build: []string{"env A", "env B", "env C", "env HOME", "env TOOL_CACHE", "env TOKEN", "env SSL_CERT_FILE", "print before s3cret-token after"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if name == "no-directory" {
				r.File.Runtime = "revised"
			}
			log, res, err := b.build(r)
			log += fmt.Sprintf("\nresult: %+v\nerror: %v\n", res, err)
			if err != nil && slipway.CodeOf(err) == "" {
				t.Errorf("not an error of the user: %v", err)
			}
			for i, s := range b.runner.stages {
				log += fmt.Sprintf("stage %d: %s on %d layers in %s, kept: %v\n", i, s.Image[len(s.Image)-1:], len(s.Layers), s.Dir, s.Changes != "")
			}
			for i, a := range b.images.adopted {
				log += fmt.Sprintf("image %d: on %s, labels %v, in %s, environment %v\n", i, a.Base[len(a.Base)-1:], a.Config.Labels, a.Config.Dir, a.Config.Env)
				for _, l := range a.Layers {
					log += "  layer " + l.By + "\n"
				}
				for _, name := range sortedKeys(b.images.files[i]) {
					log += "  " + name + "\n"
				}
			}
			golden(t, filepath.Join("testdata", name+".golden"), log)
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

// TestKey builds twice, with one input changed in between.
func TestKey(t *testing.T) {
	t.Parallel()
	first := build.Request{
		SourceID: "tree1", File: config.File{Runtime: "revised", RuntimeVersion: "1", Build: []string{"print x"}, Command: "serve"},
		Secrets: []config.Variable{{Name: "TOKEN", Value: "one"}},
	}
	for name, c := range map[string]struct {
		edit   func(r *build.Request)
		cached bool
	}{
		"nothing":           {func(*build.Request) {}, true},
		"start command":     {func(r *build.Request) { r.File.Command = "serve -v" }, true},
		"run variable":      {func(r *build.Request) { r.File.Env = []config.Variable{{Name: "A", Value: "b"}} }, true},
		"value of a secret": {func(r *build.Request) { r.Secrets = []config.Variable{{Name: "TOKEN", Value: "two"}} }, true},
		"secret":            {func(r *build.Request) { r.Secrets = nil }, false},
		"source":            {func(r *build.Request) { r.SourceID = "tree2" }, false},
		"no source id":      {func(r *build.Request) { r.SourceID = "" }, false},
		"build command":     {func(r *build.Request) { r.File.Build = []string{"print y"} }, false},
		"phase":             {func(r *build.Request) { r.File.Build, r.File.PreRun = nil, []string{"print x"} }, false},
		"post-build":        {func(r *build.Request) { r.File.PostBuild = []string{"print x"} }, false},
		"build variable":    {func(r *build.Request) { r.File.BuildEnv = []config.Variable{{Name: "A", Value: "b"}} }, false},
		"variable":          {func(r *build.Request) { r.Env = []config.Variable{{Name: "A", Value: "b"}} }, false},
		"runtime":           {func(r *build.Request) { r.File.Runtime = "original" }, false},
		"other settings":    {func(r *build.Request) { r.Settings = "f00d" }, false},
		"mode":              {func(r *build.Request) { r.Mode = build.ModeKeep }, false},
		"service":           {func(r *build.Request) { r.Service = "cart" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if _, res, err := b.build(first); err != nil || res.Cached {
				t.Fatalf("%+v, %v", res, err)
			}
			second := first
			c.edit(&second)
			found, ok := b.builder.Find(t.Context(), build.Request{
				Service: cmp.Or(second.Service, "shop"), SourceID: second.SourceID, File: second.File, Mode: second.Mode, Env: second.Env, Secrets: second.Secrets, Settings: second.Settings,
			}, func(build.Line) {})
			if ok != c.cached || ok && (found.Digest == "" || !found.Cached) {
				t.Errorf("found %+v, %v; want %v", found, ok, c.cached)
			}
			if log, res, err := b.build(second); err != nil || res.Cached != c.cached {
				t.Errorf("%+v, %v; cached should be %v\n%s", res, err, c.cached, log)
			}
			b.images.lost = true
			if _, res, err := b.build(first); err != nil || res.Cached {
				t.Errorf("with its image collected: %+v, %v", res, err)
			}
		})
	}
}

// TestFailureIsNotRemembered checks that a failed build is built again.
func TestFailureIsNotRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := build.Request{SourceID: "tree", File: config.File{Runtime: "revised", Build: []string{"exit 1"}}}
	for range 2 {
		if _, _, err := b.build(r); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Error(err)
		}
	}
	if len(b.runner.stages) != 2 {
		t.Errorf("%d stages ran", len(b.runner.stages))
	}
}

// TestSource checks what becomes of a source tree that is not as it should be.
func TestSource(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.tree(".git/config", "web/server", "run.sh")
	if err := errors.Join(
		os.Chmod(dir+"/run.sh", 0o4711), os.Symlink("/etc/passwd", dir+"/passwd"), os.Symlink("../../..", dir+"/up"),
	); err != nil {
		t.Fatal(err)
	}
	r := build.Request{Tree: dir, SourceDirectory: "web", Time: time.Unix(1700000000, 0), File: config.File{Runtime: "revised", Build: []string{"show app/web/server"}}}
	log, _, err := b.build(r)
	if err != nil || !strings.Contains(log, "app/web/server: web/server") {
		t.Errorf("%v\n%s", err, log)
	}
	if dir := b.runner.stages[0].Dir; dir != "/app/web" {
		t.Errorf("commands ran in %s", dir)
	}
	if _, ok := b.images.files[0]["/app/.git/config"]; ok {
		t.Error("the image has .git")
	}

	for name, bad := range map[string]func(dir string) error{
		"up":         func(string) error { r.SourceDirectory = "../../etc"; return nil },
		"link":       func(dir string) error { r.SourceDirectory = "link"; return os.Symlink("/etc", dir+"/link") },
		"file":       func(string) error { r.SourceDirectory = "main"; return nil },
		"a whiteout": func(dir string) error { r.SourceDirectory = ""; return os.WriteFile(dir+"/.wh.x", nil, 0o644) },
	} {
		r.Tree = b.tree()
		if err := bad(r.Tree); err != nil {
			t.Fatal(err)
		}
		if log, _, err := b.build(r); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
	}
}

// TestReplacedApp checks that a build cannot make something else of /app.
func TestReplacedApp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := build.Request{File: config.File{Runtime: "revised", Build: []string{"write app"}}}
	if log, _, err := b.build(r); slipway.CodeOf(err) != slipway.InvalidRequest {
		t.Errorf("%v\n%s", err, log)
	}
}

// TestQueue runs builds of several services at once.
func TestQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *build.Config) { c.Concurrent = 2 })
		b.runner.block = make(chan struct{})
		logs := map[string]*strings.Builder{}
		results := make(chan error, 10)
		start := func(name, service string, ctx context.Context) {
			log := &strings.Builder{}
			logs[name] = log
			r := build.Request{Service: service, Tree: b.tree(), File: config.File{Runtime: "revised", Build: []string{"wait"}}}
			go func() {
				_, err := b.builder.Build(ctx, r, func(l build.Line) { log.WriteString(l.String() + "\n") })
				results <- err
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		start("a1", "a", t.Context())
		start("a2", "a", t.Context()) // waits for its own service
		start("b", "b", t.Context())  // passes it
		start("c", "c", t.Context())  // waits for a place
		start("d", "d", ctx)          // gives up
		running := func() (n int) {
			for _, l := range logs {
				if strings.Contains(l.String(), "Starting") && !strings.Contains(l.String(), "Success") {
					n++
				}
			}
			return n
		}
		if n := running(); n != 2 {
			t.Errorf("%d builds run", n)
		}
		if !strings.Contains(logs["c"].String(), "2 others are ahead") {
			t.Errorf("the log of c: %s", logs["c"])
		}
		stop := errors.New("no longer wanted")
		cancel(stop)
		if err := <-results; !errors.Is(err, stop) {
			t.Errorf("cancelled while it waited: %v", err)
		}
		for range 4 {
			b.runner.block <- struct{}{}
			if err := <-results; err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if n := running(); n > 2 {
				t.Errorf("%d builds run", n)
			}
		}
	})
}

// TestMemory checks that a second build waits for memory, and the only one does not.
func TestMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var spare atomic.Int64
		spare.Store(1 << 20)
		b := newBench(t, func(c *build.Config) { c.Concurrent, c.Spare = 4, func() (int64, error) { return spare.Load(), nil } })
		b.runner.block = make(chan struct{})
		results := make(chan error, 2)
		for _, service := range []string{"a", "b"} {
			r := build.Request{Service: service, Tree: b.tree(), File: config.File{Runtime: "revised", Build: []string{"wait"}}}
			go func() {
				_, err := b.builder.Build(t.Context(), r, func(build.Line) {})
				results <- err
			}()
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		if n := b.runner.ran(); n != 1 {
			t.Errorf("%d builds run without memory for a second one", n)
		}
		spare.Store(8 << 30)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := b.runner.ran(); n != 2 {
			t.Errorf("%d builds run, with memory for both", n)
		}
		close(b.runner.block)
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestChangesThatAreNoLayer checks that what commands did to make their changes unfit is
// told to the user. Another failure of the machine's is not, and may be tried again.
func TestChangesThatAreNoLayer(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]string{"name": "/app/.wh.x", "deep": "directories so deep", "link": "replaced a directory", "disk": ""} {
		b := newBench(t)
		log, _, err := b.build(build.Request{File: config.File{Runtime: "revised", Build: []string{"fail " + what}}})
		if isUser := slipway.CodeOf(err) == slipway.InvalidRequest; err == nil || isUser != (want != "") || !strings.Contains(err.Error(), want) || isUser && !strings.Contains(log, want) {
			t.Errorf("%s: %v\n%s", what, err, log)
		}
	}
}

// TestWatch stops builds that take disk space which they have no right to.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room     int64 // that is left at the second look; at the first, 1 GiB
		files    int64
		commands []string
		want     string // of the error; "" if the build succeeds
	}{
		"enough":        {1 << 20, 1, []string{"cache 2000", "sleep"}, ""},
		"caches":        {1 << 20, 1, []string{"cache 2001", "wait"}, "its dependency caches have grown to more than 2 KiB, and the server keeps 1000 bytes of a service's. They will be emptied. Download less, or raise the limit with --build-cache."},
		"disk is full":  {0, 1, []string{"wait"}, "the server's disk is almost full"},
		"no more files": {1 << 20, 0, []string{"wait"}, "the server's disk is almost full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var looks atomic.Int64
			b := newBench(t, func(cfg *build.Config) {
				cfg.CacheBytes, cfg.Advice = 1000, map[runtime.Limit]string{build.LimitCache: "with --build-cache"}
				cfg.Room = func() (bytes, files int64, err error) {
					if looks.Add(1) == 1 {
						return 1 << 30, 1000, nil
					}
					return c.room, c.files, nil
				}
			})
			b.runner.block = make(chan struct{})
			log, _, err := b.build(build.Request{File: config.File{Runtime: "revised", Build: c.commands}})
			if c.want == "" && err != nil || c.want != "" && (slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "Reason: The build was stopped: "+c.want)) {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

// TestCancel cancels a build that runs.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.runner.block = make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("no longer wanted")
	r := build.Request{Service: "shop", Tree: b.tree(), File: config.File{Runtime: "revised", Build: []string{"print x", "wait"}}}
	_, err := b.builder.Build(ctx, r, func(l build.Line) {
		if l.Text == "$ wait" {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, _, err := b.build(build.Request{File: config.File{Runtime: "revised"}}); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

// TestSweep checks that a builder removes what an earlier one left.
func TestSweep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	left := filepath.Join(b.dir, "work", "shop-1", "stage0")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	newBench(t, func(c *build.Config) { c.Dir = b.dir })
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
