package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// daemonEnv, set to a directory, makes the test binary a process that runs a
// driver there and does what its standard input says: something to kill.
const daemonEnv = "EMBEDDED_TEST_DAEMON"

// serveDaemon is that process. Each line is a specification to ensure, an id to
// remove, or a job to start; each answer is "ok" or an error.
func serveDaemon(dir string) error {
	built.layers = filepath.Join(dir, "../layers")
	built.program, built.probe = filepath.Join(built.layers, "program"), filepath.Join(built.layers, "probe")
	program, err := os.ReadFile(filepath.Join(dir, "../slipway-init"))
	if err != nil {
		return err
	}
	d, err := embedded.New(embedded.Config{
		Dir: dir, Images: testImages(), LayerDir: built.layers, Init: program, Pool: 2,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	go func() {
		if err := d.Run(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		line := lines.Bytes()
		go func() {
			if err := obey(d, line); err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("ok")
		}()
	}
	return nil
}

func obey(d *embedded.Driver, line []byte) error {
	var job struct{ Job *runtime.JobSpec }
	if err := json.Unmarshal(line, &job); err == nil && job.Job != nil {
		return begin(d, *job.Job)
	}
	var spec runtime.Spec
	if err := json.Unmarshal(line, &spec); err != nil {
		return err
	}
	if spec.Image == "" {
		return d.Remove(context.Background(), spec.ID, 0)
	}
	return d.Ensure(context.Background(), spec)
}

// begin starts a job and returns once it has written something.
func begin(d *embedded.Driver, want runtime.JobSpec) error {
	wrote, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() {
		result, err := d.RunJob(context.Background(), want, func(runtime.Chunk) { wrote <- struct{}{} })
		ended <- fmt.Errorf("the job ended: %+v, %w", result, err)
	}()
	select {
	case <-wrote:
		return nil
	case err := <-ended:
		return err
	}
}

// daemon is the test's end of such a process.
type daemon struct {
	*testing.T
	cmd     *exec.Cmd
	orders  io.Writer
	answers *bufio.Scanner
}

// startDaemon starts one on a directory beside the layers.
func startDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	d := &daemon{T: t, cmd: exec.Command(os.Args[0])}
	d.cmd.Env = append(os.Environ(), daemonEnv+"="+dir)
	d.cmd.Stderr = logWriter{t}
	in, err := d.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.orders, d.answers = in, bufio.NewScanner(out)
	return d
}

func (d *daemon) order(spec any) {
	d.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := d.orders.Write(append(b, '\n')); err != nil {
		d.Fatal(err)
	}
}

// obeyed waits for an answer, which must be "ok".
func (d *daemon) obeyed() {
	d.Helper()
	if !d.answers.Scan() || d.answers.Text() != "ok" {
		d.Fatalf("the daemon answered %q", d.answers.Text())
	}
}

// kill kills it at once.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// shared is a directory beside the layers, for a daemon and for drivers of the
// test's own.
func shared(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(built.dir, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKilled kills a daemon with instances in all states: the next one finds
// them, with what they wrote and how they ended meanwhile.
func TestKilled(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := shared(t)
	first := startDaemon(t, dir)
	defer first.kill()

	steady := probe("print hello", "listen 127.0.0.1:80 hello", "signals")
	failed := probe()
	failed.Process.Argv = []string{"/no/such/app"}
	flooding := probe("print begun", "flood 100000000", "exit 3")
	ending := probe("print begun", "signals")
	removed := probe("sleep")
	for _, spec := range []runtime.Spec{steady, failed, flooding, ending, removed} {
		first.order(spec)
		first.obeyed()
	}
	first.order(runtime.Spec{ID: removed.ID})
	first.obeyed()
	first.kill()

	// Ends while no daemon runs.
	shim := shimOf(t, dir, ending.ID)
	endedAt := time.Now()
	if err := unix.Kill(childOf(t, shim), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the instance is gone", func() error {
		if unix.Kill(shim, 0) == nil && !isZombie(shim) {
			return errors.New("its shim lives")
		}
		return nil
	})

	cfg := config(t)
	cfg.Dir = dir
	d, drop := openUntil(t, cfg)
	defer drop()
	s := &fixture{t, d}
	defer s.clear()
	list, err := d.List(t.Context())
	if err != nil || len(list) != 4 {
		t.Fatalf("found %+v, %v", list, err)
	}
	if exit := s.exited(flooding.ID); exit.Code != 3 {
		t.Errorf("what flooded ended with %+v", exit)
	}
	if got := s.output(flooding.ID, true); got != "flood is over\n" {
		t.Errorf("what flooded said at its end %q", got)
	}
	if exit := s.exited(ending.ID); exit.Signal != "SIGKILL" || exit.Reason != "" || exit.At.Before(endedAt) || !strings.HasPrefix(exit.Tail, "begun\n") {
		t.Errorf("what ended while no daemon ran is known as %+v", exit)
	}
	if exit := s.exited(failed.ID); exit.Code != 127 {
		t.Errorf("what failed to start is known as %+v", exit)
	}
	o := s.observe(steady.ID)
	if !o.Running || o.Service != "service" || o.PID == 0 {
		t.Fatalf("what runs on is known as %+v", o)
	}
	c, err := d.Dial(t.Context(), steady.ID, 80)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := unix.Kill(o.PID, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.prints(steady.ID, "signal 10") // its output flows
	if err := d.Stop(t.Context(), steady.ID, patience); err != nil {
		t.Fatal(err)
	}
}

// shimOf returns the shim of an instance, known from its cgroup.
func shimOf(t *testing.T, dir, id string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "instances", id, "spec.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec struct{ Sandbox string }
	if err := json.Unmarshal(b, &spec); err != nil {
		t.Fatal(err)
	}
	for _, pid := range sandboxed(t, spec.Sandbox) {
		if isShim(pid) {
			return pid
		}
	}
	t.Fatalf("sandbox %s has no shim", spec.Sandbox)
	return 0
}

// isShim reports whether a process of a sandbox is its shim: process 1 of the pid
// namespace below the test's.
func isShim(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && strings.Contains(string(b), "\nNSpid:\t"+strconv.Itoa(pid)+"\t1\n")
}

// childOf returns the first child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "\nPPid:\t"+strconv.Itoa(pid)+"\n") {
			child, _ := strconv.Atoi(strings.Split(path, "/")[2])
			return child
		}
	}
	t.Fatalf("process %d has no child", pid)
	return 0
}

// sandboxed returns the processes in a cgroup whose path contains a name.
func sandboxed(t *testing.T, name string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "/"+name) && !isZombie(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isZombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ") || strings.Contains(string(b), ") X ")
}

