package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that an init hands on to the application: those
// that people and supervisors send. All real-time signals are among them.
//
// They are blocked from before the Go runtime starts (the spawner blocks them
// and the mask passes through exec), so that every thread of the runtime has
// them blocked and they can be read from a signalfd instead.
func forwarded() *unix.Sigset_t {
	set := &unix.Sigset_t{}
	for _, s := range [...]unix.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGTERM, unix.SIGCONT, unix.SIGWINCH, unix.SIGPWR,
	} {
		addSignal(set, s)
	}
	for s := unix.Signal(34); s <= 64; s++ {
		addSignal(set, s)
	}
	return set
}

func addSignal(set *unix.Sigset_t, s unix.Signal) {
	bits := unsafe.Sizeof(set.Val[0]) * 8
	set.Val[uintptr(s-1)/bits] |= 1 << (uintptr(s-1) % bits)
}

func hasSignal(set *unix.Sigset_t, s unix.Signal) bool {
	bits := unsafe.Sizeof(set.Val[0]) * 8
	return set.Val[uintptr(s-1)/bits]&(1<<(uintptr(s-1)%bits)) != 0
}

func blockSignals() error {
	return doing("block signals", unix.PthreadSigmask(unix.SIG_BLOCK, forwarded(), nil))
}

// unblockSignals is for the moment in which the application is forked: it is
// to start with no signal blocked.
func unblockSignals() error {
	return doing("unblock signals", unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil))
}

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

// defaultActions takes the forwarded signals from the Go runtime, which would
// end the program on most of them in the moment in which they are unblocked.
// With the default action the kernel drops them: this is process 1.
func defaultActions() error {
	set := forwarded()
	for s := unix.Signal(1); s <= 64; s++ {
		if hasSignal(set, s) {
			if err := setAction(s, sigDefault); err != nil {
				return err
			}
		}
	}
	return nil
}
