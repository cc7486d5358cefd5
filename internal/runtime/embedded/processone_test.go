package embedded_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// TestProcessOne: the application is process 1, and what scripts do with process 1
// works, for root and for other users.
func TestProcessOne(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, user := range []string{"", "web", "4711:65535"} {
		spec := probe("one", "exit")
		spec.Process.User = user
		found := s.run(spec)
		s.expect(found, map[string]string{
			"pid": "1", "parent": "0", "signal 0 to 1": "ok", "exe of 1": "/bin/probe", "comm of 1": "probe", "environ of 1": "true",
			"write /proc/1/fd/1": "ok", "write /proc/1/fd/2": "ok", "write /proc/self/fd/1": "ok", "write /dev/stdout": "ok", "write /dev/stderr": "ok",
		})
	}
	// A server that began as root writes to its log by name as another user.
	spec := probe("become 1000", "one", "exit")
	id := s.ensure(spec)
	s.exited(id)
	for _, stderr := range []bool{false, true} {
		out := s.output(id, stderr)
		for _, name := range map[bool][]string{false: {"/proc/self/fd/1", "/dev/stdout"}, true: {"/dev/stderr"}}[stderr] {
			if !strings.Contains(out, "through "+name+"\n") {
				t.Errorf("what the user 1000 wrote to %s is missing in %q", name, out)
			}
		}
	}
	// Another process writes into the log of process 1.
	spec = probe("children 1 one", "sleep")
	id = s.ensure(spec)
	if line := s.prints(id, "write /dev/stderr"); line != "write /dev/stderr: ok" {
		t.Error(line)
	}
	if out := s.output(id, false); !strings.Contains(out, "through /proc/1/fd/1\n") || strings.Contains(out, "pid: 1\n") {
		t.Errorf("a child wrote %q", out)
	}
}

// TestScriptIsProcessOne: a shell script that must be process 1 is, and what it writes to
// the files of process 1 is in its log, also from a process that it starts.
func TestScriptIsProcessOne(t *testing.T) {
	needRoot(t)
	t.Parallel()
	s := newFixture(t)
	const script = `[ "$$" = 1 ] || { echo "can only run as process 1, am $$"; exit 100; }
kill -0 1 && echo to the output >/proc/1/fd/1
sh -c 'echo to the error >/proc/1/fd/2'`
	out := s.runHosts(t, []string{"/usr/bin/sh", "-c", script})
	if out != "to the output\nto the error\n" {
		t.Errorf("it wrote %q", out)
	}
}

// TestSupervisionTree: s6, which must be process 1 for s6-overlay, brings its service up
// and ends it and itself at the stop signal, while its log arrives.
func TestSupervisionTree(t *testing.T) {
	needRoot(t)
	t.Parallel()
	svscan, err := exec.LookPath("s6-svscan")
	if err != nil {
		t.Skipf("this machine has no s6 (Debian's package s6): %v", err)
	}
	s := newFixture(t)
	const script = `mkdir -p /tmp/s/web /tmp/s/.s6-svscan
printf '#!/usr/bin/sh\necho web runs below $PPID >/proc/1/fd/1\nexec sleep 1000\n' >/tmp/s/web/run
printf '#!/usr/bin/sh\necho ends >/proc/1/fd/1\n' >/tmp/s/.s6-svscan/finish
chmod +x /tmp/s/web/run /tmp/s/.s6-svscan/finish
( until s6-svstat -o up /tmp/s/web | grep -q true; do sleep 0.1; done; kill -TERM 1 ) &
exec %s /tmp/s`
	out := s.runHosts(t, []string{"/usr/bin/sh", "-c", fmt.Sprintf(script, svscan)})
	if !strings.Contains(out, "web runs below ") || !strings.HasSuffix(out, "ends\n") {
		t.Errorf("it wrote %q", out)
	}
}