// TestKilledOften kills daemons at random moments while they start and remove
// instances. Each time the next driver must find a state that it understands,
// with nothing started twice, and be able to bring it to the desired state.
func TestKilledOften(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := shared(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	var specs []runtime.Spec
	for range 6 {
		specs = append(specs, probe("print hello", "signals"))
	}
	for round := range 20 {
		victim := startDaemon(t, dir)
		for i, s := range specs {
			if (i+round)%3 == 0 && round > 0 {
				victim.order(runtime.Spec{ID: s.ID})
			} else {
				victim.order(s)
			}
		}
		timer := time.NewTimer(time.Duration(rnd.IntN(60)) * time.Millisecond)
		<-timer.C // the moment of death is what is random here
		victim.kill()
		if round%4 == 3 {
			understood(t, dir, specs)
		}
	}
	understood(t, dir, specs)
	cfg := config(t)
	cfg.Dir = dir
	d, drop := openUntil(t, cfg)
	for _, spec := range specs {
		if err := d.Remove(t.Context(), spec.ID, 0); err != nil {
			t.Error(err)
		}
	}
	drop()
	nothingLeft(t, dir)
}

// understood opens a driver where daemons were killed, has it start all
// specifications, and checks that each runs once.
func understood(t *testing.T, dir string, specs []runtime.Spec) {
	t.Helper()
	cfg := config(t)
	cfg.Dir, cfg.Pool = dir, -1
	d, drop := openUntil(t, cfg)
	defer drop()
	s := &fixture{t, d}
	for _, spec := range specs {
		if o := s.observe(spec.ID); o != nil && !o.Running {
			// Death came between its becoming an instance and its start, or
			// between its end and its removal.
			if o.Exit.Reason != "the daemon ended before the instance was started" && o.Exit.Signal != "SIGKILL" {
				t.Errorf("%s ended: %+v", spec.ID, o.Exit)
			}
			s.remove(spec.ID)
		}
		s.ensure(spec)
		s.prints(spec.ID, "listening")
		if out := s.output(spec.ID, false); out != "hello\nlistening to signals\n" {
			t.Errorf("%s wrote %q", spec.ID, out)
		}
	}
	eventually(t, "what is left over is gone", func() error {
		blank, trash := names(t, dir, "blank"), names(t, dir, "trash")
		groups := groupNames(t, dir)
		if len(blank)+len(trash) > 0 || len(groups) != len(specs) {
			return fmt.Errorf("left are blank %v, trash %v and groups %v", blank, trash, groups)
		}
		return nil
	})
	if n := len(names(t, dir, "instances")); n != len(specs) {
		t.Errorf("there are %d instances, not %d", n, len(specs))
	}
}

// names returns what is in one of the driver's directories.
func names(t *testing.T, dir, sub string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, sub))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// groupNames returns the sandboxes' cgroups of the driver on a directory, as
// far as one of them is in any hierarchy.
func groupNames(t *testing.T, dir string) (list []string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		dirs, err := filepath.Glob(filepath.Join(pattern, embedded.SliceName(dir), "*-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			if fi, err := os.Stat(d); err == nil && fi.IsDir() && !slices.Contains(list, filepath.Base(d)) {
				list = append(list, filepath.Base(d))
			}
		}
	}
	return list
}

