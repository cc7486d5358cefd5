package sandboxinit

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// initPath is where the sandbox root keeps this program.
const initPath = "/" + initName

// initEnv is the environment of shims and inits. They allocate a little while they
// set up and nothing afterwards: collecting that garbage would cost more memory than
// it frees, and the memory limit is only for the unforeseen. GOMAXPROCS is 2 so
// that one processor is always idle: the runtime takes a sole processor away from
// a system call that lasts 20 microseconds, and the thread waits several times
// that to get it back. The runtime is to send itself no signals.
var initEnv = []string{"GOGC=off", "GOMEMLIMIT=32MiB", "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1"}

// runSpawner serves spawn requests until the daemon is gone.
func runSpawner() error {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.CloseOnExec(handoff.FDControl)
	// The daemon may have been started with more.
	if err := unix.CloseRange(handoff.FDControl+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return doing("close inherited descriptors", err)
	}
	if err := ignoreChildren(); err != nil {
		return err
	}
	limitResources() // instances inherit what is set here
	// When the host runs out of memory, an instance is killed before the daemon.
	writeFile("/proc/self/oom_score_adj", "200")
	libs, err := findLibraries()
	if err != nil {
		return doing("find the program's libraries", err)
	}
	if err := buildSandboxRoot(libs); err != nil {
		return doing("build the spawner's mount namespace", err)
	}
	env := libs.env(initEnv)
	for {
		if err := serve(env); err == errGone {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// serve answers one request for a shim with this environment.
func serve(env []string) error {
	b := make([]byte, 64)
	oob := make([]byte, unix.CmsgSpace(5*4))
	n, oobn, _, _, err := unix.Recvmsg(handoff.FDControl, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return doing("receive a request", err)
	}
	if n == 0 {
		return errGone
	}
	fds, err := rights(oob[:oobn])
	if err != nil {
		return doing("receive a request's descriptors", err)
	}
	request, err := handoff.ParseSpawn(b[:n])
	if err != nil {
		return err
	}
	answer, pidfd := spawn(request, fds, env)
	for _, fd := range fds {
		unix.Close(fd)
	}
	var right []byte
	if pidfd >= 0 {
		right = unix.UnixRights(pidfd)
	}
	err = unix.Sendmsg(handoff.FDControl, answer.Append(nil), right, nil, unix.MSG_NOSIGNAL)
	if pidfd >= 0 {
		unix.Close(pidfd)
	}
	if err == unix.EPIPE {
		return errGone
	}
	return doing("answer a request", err)
}

// spawn starts a shim, as process 1 of a pid namespace: all that the shim starts ends
// with it. It returns the shim's pidfd, or -1 and an answer that says why not.
func spawn(request handoff.Spawn, fds []int, env []string) (handoff.Spawned, int) {
	want := 4
	if request.IntoCgroup {
		want = 5
	}
	if len(fds) != want {
		return handoff.Spawned{Err: "a request came with the wrong number of descriptors"}, -1
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: "/",
		Env: env,
		// Descriptors 0 to 2 are the sandbox root's /dev/null.
		Files: []uintptr{0, 0, 0, uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2]), uintptr(fds[3])},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS,
			Setsid:      true,
			PidFD:       &pidfd,
			UseCgroupFD: request.IntoCgroup,
		},
	}
	if request.IntoCgroup {
		attr.Sys.CgroupFD = fds[4]
	}
	pid, err := syscall.ForkExec(initPath, []string{shimName}, attr)
	if err != nil {
		return handoff.Spawned{Err: err.Error()}, -1
	}
	return handoff.Spawned{PID: pid}, pidfd
}

// noCore is the limit of core dumps that prevents them all. A file needs a page or more. A
// program of the host that core_pattern pipes dumps to would run as the host's root with a
// limit of 0, too: the kernel starts none only at 1, its mark of such a program
// (fs/coredump.c). The filter of system calls keeps applications from lowering it.
const noCore = 1

// limitResources sets the limits of open files and core dumps that instances
// inherit. A lower hard limit that cannot be raised stays.
func limitResources() {
	const files = 65535 // what App Runner's machines gave
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}) != nil {
		var have unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &have) == nil {
			have.Cur = have.Max
			unix.Setrlimit(unix.RLIMIT_NOFILE, &have)
		}
	}
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: noCore, Max: noCore})
	unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	unix.Umask(0o022)
}
