package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

// JobHarness is a Harness whose drivers implement runtime.Job.
type JobHarness struct {
	Harness

	// Dir is an empty directory on the driver's file system, for changes and for
	// what is bound into jobs.
	Dir string
}

// RunJobs checks a driver against the contract of runtime.Job. It calls setup once
// for each part. Layers have files of other owners, and whiteouts: it needs root.
func RunJobs(t *testing.T, setup func(t *testing.T) JobHarness) {
	if os.Geteuid() != 0 {
		t.Skip("layers have files of other owners: needs root")
	}
	for _, part := range []struct {
		name string
		test func(*jobFixture)
	}{
		{"exit", testJobExit},
		{"start that fails", testJobStartFails},
		{"environment", testJobEnvironment},
		{"output as it comes", testJobOutput},
		{"output limit", testJobOutputLimit},
		{"running", testJobRunning},
		{"wrong specifications", testJobRefused},
		{"not listed", testJobNotListed},
		{"many", testJobsAtOnce},
		{"cancel", testJobCancel},
		{"restart", testJobRestart},
		{"memory limit", testJobMemory},
		{"pids limit", testJobPids},
		{"disk limit", testJobDisk},
		{"time limit", testJobTime},
		{"isolation", testJobIsolation},
		{"binds", testJobBinds},
		{"binds of layers", testJobBindsOfLayers},
		{"binds in memory", testJobBindsInMemory},
		{"layer", testJobLayer},
		{"layer over layers", testJobLayerOverLayers},
		{"empty layer", testJobEmptyLayer},
		{"unidentified layer", testJobUnidentified},
		{"same layer again", testJobLayerAgain},
		{"no layer after a failure", testJobNoLayer},
	} {
		t.Run(part.name, func(t *testing.T) {
			h := setup(t)
			b := &fixture{T: t, harness: h.Harness, ctx: t.Context()}
			b.open()
			t.Cleanup(b.clear)
			if err := b.driver.Prepare(b.ctx, b.harness.Image); err != nil {
				t.Fatalf("Prepare: %v", err)
			}
			part.test(&jobFixture{b, h.Dir})
		})
	}
}

// jobFixture is one part's driver and its shorthands for jobs.
type jobFixture struct {
	*fixture
	dir string
}

func (b *jobFixture) path(name string) string { return filepath.Join(b.dir, name) }

// job returns what runs p as a job. It listens nowhere, and exits once it has done
// its deeds unless p says when.
func (b *jobFixture) job(p Program) runtime.JobSpec {
	p.NoListen = true
	if p.Exit == nil {
		p.Exit = &Exit{}
	}
	return runtime.JobSpec{
		ID:    slipway.NewID(),
		Image: b.harness.Image,
		Workload: slipway.Workload{
			Process:   slipway.Process{Argv: p.Argv(), Dir: "/"},
			Resources: slipway.Resources{CPU: 1024, Memory: 256},
		},
	}
}

// recorder keeps the output of a job.
type recorder struct {
	mu             sync.Mutex // guards what follows
	stdout, stderr bytes.Buffer
	chunks         []runtime.Chunk
	over           bool // RunJob has returned
	late           bool // there was output after that
}

func (r *recorder) add(c runtime.Chunk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = r.late || r.over
	r.chunks = append(r.chunks, c)
	if c.Stderr {
		r.stderr.Write(c.Data)
	} else {
		r.stdout.Write(c.Data)
	}
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stdout.String()
}

// run runs a job that the driver must be able to run.
func (b *jobFixture) run(want runtime.JobSpec) (runtime.JobResult, *recorder) {
	b.Helper()
	r := &recorder{}
	result, err := b.try(b.ctx, want, r)
	if err != nil {
		b.Fatalf("RunJob: %v\n%s%s", err, r.stdout.String(), r.stderr.String())
	}
	return result, r
}

func (b *jobFixture) try(ctx context.Context, want runtime.JobSpec, r *recorder) (runtime.JobResult, error) {
	b.Helper()
	d, ok := b.driver.(runtime.Job)
	if !ok {
		b.Fatal("this driver runs no jobs")
	}
	result, err := d.RunJob(ctx, want, r.add)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	return result, err
}

