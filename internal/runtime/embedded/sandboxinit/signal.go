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

// ignoreChildren lets the kernel reap the spawner's children. The Go runtime
// of an init takes SIGCHLD back for itself.
func ignoreChildren() error { return setAction(unix.SIGCHLD, sigIgnore) }

// ignoreSignals makes an init ignore all signals but SIGKILL from outside: the
// kernel drops a signal to process 1 that has no handler for it. It therefore
// removes the Go runtime's handlers, which would end the program. (SIG_IGN would
// be inherited by the application.) A crash of the init still ends it.
//
// An init forwards no signals: the daemon signals the application directly.
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
