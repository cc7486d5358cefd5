package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/runtimetest"
)

func TestJobContract(t *testing.T) {
	needRoot(t)
	t.Parallel()
	runtimetest.RunJobs(t, func(t *testing.T) runtimetest.JobHarness {
		cfg := config(t)
		dir := t.TempDir()
		cfg.Dir = filepath.Join(dir, "state")
		return runtimetest.JobHarness{
			Harness: runtimetest.Harness{
				Open:  func(t testing.TB) (runtime.Driver, func()) { return openUntil(t, cfg) },
				Image: imageProgram,
			},
			Dir: t.TempDir(),
		}
	})
}

// job returns what does a probe's deeds as a job.
func job(deeds ...string) runtime.JobSpec {
	spec := probe(deeds...)
	return runtime.JobSpec{ID: spec.ID, Image: imageProbe, Workload: spec.Workload}
}

// TestJobPrivileges checks that a job has the privileges of an instance, and
// nothing of the daemon's.
func TestJobPrivileges(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	want := job("id", "status CapEff CapBnd CapInh CapAmb NoNewPrivs Seccomp", "fds", "attack")
	var out strings.Builder
	result, err := s.driver.RunJob(t.Context(), want, func(c runtime.Chunk) { out.Write(c.Data) })
	if err != nil || result.Exit.Code != 0 || result.CPU <= 0 {
		t.Fatalf("%+v, %v\n%s", result, err, out.String())
	}
	found := map[string]string{}
	for line := range strings.Lines(out.String()) {
		name, what, _ := strings.Cut(strings.TrimSpace(line), ": ")
		found[name] = what
	}
	s.expect(found, map[string]string{
		"uid": "0 0", "host": want.ID[:12], "CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb", "CapInh": "0000000000000000",
		"CapAmb": "0000000000000000", "NoNewPrivs": "0", "Seccomp": "2",
		"mount tmpfs": "EPERM", "unshare user": "EPERM", "ptrace init": "EPERM", "bpf": "EPERM", "packet socket": "EPERM",
	})
	for name, what := range found {
		if strings.HasPrefix(what, "SUCCESS") && name != "kill 1" && name != "chroot" && name != "raw socket" && !strings.HasPrefix(name, "open /proc/1/") { // it is process 1 itself
			t.Errorf("%s succeeded", name)
		}
	}
}

// TestKilledJob kills a daemon with a job: the next driver removes all of it, and
// leaves the instance beside it running.
func TestKilledJob(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := shared(t)
	first := startDaemon(t, dir)
	defer first.kill()
	steady, want := probe("print hello", "signals"), job("children 3 sleep", "write /file x", "print here", "sleep")
	want.Changes = filepath.Join(t.TempDir(), "changes")
	first.order(steady)
	first.obeyed()
	first.order(struct{ Job runtime.JobSpec }{want})
	first.obeyed()
	jobs := names(t, dir, "jobs")
	if len(jobs) != 1 || len(sandboxed(t, jobs[0])) < 2 {
		t.Fatalf("while a job runs, there are %v", jobs)
	}
	for _, pid := range sandboxed(t, jobs[0]) {
		if isShim(pid) {
			continue
		}
		if score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); strings.TrimSpace(string(score)) != "900" {
			t.Errorf("process %d of the job has the score %s, %v: it is not killed first", pid, score, err)
		}
	}
	idle, err := filepath.Glob("/sys/fs/cgroup/*/*/" + jobs[0] + "/cpu.idle") // version 1
	if two, terr := filepath.Glob("/sys/fs/cgroup/*/" + jobs[0] + "/cpu.idle"); err != nil || terr != nil {
		t.Fatal(err, terr)
	} else {
		idle = append(idle, two...)
	}
	for _, file := range idle { // none before Linux 5.15
		if b, err := os.ReadFile(file); strings.TrimSpace(string(b)) != "1" {
			t.Errorf("%s is %s, %v: the job competes with instances", file, b, err)
		}
	}
	first.kill()
	if len(sandboxed(t, jobs[0])) == 0 {
		t.Error("the job died with its daemon: this test shows nothing")
	}

	cfg := config(t)
	cfg.Dir, cfg.Pool = dir, -1
	d, drop := openUntil(t, cfg)
	if pids := sandboxed(t, jobs[0]); len(pids) > 0 {
		t.Errorf("a driver serves while processes %v of an earlier job live", pids)
	}
	s := &fixture{t, d}
	if list, err := d.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != steady.ID || !list[0].Running {
		t.Errorf("List shows %+v, %v", list, err)
	}
	eventually(t, "nothing of the job is left", func() error {
		if left := slices.Concat(names(t, dir, "jobs"), names(t, dir, "trash")); len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		if groups := groupNames(t, dir); len(groups) != 1 {
			return fmt.Errorf("there are cgroups %v", groups)
		}
		return nil
	})
	if _, err := os.Lstat(want.Changes); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left changes: %v", err)
	}
	s.remove(steady.ID)
	drop()
	nothingLeft(t, dir)
}

// TestJobLeavesNothing checks that a driver whose jobs have ended, well or badly,
// has nothing of them.
func TestJobLeavesNothing(t *testing.T) {
	needRoot(t)
	t.Parallel()
	cfg := config(t)
	cfg.Pool = -1
	d, drop := openUntil(t, cfg)
	for i, deeds := range [][]string{{"write /file x", "exit 0"}, {"exit 1"}, {"children 3 sleep", "exit 0"}, {"fault"}} {
		want := job(deeds...)
		want.Resources = slipway.Resources{CPU: 1024, Memory: 128}
		want.Changes = filepath.Join(t.TempDir(), fmt.Sprint(i))
		if _, err := d.RunJob(t.Context(), want, func(runtime.Chunk) {}); err != nil {
			t.Error(err)
		}
	}
	drop()
	nothingLeft(t, cfg.Dir)
}
