package sandboxinit

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// application is the instance's main process.
type application struct {
	pid     int
	pidfd   int
	started time.Time
	outputs [2]int // what it writes to stdout and stderr is read from here
}

// launch drops the privileges that the application may not have and starts it.
func launch(o *handoff.Order, files *networkFiles) (*application, error) {
	if err := unix.Sethostname([]byte(o.Hostname)); err != nil {
		return nil, doing("set the host name", err)
	}
	if err := files.fill(o); err != nil {
		return nil, err
	}
	who, err := findUser(o.User)
	if err != nil {
		return nil, err
	}
	makeVolumes(o.Volumes)
	if err := enterDir(o.Dir); err != nil {
		return nil, err
	}
	env := withHome(o.Env, who.home)
	path, err := findProgram(o.Argv, env)
	if err != nil {
		return nil, err
	}
	app := &application{}
	standard, err := app.pipes(who)
	if err != nil {
		return nil, err
	}
	if err := restrict(o); err != nil {
		return nil, err
	}
	if err := app.start(path, o.Argv, env, standard, who); err != nil {
		return nil, err
	}
	s := handoff.Started{PID: app.pid, At: app.started.UnixNano()}
	_, err = unix.Pwrite(handoff.FDStatus, s.Append(nil), handoff.StartedAt)
	return app, doing("record the start", err)
}

// pipes makes the application's standard files. The application's user owns the
// write ends: otherwise it could not open /dev/stdout.
func (a *application) pipes(who *identity) (files []uintptr, err error) {
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, doing("open /dev/null", err)
	}
	files = []uintptr{uintptr(null)}
	for i := range a.outputs {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, doing("make a pipe", err)
		}
		if err := unix.SetNonblock(p[0], true); err != nil {
			return nil, doing("make a pipe", err)
		}
		if err := unix.Fchown(p[1], int(who.uid), int(who.gid)); err != nil {
			return nil, doing("give a pipe to the user", err)
		}
		a.outputs[i] = p[0]
		files = append(files, uintptr(p[1]))
	}
	return files, nil
}

// restrict drops all privileges of this thread but those of the order, and so
// those of the application that it forks. It cannot be undone: what an init does
// from here on needs no more than an application has.
func restrict(o *handoff.Order) error {
	// The inherited session keyring is the daemon's: join a new one.
	_, _, errno := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if errno != 0 && errno != unix.ENOSYS {
		return doing("make a session keyring", errno)
	}
	for c := uintptr(0); c < 64; c++ {
		if o.Caps&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err == unix.EINVAL {
			break // past the last one of this kernel
		} else if err != nil {
			return doing("drop a capability", err)
		}
	}
	// Without no_new_privs, which would take their owner's rights from setuid programs,
	// the kernel asks for CAP_SYS_ADMIN in the user namespace: so before that is given up.
	if err := filter(o.Filter); err != nil {
		return doing("install the system call filter", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(o.Caps), uint32(o.Caps>>32)
	caps := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	return doing("give up capabilities", unix.Capset(&header, &caps[0]))
}

// filter installs a seccomp program. An empty program is a mistake of the
// caller and must not mean that everything is allowed.
func filter(program []byte) error {
	if len(program) == 0 {
		return unix.EINVAL
	}
	fprog := unix.SockFprog{
		Len:    uint16(len(program) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0])),
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// start forks and executes.
func (a *application) start(path string, argv, env []string, files []uintptr, who *identity) error {
	a.started = time.Now()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   env,
		Files: files,
		Sys: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups},
			Setsid:     true,
			PidFD:      &a.pidfd,
		},
	})
	for _, fd := range files {
		unix.Close(int(fd))
	}
	a.pid = pid
	return explainExec(path, err)
}