// do runs deeds to a good end and returns what came of each, by "DO PATH".
func (b *jobFixture) do(want runtime.JobSpec) (map[string]string, runtime.JobResult) {
	b.Helper()
	result, r := b.run(want)
	if result.Exit.Code != 0 {
		b.Fatalf("the job ended with %+v\n%s%s", result.Exit, r.stdout.String(), r.stderr.String())
	}
	found := map[string]string{}
	for line := range strings.Lines(r.text()) {
		name, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found[name] = what
	}
	return found, result
}

func (b *jobFixture) expect(found, want map[string]string) {
	b.Helper()
	for name, w := range want {
		if got, ok := found[name]; !ok || got != w {
			b.Errorf("%s: %q (found: %v), want %q", name, got, ok, w)
		}
	}
}

func testJobExit(b *jobFixture) {
	const ran = 30 * time.Millisecond
	for _, c := range []struct {
		name   string
		exit   Exit
		code   int
		signal string
	}{
		{"success", Exit{After: ran}, 0, ""},
		{"code", Exit{After: ran, Code: 3}, 3, ""},
		{"highest code", Exit{After: ran, Code: 255}, 255, ""},
		{"signal", Exit{After: ran, Kill: true}, 137, "SIGKILL"},
	} {
		before := time.Now()
		result, r := b.run(b.job(Program{Stdout: "last words\n", Exit: &c.exit}))
		exit := result.Exit
		if exit.Code != c.code || exit.Signal != c.signal || exit.OOM || result.Limit != "" || result.Layer != nil || result.Truncated {
			b.Errorf("%s: the result is %+v", c.name, result)
		}
		if exit.Ran < ran || exit.At.Before(before) || exit.At.After(time.Now()) {
			b.Errorf("%s: ran %v until %v, but was started at %v to run %v", c.name, exit.Ran, exit.At, before, ran)
		}
		if r.text() != "last words\n" {
			b.Errorf("%s: the output is %q", c.name, r.text())
		}
	}
}

func testJobStartFails(b *jobFixture) {
	want := b.job(Program{})
	want.Process.Argv = []string{"/no/such/program"}
	want.Changes = b.path("changes")
	result, _ := b.run(want)
	if result.Exit.Code == 0 || !strings.Contains(result.Exit.Reason, "/no/such/program") || result.Layer != nil {
		b.Errorf("a job whose program does not exist ended with %+v; the code must not be 0 and the reason must name the program", result)
	}
}

func testJobEnvironment(b *jobFixture) {
	// Something that the daemon has, and that no job gets by default.
	ours := "GOCOVERDIR"
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); value != "" && name != "PATH" && name != "HOME" && name != "HOSTNAME" {
			ours = name
		}
	}
	want := b.job(Program{PrintEnv: []string{"COLOUR", ours}})
	want.Process.Env = []string{"COLOUR=dark blue"}
	_, r := b.run(want)
	if got := r.text(); got != "COLOUR=dark blue\n"+ours+"=\n" {
		b.Errorf("a job's environment is %q", got)
	}
}