// TestShimOutOfReach: root in an instance can neither see nor disturb what keeps its
// output and records its end.
func TestShimOutOfReach(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, init := range []bool{false, true} {
		spec := probe("reach", "print survived", "signals")
		spec.Process.Init = init
		id := s.ensure(spec)
		s.prints(id, "listening to signals")
		out := s.output(id, false)
		if !strings.Contains(out, "reached: []\n") || !strings.Contains(out, "survived\n") {
			t.Errorf("with init %v: %s", init, out)
		}
		shim := parentOf(t, s.observe(id).PID)
		path := "/proc/" + strconv.Itoa(shim)
		var st unix.Stat_t
		if err := unix.Stat("/proc/"+strconv.Itoa(s.observe(id).PID), &st); err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(path + "/status")
		if err != nil {
			t.Fatal(err)
		}
		slot := (st.Uid - embedded.DefaultFirstID) / 65536
		uid := (1879048191-embedded.DefaultFirstID)/65536*65536 + embedded.DefaultFirstID + int(slot)
		for _, want := range []string{
			fmt.Sprintf("\nUid:\t%d\t%d\t%d\t%d\n", uid, uid, uid, uid), fmt.Sprintf("\nGid:\t%d\t%d\t%d\t%d\n", uid, uid, uid, uid),
			"\nGroups:\t \n", "\nCapPrm:\t0000000000000000\n", "\nCapEff:\t0000000000000000\n", "\nNoNewPrivs:\t1\n",
		} {
			if !strings.Contains(string(status), want) {
				t.Errorf("the status of the shim lacks %q:\n%s", want, status)
			}
		}
		if root, err := os.ReadDir(path + "/root"); err != nil || len(root) != 0 {
			t.Errorf("the shim sees %v, %v", root, err)
		}
		if adj, err := os.ReadFile(path + "/oom_score_adj"); err != nil || string(adj) != "-999\n" && string(adj) != "0\n" {
			t.Errorf("the kernel kills the shim with the adjustment %q, %v", adj, err) // the daemon may lack CAP_SYS_RESOURCE
		}
		nice, err := unix.Getpriority(unix.PRIO_PROCESS, shim)
		if err != nil || nice != 20 {
			t.Errorf("the shim has the priority %d, %v", nice, err)
		}
		if err := s.driver.Stop(t.Context(), id, patience); err != nil {
			t.Fatal(err)
		}
		if exit := s.exited(id); exit.Code != 0 || !strings.HasSuffix(exit.Tail, "signal 15\n") {
			t.Errorf("with init %v it ended with %+v", init, exit)
		}
	}
}

// TestUnhandledStop: the kernel drops a signal to process 1 that has no handler for it,
// so the application is killed once its grace is over. With an init it ends at once.
func TestUnhandledStop(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	unhandled := probe("unhandled 15", "sleep")
	id := s.ensure(unhandled)
	s.prints(id, "unhandled")
	if err := s.driver.Stop(t.Context(), id, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(id); exit.Code != 137 || exit.Signal != "SIGKILL" || !strings.Contains(exit.Reason, "did not end within") {
		t.Errorf("it ended with %+v", exit)
	}
	reaped := probe("unhandled 15", "sleep")
	reaped.Process.Init = true
	id = s.ensure(reaped)
	s.prints(id, "unhandled")
	if err := s.driver.Stop(t.Context(), id, patience); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(id); exit.Code != 143 || exit.Reason != "" {
		t.Errorf("with an init it ended with %+v", exit)
	}
}

// TestMemoryReason: an application that exceeds its memory ends for that reason, whether
// it is process 1 or the child of an init.
func TestMemoryReason(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for init, signal := range map[bool]string{false: "SIGKILL", true: ""} {
		spec := probe("devour")
		spec.Resources.Memory = 64
		spec.Process.Init = init
		exit := s.exited(s.ensure(spec))
		if exit.Code != 137 || exit.Signal != signal || !exit.OOM || exit.Reason != "it exceeded its memory of 64 MiB" {
			t.Errorf("with init %v it ended with %+v", init, exit)
		}
	}
	// An application that has a child exceed it, and exits itself, has no such reason.
	spec := probe("children 1 devour", "zombies", "exit 3")
	spec.Resources.Memory = 64
	spec.Process.Init = true
	if exit := s.exited(s.ensure(spec)); exit.Code != 3 || exit.Reason != "" {
		t.Errorf("a child exceeded it, and it ended with %+v", exit)
	}
}

// TestInitPrivileges: an init that stays keeps, in all its threads, no capability but
// that to signal, and the filter of system calls.
func TestInitPrivileges(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, user := range []string{"", "web"} {
		spec := probe("signals")
		spec.Process.Init, spec.Process.User = true, user
		id := s.ensure(spec)
		s.prints(id, "listening")
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.observe(id).PID))
		if err != nil || len(threads) == 0 {
			t.Fatal(threads, err)
		}
		for _, path := range threads {
			status, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"\nCapPrm:\t0000000000000020\n", "\nCapEff:\t0000000000000020\n", "\nSeccomp:\t2\n"} {
				if !strings.Contains(string(status), want) {
					t.Errorf("a thread of the init lacks %q:\n%s", want, status)
				}
			}
		}
		if err := s.driver.Stop(t.Context(), id, patience); err != nil {
			t.Fatal(err)
		}
		if exit := s.exited(id); exit.Code != 0 {
			t.Errorf("user %q: it ended with %+v", user, exit)
		}
	}
}

// TestOrphans: without an init, orphans are the application's, as in a container of
// Docker.
func TestOrphans(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	id := s.ensure(probe("orphans 1", "adopt", "exit"))
	if line := s.prints(id, "adopted"); line != "adopted: 1" {
		t.Error(line)
	}
}

// TestInitForwards: an init passes every signal on that it can.
func TestInitForwards(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	spec := probe("signals")
	spec.Process.Init = true
	id := s.ensure(spec)
	s.prints(id, "listening")
	one := s.observe(id).PID
	for _, signal := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGALRM, 37, 64} {
		if err := unix.Kill(one, signal); err != nil {
			t.Fatal(err)
		}
		s.prints(id, fmt.Sprintf("signal %d", int(signal)))
	}
	if err := s.driver.Stop(t.Context(), id, patience); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(id); exit.Code != 0 {
		t.Errorf("it ended with %+v", exit)
	}
}
