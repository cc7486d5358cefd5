package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// job is a sandbox that runs one process to its end. Its instance is not known to
// the driver: nothing but RunJob has to do with it.
type job struct {
	*instance
	want    runtime.JobSpec
	sandbox *sandbox
	root    *jobRoot
	upper   *os.File // the directory that takes the changes

	timedOut bool // killed at its timeout
}

// RunJob implements runtime.Job.
func (d *Driver) RunJob(ctx context.Context, want runtime.JobSpec, output func(runtime.Chunk)) (runtime.JobResult, error) {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return runtime.JobResult{}, err
	}
	defer done()
	if err := validateJob(want); err != nil {
		return runtime.JobResult{}, err
	}
	result, err := d.runJob(ctx, want, output)
	if err != nil {
		return runtime.JobResult{}, fmt.Errorf("run job %s: %w", want.ID, err)
	}
	return result, nil
}

// validateJob refuses specifications that are a mistake of the caller.
func validateJob(want runtime.JobSpec) error {
	if err := validateID("job", want.ID); err != nil {
		return err
	}
	paths := want.Layers
	for _, b := range want.Binds {
		if err := validateBind(b); err != nil {
			return fmt.Errorf("job %s: %w", want.ID, err)
		}
		paths = append(append(paths[:len(paths):len(paths)], b.Target), b.Layers...)
		if b.Source != "" {
			paths = append(paths, b.Source)
		}
	}
	if want.Changes != "" {
		paths = append(paths[:len(paths):len(paths)], want.Changes)
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p {
			return fmt.Errorf("job %s: path %q is not absolute and clean", want.ID, p)
		}
	}
	return nil
}

// maxMemoryFile bounds a file in memory, in bytes.
const maxMemoryFile = 1 << 20

// validateBind refuses binds that are a mistake of the caller.
func validateBind(b runtime.Bind) error {
	sources := 0
	for _, given := range []bool{b.Source != "", len(b.Layers) > 0, b.Memory != nil} {
		if given {
			sources++
		}
	}
	switch {
	case b.Target == "/":
		return errors.New("nothing can be bound over /")
	case sources != 1:
		return fmt.Errorf("what is bound to %s has %d sources", b.Target, sources)
	case b.Path != "" && len(b.Layers) == 0:
		return fmt.Errorf("what is bound to %s has a path and no layers", b.Target)
	case b.Memory != nil && (len(b.Memory.Data) > maxMemoryFile || b.Memory.Size < 0 ||
		b.Memory.UID < 0 || b.Memory.UID >= idsPerSandbox || b.Memory.GID < 0 || b.Memory.GID >= idsPerSandbox):
		return fmt.Errorf("what is bound to %s is too large, or belongs to nobody of the job", b.Target)
	}
	return nil
}

func (d *Driver) runJob(ctx context.Context, want runtime.JobSpec, output func(runtime.Chunk)) (runtime.JobResult, error) {
	var none runtime.JobResult
	giveBack, err := d.admit(ctx, want.ID, promise{bytes: d.diskOf(want)})
	if err != nil {
		return none, err
	}
	defer giveBack()
	root, err := d.jobRoot(ctx, want)
	if err != nil {
		return none, err
	}
	s, ahead, err := d.pool.blank(ctx)
	if err != nil {
		return none, err
	}
	j, err := d.makeJob(ctx, s, want, root)
	if err != nil && ahead && ctx.Err() == nil {
		// Somebody may have taken something from it since it was made.
		d.log.Warn("a job cannot run in a sandbox that was made ahead of time: another one is used", "sandbox", s.name, "err", err)
		d.discardJob(s)
		if s, err = d.pool.build(ctx); err != nil {
			return none, err
		}
		j, err = d.makeJob(ctx, s, want, root)
	}
	defer d.discardJob(s)
	if err != nil {
		return none, err
	}
	defer j.close()
	if err := d.startJob(ctx, j); err != nil {
		return none, err
	}
	truncated, err := d.superviseJob(ctx, j, output)
	if err != nil {
		return none, err
	}
	return j.result(ctx, truncated)
}

