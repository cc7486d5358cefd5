package sandboxinit

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct, the same on amd64 and arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	sigDefault = 0
	sigIgnore  = 1
)

func setAction(s unix.Signal, handler uintptr) error {
	action := sigaction{handler: handler}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
	if errno != 0 {
		return doing("set what a signal does", errno)
	}
	return nil
}

// ignoreChildren lets the kernel bury the spawner's children. The Go runtime
// of an init takes SIGCHLD back for itself.
func ignoreChildren() error { return setAction(unix.SIGCHLD, sigIgnore) }

// ignoreSignals makes an init deaf to all signals but SIGKILL from outside: the
// kernel drops signals to a process 1 that has no handler for them. (To ignore
// them is something else, which the application would inherit.) It takes from
// the Go runtime those by which it would end the program, with or without a
// stack trace; a crash of its own still ends it.
//
// An init does not hand signals on. Whoever wants to stop an instance finds the
// application beside it, and the daemon does so; what listens to signals in a
// Go program costs three threads, in each instance.
func ignoreSignals() error {
	for s := unix.Signal(1); s <= 31; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP: // nobody's to set
			continue
		case unix.SIGCHLD: // breaks the wait for events
			continue
		case unix.SIGURG: // the scheduler's own
			continue
		}
		if err := setAction(s, sigDefault); err != nil {
			return err
		}
	}
	return nil
}
