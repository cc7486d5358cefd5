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

// Flags of a sigaction.
const (
	restorer = 0x04000000
	onStack  = 0x08000000 // stacks of goroutines are too small
	restart  = 0x10000000
)

func setAction(s unix.Signal, handler uintptr) error {
	return sigaction{handler: handler}.set(s)
}

func (action sigaction) set(s unix.Signal) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
	if errno != 0 {
		return doing("set what a signal does", errno)
	}
	return nil
}

// ignoreChildren lets the kernel reap the spawner's children. The Go runtime
// of a shim takes SIGCHLD back for itself.
func ignoreChildren() error { return setAction(unix.SIGCHLD, sigIgnore) }

// unblockSignals has this thread, and what it executes, block no signals.
func unblockSignals() error {
	const setMask = 2 // SIG_SETMASK
	var mask uint64
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&mask)), 0, unsafe.Sizeof(mask), 0, 0)
	if errno != 0 {
		return doing("set the signal mask", errno)
	}
	return nil
}

// ignoreSignals makes a shim and an init ignore all signals but SIGKILL from outside:
// both are process 1 of a pid namespace, and the kernel drops a signal to process 1
// that has no handler for it. It therefore removes the Go runtime's handlers, which
// would end the program. (SIG_IGN would be inherited by the application.) A crash
// still ends them.
//
// No signals go through them: the daemon signals the application directly.
// Listening to signals would cost a Go program three threads in each instance.
func ignoreSignals() error {
	for s := unix.Signal(1); s <= 31; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP: // cannot be set
			continue
		case unix.SIGCHLD: // interrupts the wait for events
			continue
		case unix.SIGURG: // the Go scheduler's
			continue
		}
		if err := setAction(s, sigDefault); err != nil {
			return err
		}
	}
	return nil
}
