package sandboxinit

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// application is the sandbox's first process: the init, and then what it executes.
type application struct {
	pid     int
	pidfd   int
	socket  int // to the init; the kernel closes the other end when it executes
	started time.Time
	outputs [2]int // what it writes to stdout and stderr is read from here
}

// runShim is the whole life of a shim.
func runShim() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return doing("become untraceable", err)
	}
	if err := unix.CloseRange(handoff.FDControl, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return doing("keep descriptors from the init", err)
	}
	app, output, err := begin()
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		reply(handoff.KindFailed, err.Error())
		return err
	}
	if send(handoff.FDControl, handoff.KindInit, "", app.pidfd) != nil {
		return nil // never used
	}
	return app.watch(output)
}

// begin starts the init and gives up everything that this process does not need to
// outlive the daemon.
func begin() (*application, *ring.Writer, error) {
	m, err := receive(handoff.KindBegin)
	if err != nil {
		return nil, nil, err
	}
	b, err := handoff.ParseBegin(m.body)
	if err != nil {
		return nil, nil, doing("read the begin message", err)
	}
	if err := ignoreSignals(); err != nil {
		return nil, nil, err
	}
	output, err := ring.NewWriter(handoff.FDOutput0, handoff.FDOutput1, int64(b.OutputSize))
	if err != nil {
		return nil, nil, doing("begin the output files", err)
	}
	// A user namespace gets its ids through the /proc of its parent.
	if err := mount("proc", "/proc", secure, ""); err != nil {
		return nil, nil, err
	}
	app, err := startInit(&b)
	if err != nil {
		return nil, nil, doing("start the init", err)
	}
	return app, output, withdraw(int(b.ShimID))
}

// startInit starts the init in the sandbox's namespaces.
func startInit(b *handoff.Begin) (*application, error) {
	var pair [2]int
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pair[1])
	app := &application{socket: pair[0]}
	ids := mappings(b.FirstID)
	app.pid, err = syscall.ForkExec(initPath, []string{initName}, &syscall.ProcAttr{
		Dir: "/",
		Env: syscall.Environ(),
		// Descriptors 0 to 2 are the sandbox root's /dev/null.
		Files: []uintptr{0, 1, 2, handoff.FDControl, uintptr(pair[1])},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
				unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			UidMappings:                ids,
			GidMappings:                ids,
			GidMappingsEnableSetgroups: true,
			Credential:                 &syscall.Credential{},
			Setsid:                     true,
			PidFD:                      &app.pidfd,
		},
	})
	return app, err
}

// withdraw gives up the privileges and the view of the host that starting the init
// took. What is left are the descriptors that are open, and to be the init's parent.
// The user is one that no sandbox and no other shim has.
func withdraw(user int) error {
	// The application must not be able to have this process killed in its place when
	// memory is short. Without CAP_SYS_RESOURCE it can only be as likely as the daemon.
	if writeFile("/proc/self/oom_score_adj", "-999") != nil {
		writeFile("/proc/self/oom_score_adj", "0")
	}
	if err := unix.Chroot(skeletonPath); err != nil {
		return doing("leave the sandbox root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return doing("leave the sandbox root", err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return doing("give up groups", err)
	}
	if err := syscall.Setresgid(user, user, user); err != nil {
		return doing("change the group", err)
	}
	if err := syscall.Setresuid(user, user, user); err != nil {
		return doing("change the user", err)
	}
	return doing("refuse new privileges", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

// watch follows the init until it has executed the application or failed to, then
// the application until its end.
func (app *application) watch(output *ring.Writer) error {
	m, err := receiveFrom(app.socket)
	if err == nil && m.kind == handoff.KindPipes && len(m.fds) == len(app.outputs) {
		copy(app.outputs[:], m.fds)
		app.started = time.Now()
		m, err = receiveFrom(app.socket)
		if err == errGone { // executed
			return app.run(output)
		}
	}
	if err == errGone {
		return nil // never used, or killed while it was set up
	}
	if err != nil || m.kind != handoff.KindFailed {
		return doing("hear from the init", handoff.ErrMalformed)
	}
	if e := handoff.ParseEnded(m.body); e != nil {
		record(*e)
		reply(handoff.KindFailed, e.Reason)
	}
	return nil
}

// run tells that the application runs and supervises it.
func (app *application) run(output *ring.Writer) error {
	s := handoff.Started{PID: app.pid, At: app.started.UnixNano()}
	if _, err := unix.Pwrite(handoff.FDStatus, s.Append(nil), handoff.StartedAt); err != nil {
		err = doing("record the start", err)
		record(ended(err))
		reply(handoff.KindFailed, err.Error())
		return nil
	}
	reply(handoff.KindStarted, "")
	unix.Close(handoff.FDControl)
	unix.Close(app.socket)
	record(app.supervise(output))
	return nil
}

// record writes how the instance ended. It is the last act of a shim: when the shim
// exits, the kernel kills what is left below it.
func record(e handoff.Ended) {
	unix.Pwrite(handoff.FDStatus, e.Append(nil), handoff.EndedAt)
}