// discardJob kills what is left of a job and has it removed in the background: to unmount
// its disk takes as long as to write down what nobody will read.
func (d *Driver) discardJob(s *sandbox) {
	if s.process != nil {
		s.process.kill()
	}
	d.ends.Go(func() {
		s.discard()
		if err := d.factory.discardDir(s.dir, s.name); err != nil {
			// It stays where it is, where the next driver finds it.
			d.log.Error("cannot move a job to the trash", "sandbox", s.name, "err", err)
			return
		}
		d.reaper.add(s.name)
	})
}

// makeJob turns a blank sandbox into a job that is not started yet. From then on
// its directory says that it is one.
func (d *Driver) makeJob(ctx context.Context, s *sandbox, want runtime.JobSpec, root *jobRoot) (*job, error) {
	if err := s.resize(ctx, d.diskOf(want)); err != nil {
		return nil, err
	}
	if err := s.confine(ctx, want.Networks); err != nil {
		return nil, err
	}
	if want.Offline {
		if err := s.cut(ctx); err != nil {
			return nil, err
		}
	}
	bounds := d.limits(s, want.Workload)
	bounds.Background = true
	if want.Pids > 0 {
		bounds.Pids = want.Pids + ownPids(want.Workload)
	}
	if err := s.group.SetLimits(bounds); err != nil {
		return nil, err
	}
	if err := s.process.setOOMScore(jobOOMScore); err != nil {
		return nil, err
	}
	dir := d.factory.path(dirJobs, s.name)
	if err := os.Rename(s.dir, dir); err != nil {
		return nil, err
	}
	s.dir = dir
	upper, err := s.staging.openUpper()
	if err != nil {
		return nil, err
	}
	in := &instance{
		id: want.ID, dir: dir, group: s.group, process: s.process, done: make(chan struct{}),
		spec: spec{Sandbox: s.name, Init: want.Process.Init, Memory: want.Resources.Memory, CreatedAt: time.Now()},
	}
	return &job{instance: in, want: want, sandbox: s, root: root, upper: upper}, nil
}

// diskOf returns the bytes that a job's changes may take.
func (d *Driver) diskOf(want runtime.JobSpec) int64 { return cmp.Or(want.Disk, d.cfg.Disk) }

// jobOOMScore makes the kernel kill a job before everything else when the machine has
// no memory left. Instances have less (see sandboxinit), the daemon 0.
const jobOOMScore = 900

// close closes what the job has open besides its sandbox.
func (j *job) close() {
	j.instance.close()
	j.upper.Close()
}

// startJob gives the job its root file system and its order, and waits until its
// process runs or could not be started.
func (d *Driver) startJob(ctx context.Context, j *job) error {
	s := j.sandbox
	order := d.order(runtime.Spec{ID: j.want.ID, Workload: j.want.Workload}, s.link)
	body := order.Append(nil)
	if len(body) > handoff.MaxBody {
		return errors.New("its command line and environment are too large")
	}
	root, err := s.assembleJob(j.root, j.want.Binds)
	if err != nil {
		return err
	}
	err = s.send(handoff.KindRoot, nil, root)
	root.Close()
	if err != nil {
		return err
	}
	if err := s.send(handoff.KindOrder, body, nil); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	if err := d.awaitLaunch(ctx, s, j.instance, true); err != nil {
		return err
	}
	return d.poller.add(s.process.pidfd, func() {
		d.ends.Go(func() { d.recordExit(j.instance, reasonKilled) })
	})
}

// superviseJob passes the job's output on until it has ended, and kills it when
// its time is over or ctx ends. It reports whether output was cut off.
func (d *Driver) superviseJob(ctx context.Context, j *job, output func(runtime.Chunk)) (truncated bool, err error) {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	killed := make(chan error, 1)
	go func() { killed <- d.killJob(watch, j) }()
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		if j.want.Running != nil {
			j.want.Running(watch, func() ([]netip.AddrPort, error) { return listening(j.process.inside) })
		}
	}()
	truncated, err = j.stream(ctx, output)
	stop()
	<-seen
	return truncated, errors.Join(err, <-killed, context.Cause(ctx))
}

