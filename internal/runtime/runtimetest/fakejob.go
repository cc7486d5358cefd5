package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/runtime"
)

// RunJob is the Method of runtime.Job.
const RunJob Method = "RunJob"

var _ runtime.Job = (*Fake)(nil)

// RunJob implements runtime.Job: it plays the Program of the job's image, or of its
// Argv. Deeds change a directory, so a job that asks for changes writes to disk. Of
// limits it meets those of memory, of time and of output.
func (f *Fake) RunJob(ctx context.Context, want runtime.JobSpec, output func(runtime.Chunk)) (result runtime.JobResult, err error) {
	err = f.call(RunJob, func() error {
		j := &fakeJob{fake: f, want: want, output: output, started: time.Now()}
		result, err = j.run(ctx)
		return err
	})
	if err != nil {
		return runtime.JobResult{}, err
	}
	return result, nil
}

// fakeJob plays one job.
type fakeJob struct {
	fake    *Fake
	want    runtime.JobSpec
	output  func(runtime.Chunk)
	started time.Time

	files   fakeFiles
	pos     int64 // of output
	passed  int64
	cut     bool
	program Program
}

// errJobTimeout ends a fake job at its Timeout.
var errJobTimeout = errors.New("the job's time is over")

func (j *fakeJob) run(ctx context.Context) (runtime.JobResult, error) {
	var none runtime.JobResult
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	img, err := j.check()
	if err != nil {
		return none, fmt.Errorf("run job %s: %w", j.want.ID, err)
	}
	in := "" // the changes are renamed
	if j.want.Changes != "" {
		in = filepath.Dir(j.want.Changes)
	}
	if j.files.upper, err = os.MkdirTemp(in, "runtimetest-job-"); err != nil {
		return none, err
	}
	defer os.RemoveAll(j.files.upper)
	if err := os.Chmod(j.files.upper, 0o755); err != nil {
		return none, err
	}
	j.files.lowers = j.want.Layers
	scratch, err := os.MkdirTemp("", "runtimetest-binds-")
	if err != nil {
		return none, err
	}
	defer os.RemoveAll(scratch)
	if j.files.binds, err = bindsOf(j.want.Binds, scratch); err != nil {
		return none, fmt.Errorf("run job %s: %w", j.want.ID, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	release := j.fake.onKill(func() { stop(ErrKilled) })
	defer release()

	result := runtime.JobResult{Exit: j.watched(ctx, img)}
	if cause := context.Cause(ctx); cause != nil {
		return none, cause
	}
	result.Exit.At = time.Now()
	result.Exit.Ran = result.Exit.At.Sub(j.started)
	result.Truncated = j.cut
	switch {
	case result.Exit.OOM:
		result.Limit = runtime.LimitMemory
	case strings.HasPrefix(result.Exit.Reason, errJobTimeout.Error()):
		result.Limit = runtime.LimitTime
	}
	if result.Exit.Code == 0 && j.want.Changes != "" {
		result.Layer, err = j.keep(ctx)
	}
	return result, err
}

// watched plays the program to its end, with a watcher if there is one.
func (j *fakeJob) watched(ctx context.Context, img Image) slipway.Exit {
	if j.want.Running == nil {
		return j.live(ctx, img)
	}
	watch, stop := context.WithCancel(ctx)
	seen := make(chan struct{})
	defer func() { stop(); <-seen }()
	p := img.Program
	if img.FromArgv {
		p, _ = parseProgram(j.want.Process.Argv) // live finds the mistake, too
	}
	go func() {
		defer close(seen)
		j.want.Running(watch, func() ([]netip.AddrPort, error) {
			if p.NoListen || time.Since(j.started) < p.ListenAfter {
				return nil, nil
			}
			port, err := strconv.ParseUint(variable(j.want.Process.Env, "PORT"), 10, 16)
			if p.Port != 0 {
				port, err = uint64(p.Port), nil
			}
			return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))}, err
		})
	}()
	return j.live(ctx, img)
}