// nothingLeft checks that a driver that has ended, and has no instances, left
// nothing on the machine.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"blank", "instances", "jobs", "trash", "disks"} {
		if left := names(t, dir, sub); len(left) > 0 {
			t.Errorf("in %s are left %v", sub, left)
		}
	}
	if left := groupNames(t, dir); len(left) > 0 {
		t.Errorf("left are the cgroups %v", left)
	}
	slices, err := filepath.Glob("/sys/fs/cgroup/*/" + embedded.SliceName(dir))
	if err != nil || len(slices) > 0 {
		t.Errorf("left are the cgroups %v (%v)", slices, err)
	}
	if left := sandboxed(t, embedded.SliceName(dir)); len(left) > 0 {
		t.Errorf("left are the processes %v", left)
	}
	for _, file := range []string{"/proc/self/mountinfo", "/proc/1/mountinfo"} {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), dir) {
			t.Errorf("%s shows mounts:\n%s", file, b)
		}
	}
	// Loop devices go when the last mount does, which the kernel may do later.
	eventually(t, "loop devices are gone", func() error {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir) {
				return fmt.Errorf("%s is %s", f, b)
			}
		}
		return err
	})
}

// TestLeftovers lays out what a daemon may leave and more, and checks that the
// next one clears it away.
func TestLeftovers(t *testing.T) {
	needRoot(t)
	t.Parallel()
	cfg := config(t)
	cfg.Pool = -1
	d, drop := openUntil(t, cfg)
	s := &fixture{t, d}
	id := s.ensure(probe("print hello", "signals"))
	s.prints(id, "listening")
	drop()

	for path, text := range map[string]string{
		"blank/00003-aaaaaaaa/status":                         "",
		"trash/00004-bbbbbbbb/output.0":                       "old",
		"instances/" + strings.Repeat("0", 32) + "/spec.json": "{",
		"instances/" + strings.Repeat("1", 32) + "/spec.json": `{"sandbox":"../../etc"}`,
		"instances/" + strings.Repeat("2", 32) + "/spec.json": `{"sandbox":"00005-cccccccc","service":"s","memory":64}`,
		"instances/" + strings.Repeat("2", 32) + "/status":    "",
		"instances/" + strings.Repeat("2", 32) + "/output.0":  "",
		"instances/" + strings.Repeat("2", 32) + "/output.1":  "",
		"instances/" + strings.Repeat("3", 32) + "/unrelated": "",
	} {
		writeLayerFile(t, cfg.Dir, path, text, 0o600)
	}
	// A cgroup that no directory speaks of, with a process in it.
	stray := exec.Command("sleep", "1h")
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	roots, err := filepath.Glob("/sys/fs/cgroup/*/" + embedded.SliceName(cfg.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) == 0 {
		roots = []string{"/sys/fs/cgroup/" + embedded.SliceName(cfg.Dir)}
	}
	for _, root := range roots {
		group := filepath.Join(root, "00009-dddddddd")
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(group+"/cgroup.procs", []byte(strconv.Itoa(stray.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}

	d, drop = openUntil(t, cfg)
	s.driver = d
	if err := stray.Wait(); err == nil {
		t.Error("the stray process was not killed")
	}
	// Its daemon died before it was started: the call will be made again.
	if o := s.observe(strings.Repeat("2", 32)); o != nil {
		t.Errorf("an instance that was never started is known as %+v", o)
	}
	if list, err := d.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("known are %+v, %v", list, err)
	}
	eventually(t, "leftovers are gone", func() error {
		if left := slices.Concat(names(t, cfg.Dir, "blank"), names(t, cfg.Dir, "trash"), names(t, cfg.Dir, "disks")); len(left) > 0 {
			return fmt.Errorf("left are %v", left)
		}
		if groups := groupNames(t, cfg.Dir); len(groups) != 1 {
			return fmt.Errorf("groups are %v", groups)
		}
		return nil
	})
	s.clear()
	drop()
	nothingLeft(t, cfg.Dir)
}
