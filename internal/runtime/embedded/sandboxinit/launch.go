package sandboxinit

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// program is what an order says, resolved in the image.
type program struct {
	path      string
	argv, env []string
	who       *identity
}

// launch makes this process the application, or starts the application as its child
// and stays its init. It returns only if that fails.
func launch(o *handoff.Order, files *networkFiles) error {
	p, err := resolve(o, files)
	if err != nil {
		return err
	}
	outputs, err := openStandardFiles(p.who)
	if err != nil {
		return err
	}
	if err := restrict(o); err != nil {
		return err
	}
	if err := send(handoff.FDShim, handoff.KindPipes, "", outputs[:]...); err != nil {
		return doing("hand over the output", err)
	}
	if o.Init {
		return p.runUnderInit(o.Caps)
	}
	return p.execute()
}

// resolve finds out what the order means in the image.
func resolve(o *handoff.Order, files *networkFiles) (*program, error) {
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
	return &program{path: path, argv: o.Argv, env: env, who: who}, nil
}

// openStandardFiles opens the application's descriptors 0 to 2 and returns the read
// ends of its output. The application's user owns the write ends, and every user of
// the image may open them: programs open /dev/stdout, /proc/self/fd/1 and
// /proc/1/fd/1, also after they have become another user. (They are pipes of the
// sandbox, not of the shim: the kernel accounts pipes to the user who makes them.)
func openStandardFiles(who *identity) (outputs [2]int, err error) {
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return outputs, doing("open /dev/null", err)
	}
	files := [3]int{null}
	for i := range outputs {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return outputs, doing("make a pipe", err)
		}
		if err := unix.SetNonblock(p[0], true); err != nil {
			return outputs, doing("make a pipe", err)
		}
		if err := unix.Fchmod(p[1], 0o622); err != nil {
			return outputs, doing("let all users write to a pipe", err)
		}
		if err := unix.Fchown(p[1], int(who.uid), int(who.gid)); err != nil {
			return outputs, doing("give a pipe to the user", err)
		}
		outputs[i], files[i+1] = p[0], p[1]
	}
	for fd, file := range files {
		if err := unix.Dup3(file, fd, 0); err != nil {
			return outputs, doing("open the standard files", err)
		}
		unix.Close(file)
	}
	return outputs, nil
}

// restrict drops all privileges of this thread but those of the order, and so
// those of the application. It cannot be undone.
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
	if err := enterProfile(o.Profile); err != nil {
		return doing("confine by the AppArmor profile "+o.Profile, err)
	}
	if err := confine(o.Access, scopesOf(o.Scopes, o.Init)); err != nil {
		return doing("confine to the root directory by Landlock", err)
	}
	// Without no_new_privs, which would take their owner's rights from setuid programs,
	// the kernel asks for CAP_SYS_ADMIN in the user namespace: so before that is given up.
	if err := filter(o.Filter); err != nil {
		return doing("install the system call filter", err)
	}
	return doing("give up capabilities", capset(o.Caps, false))
}

// capset leaves this thread, or all of this process, these capabilities.
func capset(keep uint64, all bool) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(keep), uint32(keep>>32)
	caps := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	if !all {
		return unix.Capset(&header, &caps[0])
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&caps[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// filter installs a seccomp program for all threads: those of an init that stays, too.
// An empty program is a mistake of the caller and must not mean that everything is
// allowed.
func filter(program []byte) error {
	if len(program) == 0 {
		return unix.EINVAL
	}
	fprog := unix.SockFprog{
		Len:    uint16(len(program) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0])),
	}
	thread, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return unix.EBUSY // this thread cannot be made to have it
	}
	return nil
}

// execute makes this process the application: process 1 of the instance. The kernel
// closes the socket to the shim when it has succeeded.
func (p *program) execute() error {
	if err := p.who.become(); err != nil {
		return err
	}
	if err := unblockSignals(); err != nil {
		return err
	}
	return explainExec(p.path, syscall.Exec(p.path, p.argv, p.env))
}

// become makes this thread the user's. Other threads are not affected: they end when
// this one executes.
func (who *identity) become() error {
	var groups *uint32
	if len(who.groups) > 0 {
		groups = &who.groups[0]
	}
	for _, call := range [...][4]uintptr{
		{unix.SYS_SETGROUPS, uintptr(len(who.groups)), uintptr(unsafe.Pointer(groups)), 0},
		{unix.SYS_SETRESGID, uintptr(who.gid), uintptr(who.gid), uintptr(who.gid)},
		{unix.SYS_SETRESUID, uintptr(who.uid), uintptr(who.uid), uintptr(who.uid)},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return doing("become the user of the image", errno)
		}
	}
	return nil
}