// check refuses what a driver refuses.
func (j *fakeJob) check() (Image, error) {
	w := j.fake.machine
	paths := append([]string(nil), j.want.Layers...)
	exist := append([]string(nil), j.want.Layers...)
	for _, b := range j.want.Binds {
		from := append([]string(nil), b.Layers...)
		if b.Source != "" {
			from = append(from, b.Source)
		}
		paths, exist = append(append(paths, b.Target), from...), append(exist, from...)
		if b.Target == "/" || j.linked(b.Target) {
			return Image{}, fmt.Errorf("nothing can be bound to %s", b.Target)
		}
		if b.Source != "" && len(b.Layers) > 0 || len(from) == 0 && b.Memory == nil || len(from) > 0 && b.Memory != nil {
			return Image{}, fmt.Errorf("what is bound to %s has no single source", b.Target)
		}
	}
	if j.want.Changes != "" {
		paths, exist = append(paths, j.want.Changes), append(exist, filepath.Dir(j.want.Changes))
		if _, err := os.Lstat(j.want.Changes); err == nil {
			return Image{}, fmt.Errorf("%s exists", j.want.Changes)
		}
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p {
			return Image{}, fmt.Errorf("path %q is not absolute and clean", p)
		}
	}
	for _, p := range exist {
		if _, err := os.Lstat(p); err != nil {
			return Image{}, err
		}
	}
	if len(j.want.ID) != 32 || strings.Trim(j.want.ID, "0123456789abcdef") != "" {
		return Image{}, fmt.Errorf("id %q is not of 32 hexadecimal digits", j.want.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	img, ok := w.images[j.want.Image]
	if !ok || !w.prepared[j.want.Image] {
		return Image{}, fmt.Errorf("%s: %w", j.want.Image, errNotPrepared)
	}
	return img, nil
}

// linked reports whether a path leads through a symbolic link of a layer.
func (j *fakeJob) linked(target string) bool {
	for p := target; p != "/"; p = path.Dir(p) {
		for _, l := range j.want.Layers {
			if st, err := os.Lstat(l + p); err == nil && st.Mode()&os.ModeSymlink != 0 {
				return true
			}
		}
	}
	return false
}

// live plays the program to its end.
func (j *fakeJob) live(ctx context.Context, img Image) slipway.Exit {
	j.program = img.Program
	if img.FromArgv {
		var err error
		if j.program, err = parseProgram(j.want.Process.Argv); err != nil {
			return slipway.Exit{Code: 127, Reason: err.Error()}
		}
	}
	if img.StartFails != "" {
		return slipway.Exit{Code: 127, Reason: img.StartFails}
	}
	if j.want.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.want.Timeout, errJobTimeout)
		defer cancel()
	}
	if err := j.play(ctx); err != nil {
		exit := exitBySignal(false)
		exit.Reason = fmt.Sprintf("%v: %v", errJobTimeout, j.want.Timeout)
		return exit
	}
	if limit := int64(j.want.Resources.Memory) << 20; limit > 0 && j.program.Memory > limit {
		return exitBySignal(true)
	}
	end := j.program.Exit
	if end == nil {
		end = &Exit{}
	}
	if wait(ctx, time.Until(j.started.Add(end.After))) != nil {
		exit := exitBySignal(false)
		exit.Reason = fmt.Sprintf("%v: %v", errJobTimeout, j.want.Timeout)
		return exit
	}
	if end.Kill {
		return exitBySignal(false)
	}
	return slipway.Exit{Code: end.Code}
}

// play does what the program does before it waits for its end. It fails only if
// ctx ends.
func (j *fakeJob) play(ctx context.Context) error {
	j.print(false, string(j.program.Stdout))
	j.print(true, string(j.program.Stderr))
	for _, name := range j.program.PrintEnv {
		j.print(false, name+"="+variable(j.want.Process.Env, name)+"\n")
	}
	for pos := int64(0); pos < j.program.Flood; pos += 64 {
		j.print(false, FloodLine(pos))
	}
	for _, d := range j.program.Deeds {
		switch d.Do {
		case DoPrint, DoWarn:
			j.print(d.Do == DoWarn, string(d.Text))
			continue
		}
		result, err := j.files.do(ctx, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			result = errorName(err)
		}
		j.print(false, fmt.Sprintf("%s %s: %s\n", d.Do, d.Path, result))
	}
	return ctx.Err()
}

// variable returns a variable's value, "" if it is not there.
func variable(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

func (j *fakeJob) print(stderr bool, text string) {
	if text == "" || j.cut {
		return
	}
	c := runtime.Chunk{Pos: j.pos, At: time.Now(), Stderr: stderr, Data: []byte(text)}
	j.pos += int64(len(text))
	if left := j.want.Output - j.passed; j.want.Output > 0 && int64(len(text)) > left {
		j.cut = true
		c.Data = c.Data[:left]
		if left > 0 {
			j.output(c)
		}
		c = runtime.Chunk{Pos: c.Pos + left, At: c.At, Stderr: true, Data: []byte(runtime.OutputLimitNote)}
	}
	j.passed += int64(len(c.Data))
	j.output(c)
}

// keep puts the changes where they are asked for.
func (j *fakeJob) keep(ctx context.Context) (*runtime.JobLayer, error) {
	if err := wholeSeconds(j.files.upper); err != nil {
		return nil, err
	}
	l, err := pack.Digest(ctx, j.files.upper)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(j.files.upper, j.want.Changes); err != nil {
		return nil, err
	}
	if j.want.Unidentified {
		return &runtime.JobLayer{Entries: min(l.Entries, 1)}, nil
	}
	return &runtime.JobLayer{DiffID: l.DiffID, Size: l.Size, Entries: l.Entries}, nil
}

// wholeSeconds drops the fractions of the times of all files.
func wholeSeconds(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err != nil {
			return err
		}
		at := unix.Timespec{Sec: st.Mtim.Sec}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	})
}