// testJobRunning has a job that listens after a while, and ends it once that is seen.
func testJobRunning(b *jobFixture) {
	want := b.job(Program{ListenAfter: 300 * time.Millisecond, Exit: &Exit{After: time.Minute}})
	p := Program{ListenAfter: 300 * time.Millisecond, Exit: &Exit{After: time.Minute}}
	want.Process.Argv, want.Process.Env = p.Argv(), []string{"PORT=8123"}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var before int // looks that found nothing
	over := false
	want.Running = func(ctx context.Context, listening func() ([]netip.AddrPort, error)) {
		defer func() { over = true }()
		for {
			list, err := listening()
			if err != nil {
				b.Errorf("listening: %v", err)
				return
			}
			if len(list) > 0 {
				if text := fmt.Sprint(list); text != "[127.0.0.1:8123]" {
					b.Errorf("it listens at %s", text)
				}
				cancel()
				<-ctx.Done()
				return
			}
			before++
			select {
			case <-ctx.Done():
				b.Error("it ended before it listened")
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	if _, err := b.try(ctx, want, &recorder{}); !errors.Is(err, context.Canceled) {
		b.Errorf("a job that was cancelled ends with %v", err)
	}
	if !over || before == 0 {
		b.Errorf("RunJob returned before Running did (%t), or it listened at once (%d)", !over, before)
	}

	short := b.job(Program{})
	short.Running = func(ctx context.Context, _ func() ([]netip.AddrPort, error)) { <-ctx.Done() }
	if result, _ := b.run(short); result.Exit.Code != 0 {
		b.Errorf("a short job ended with %+v", result.Exit)
	}
}

// testJobOutput has the test answer to each piece of output: the next one is
// written only after that.
func testJobOutput(b *jobFixture) {
	const steps = 4
	bound := b.mkdir("answers")
	var deeds []Deed
	for i := range steps {
		do := DoPrint
		if i%2 == 1 {
			do = DoWarn
		}
		deeds = append(deeds, Deed{Do: do, Text: Bytes(fmt.Sprintf("step %d \xff\n", i))}, Deed{Do: DoAwait, Path: fmt.Sprintf("/answers/%d", i)})
	}
	want := b.job(Program{Deeds: deeds})
	want.Binds = []runtime.Bind{{Source: bound, Target: "/answers"}}
	d := b.driver.(runtime.Job)
	before := time.Now()
	var next int
	var pos int64
	result, err := d.RunJob(b.ctx, want, func(c runtime.Chunk) {
		if c.Pos != pos || c.At.Before(before.Add(-time.Second)) || c.At.After(time.Now().Add(time.Second)) {
			b.Errorf("chunk %+v, want position %d and a time after %v", c, pos, before)
		}
		pos += int64(len(c.Data))
		data := string(c.Data)
		for strings.HasPrefix(data, "await") { // how the last wait ended, maybe read together with the next step
			_, data, _ = strings.Cut(data, "\n")
		}
		if data == "" {
			return
		}
		if text := fmt.Sprintf("step %d \xff\n", next); !strings.HasSuffix(data, text) || c.Stderr != (next%2 == 1) {
			b.Errorf("chunk %d is %q, of stderr: %v", next, data, c.Stderr)
		}
		b.write(filepath.Join(bound, fmt.Sprint(next)), "")
		next++
	})
	if err != nil || result.Exit.Code != 0 || next != steps {
		b.Errorf("after %d of %d steps: %+v, %v", next, steps, result, err)
	}
}

func testJobOutputLimit(b *jobFixture) {
	const limit = 1000
	want := b.job(Program{Flood: 640_000, Deeds: []Deed{{Do: DoWarn, Text: "more"}}})
	want.Output = limit
	result, r := b.run(want)
	if !result.Truncated || result.Exit.Code != 0 || result.Limit != "" {
		b.Errorf("a job with too much output ended with %+v", result)
	}
	var flood strings.Builder
	for pos := int64(0); pos < limit; pos += 64 {
		flood.WriteString(FloodLine(pos))
	}
	if got := r.text(); got != flood.String()[:limit] {
		b.Errorf("%d bytes of output were passed on, want the first %d", len(got), limit)
	}
	if got := r.stderr.String(); got != runtime.OutputLimitNote {
		b.Errorf("the end of the output says %q, want %q", got, runtime.OutputLimitNote)
	}
}

func testJobRefused(b *jobFixture) {
	for name, change := range map[string]func(*runtime.JobSpec){
		"no id":              func(j *runtime.JobSpec) { j.ID = "" },
		"an id with slashes": func(j *runtime.JobSpec) { j.ID = "../../../../../../../../etc/passw" },
		"nothing below":      func(j *runtime.JobSpec) { j.Image = "" },
		"an unknown image":   func(j *runtime.JobSpec) { j.Image = "sha256:" + strings.Repeat("0", 64) },
		"a relative layer":   func(j *runtime.JobSpec) { j.Layers = []string{"layers"} },
		"no such layer":      func(j *runtime.JobSpec) { j.Layers = []string{b.path("none")} },
		"a relative source":  func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Source: "x", Target: "/x"}} },
		"no such source":     func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Source: b.path("none"), Target: "/x"}} },
		"a target with dots": func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Source: b.dir, Target: "/x/../../y"}} },
		"the root as target": func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Source: b.dir, Target: "/"}} },
		"two sources": func(j *runtime.JobSpec) {
			j.Binds = []runtime.Bind{{Source: b.dir, Layers: []string{b.dir}, Target: "/x"}}
		},
		"no source":           func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Target: "/x"}} },
		"a relative layer of": func(j *runtime.JobSpec) { j.Binds = []runtime.Bind{{Layers: []string{"x"}, Target: "/x"}} },
		"nothing in layers": func(j *runtime.JobSpec) {
			j.Binds = []runtime.Bind{{Layers: []string{b.dir}, Path: "none", Target: "/x"}}
		},
		"a relative result":   func(j *runtime.JobSpec) { j.Changes = "changes" },
		"a result in nothing": func(j *runtime.JobSpec) { j.Changes = b.path("none/changes") },
		"a result that is":    func(j *runtime.JobSpec) { j.Changes = b.mkdir("there") },
	} {
		want := b.job(Program{Deeds: []Deed{{Do: DoWrite, Path: "/file"}}})
		change(&want)
		if result, err := b.try(b.ctx, want, &recorder{}); err == nil {
			b.Errorf("%s: the job ran and ended with %+v", name, result)
		}
	}
}