// killJob waits for the end of the job's time, or of ctx, and then kills the job.
// It returns when the job has ended.
func (d *Driver) killJob(ctx context.Context, j *job) error {
	var timeout <-chan time.Time
	if j.want.Timeout > 0 {
		timer := time.NewTimer(j.want.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		// Nobody will read its last output: kill the shim and all with it.
		return d.killAll(j)
	case <-timeout:
	}
	if !j.alive() {
		return nil
	}
	j.setKillReason(fmt.Sprintf("it exceeded its time limit of %v", j.want.Timeout))
	j.timedOut = true
	if err := d.terminate(ctx, j.instance, 0); err != nil {
		return d.killAll(j)
	}
	return nil
}

// killAll kills the job and waits for its end.
func (d *Driver) killAll(j *job) error {
	if err := j.kill(); err != nil {
		return err
	}
	select {
	case <-j.done:
		return nil
	case <-d.boot.Done(): // the poller has ended and tells no more
		return j.process.wait()
	}
}

// streamInterval is how often the output of a job is looked at.
const streamInterval = 20 * time.Millisecond

// stream passes the job's output on until the job has ended and all is read.
func (j *job) stream(ctx context.Context, output func(runtime.Chunk)) (truncated bool, err error) {
	tick := time.NewTicker(streamInterval)
	defer tick.Stop()
	limited := limitedOutput{most: j.want.Output, next: output}
	for from := int64(0); ; {
		ended := !j.alive() // asked before reading: what is read then is all
		frames, next, err := j.read(from, readAtMost)
		if err != nil {
			return limited.cut, fmt.Errorf("read its output: %w", err)
		}
		from = next
		for _, f := range frames {
			limited.pass(runtime.Chunk{Pos: f.Pos, At: time.Unix(0, f.At), Stderr: f.Stderr, Data: f.Data})
		}
		if len(frames) > 0 {
			continue
		}
		if ended {
			return limited.cut, nil
		}
		select {
		case <-tick.C:
		case <-j.done:
		case <-ctx.Done():
			return limited.cut, nil // killJob kills it
		}
	}
}

// limitedOutput passes chunks on up to a limit, and then says so once.
type limitedOutput struct {
	most int64 // 0: no limit
	next func(runtime.Chunk)

	passed int64
	cut    bool
}

func (l *limitedOutput) pass(c runtime.Chunk) {
	if l.cut || len(c.Data) == 0 {
		return
	}
	left := l.most - l.passed
	if l.most == 0 || int64(len(c.Data)) <= left {
		l.passed += int64(len(c.Data))
		l.next(c)
		return
	}
	l.cut = true
	if left > 0 {
		first := c
		first.Data = c.Data[:left]
		l.next(first)
	}
	l.next(runtime.Chunk{Pos: c.Pos + left, At: c.At, Stderr: true, Data: []byte(runtime.OutputLimitNote)})
}

// diskFull is how little of a job's disk is left when it counts as full, in
// bytes: less than a job that met the limit can have used.
const diskFull = 256 << 10

// result tells how the job ended and takes its changes.
func (j *job) result(ctx context.Context, truncated bool) (runtime.JobResult, error) {
	r := runtime.JobResult{Exit: *j.exit, Truncated: truncated}
	usage, err := j.group.CPU()
	if err == nil {
		r.CPU = usage
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(j.upper.Fd()), &fs); err != nil {
		return r, fmt.Errorf("measure its disk: %w", err)
	}
	switch {
	case j.timedOut:
		r.Limit = runtime.LimitTime
	case r.Exit.OOM:
		r.Limit = runtime.LimitMemory
	case int64(fs.Bavail)*fs.Bsize < diskFull || fs.Files > 0 && fs.Ffree == 0:
		r.Limit = runtime.LimitDisk
	default:
		if refused, err := j.group.PidsRefused(); err == nil && refused > 0 {
			r.Limit = runtime.LimitPids
		}
	}
	if r.Exit.Code != 0 || j.want.Changes == "" {
		return r, nil
	}
	r.Layer, err = j.takeChanges(ctx)
	if errors.Is(err, errLargerThanDisk) {
		r.Exit.Code, r.Exit.Reason, r.Limit = 1, err.Error(), runtime.LimitDisk
		return r, nil
	}
	return r, err
}
