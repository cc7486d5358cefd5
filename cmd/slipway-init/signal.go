package main

import (
	"os"
	"os/signal"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that an init hands on to the application: those
// that people and supervisors send. All real-time signals are among them that
// C libraries do not use themselves.
func forwarded() []os.Signal {
	list := []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGTERM, unix.SIGCONT, unix.SIGWINCH, unix.SIGPWR,
	}
	for s := unix.Signal(35); s <= 64; s++ {
		list = append(list, s)
	}
	return list
}

// listenToSignals queues the forwarded signals from now on.
func listenToSignals() <-chan os.Signal {
	queue := make(chan os.Signal, 16)
	signal.Notify(queue, forwarded()...)
	return queue
}

// forward hands signals on to the application.
func forward(queue <-chan os.Signal, pid int) {
	// A thread of its own: or else the runtime might have to start one at that
	// moment, and end the program if the application has taken the last that
	// the instance may have.
	runtime.LockOSThread()
	for s := range queue {
		unix.Kill(pid, s.(unix.Signal))
	}
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

// dropCrashes takes from the Go runtime the signals by which it would end the
// program with a stack trace. With their default action the kernel drops those
// that the application sends, as this is process 1, and ends the program
// should it really have crashed.
func dropCrashes() error {
	for _, s := range [...]unix.Signal{
		unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSTKFLT, unix.SIGSYS,
	} {
		if err := setAction(s, sigDefault); err != nil {
			return err
		}
	}
	return nil
}