// start runs a job in the background and waits until it has printed a line.
func (b *jobFixture) start(ctx context.Context, want runtime.JobSpec, line string) (*recorder, <-chan error) {
	b.Helper()
	r, ended := &recorder{}, make(chan error, 1)
	go func() {
		_, err := b.try(ctx, want, r)
		ended <- err
	}()
	b.eventually("the job prints "+line, func() error {
		if got := r.text(); !strings.Contains(got, line) {
			return fmt.Errorf("it printed %q", got)
		}
		return nil
	})
	return r, ended
}

func testJobNotListed(b *jobFixture) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	want := b.job(Program{Stdout: "here\n", Exit: &Exit{After: time.Hour}})
	_, ended := b.start(ctx, want, "here\n")
	list, err := b.driver.List(b.ctx)
	if err != nil || len(list) > 0 {
		b.Errorf("while a job runs, List shows %+v, %v", list, err)
	}
	if _, _, err := b.driver.Output(b.ctx, want.ID, 0); !errors.Is(err, runtime.ErrNotFound) {
		b.Errorf("Output of a job returned %v, want ErrNotFound", err)
	}
	cancel()
	<-ended
}

func testJobsAtOnce(b *jobFixture) {
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			text := fmt.Sprintf("job %d\n", i)
			want := b.job(Program{Stdout: Bytes(text), Deeds: []Deed{{Do: DoWrite, Path: "/file", Text: Bytes(text), Mode: 0o644}}})
			want.Changes = b.path(fmt.Sprint("changes", i))
			r := &recorder{}
			result, err := b.try(b.ctx, want, r)
			if err != nil || result.Exit.Code != 0 || !strings.HasPrefix(r.text(), text) {
				b.Errorf("job %d: %+v, %v, output %q", i, result, err, r.text())
				return
			}
			if got, err := os.ReadFile(filepath.Join(want.Changes, "file")); err != nil || string(got) != text {
				b.Errorf("job %d changed the file to %q, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

func testJobCancel(b *jobFixture) {
	cause := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(b.ctx)
	want := b.job(Program{Stdout: "here\n", IgnoreStop: true, Children: 3, Exit: &Exit{After: time.Hour}})
	want.Changes = b.path("changes")
	r, ended := b.start(ctx, want, "here\n")
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		b.Errorf("a cancelled job returned %v, want its cause", err)
	}
	if _, err := os.Lstat(want.Changes); !errors.Is(err, os.ErrNotExist) {
		b.Errorf("a cancelled job left changes: %v", err)
	}
	if _, err := b.try(ctx, b.job(Program{}), &recorder{}); !errors.Is(err, cause) {
		b.Errorf("a job that was cancelled before it began returned %v, want the cause", err)
	}
	b.run(b.job(Program{})) // others are not concerned
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late {
		b.Error("there was output after RunJob had returned")
	}
}

// testJobRestart drops the driver while a job runs.
func testJobRestart(b *jobFixture) {
	steady := b.fixture.start(Program{})
	b.serves(steady)
	want := b.job(Program{Stdout: "here\n", Exit: &Exit{After: time.Hour}})
	want.Changes = b.path("changes")
	_, ended := b.start(b.ctx, want, "here\n")
	b.restart()
	if err := <-ended; err == nil {
		b.Error("a job outlived its driver")
	}
	list, err := b.driver.List(b.ctx)
	if err != nil || len(list) != 1 || list[0].ID != steady {
		b.Errorf("after a restart List shows %+v, %v, want only the instance", list, err)
	}
	b.serves(steady)
	// It can be run again, as if it had never been.
	want = b.job(Program{Deeds: []Deed{{Do: DoWrite, Path: "/file", Mode: 0o644}}})
	want.Changes = b.path("changes")
	if _, result := b.do(want); result.Layer == nil {
		b.Error("after a restart a job left no changes")
	}
}
