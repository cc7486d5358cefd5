package sandboxinit

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// runUnderInit starts the application as a child of this process, which stays process
// 1: it forwards signals to the application, reaps orphans, and ends as the
// application does. It returns only if the application cannot be started.
//
// This init is within reach of the application. It holds nothing that the application
// does not: how the instance ends is recorded, and its output kept, by the shim. Of the
// application's capabilities, caps, it keeps that to signal other users' processes.
func (p *program) runUnderInit(caps uint64) error {
	if err := unblockSignals(); err != nil { // the application inherits this
		return err
	}
	pid, err := syscall.ForkExec(p.path, p.argv, &syscall.ProcAttr{
		Env:   p.env,
		Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: p.who.uid, Gid: p.who.gid, Groups: p.who.groups},
			Setsid:     true,
		},
	})
	if err != nil {
		return explainExec(p.path, err)
	}
	if err := keepOnly(caps & (1 << unix.CAP_KILL)); err != nil {
		return err
	}
	if err := forwardSignals(pid); err != nil {
		return err
	}
	for fd := range 3 {
		unix.Close(fd) // the application's end of its output
	}
	unix.Close(handoff.FDControl)
	unix.Close(handoff.FDShim) // tells the shim that the application runs
	reap(pid)
	return nil
}

// keepOnly leaves all threads of this process these capabilities.
func keepOnly(caps uint64) error {
	err := capset(caps, true)
	if err == unix.ENOTSUP { // a slipway that is its own init and was built with cgo
		err = capset(caps, false)
	}
	return doing("give up capabilities", err)
}

// forwardTo is the process that forwardSignal sends signals to. It is the one variable
// of this package that changes, once, before there is a handler that reads it: the
// kernel passes a handler nothing but the signal.
//
//lint:ignore U1000 the handler, which reads it, is in assembly
var forwardTo uintptr

// forwardSignal is the address of a signal handler that sends the signal to the process
// forwardTo. It is in assembly: it runs on any thread, and the Go runtime knows nothing
// of it. (What Go has for this, os/signal, takes three threads, and the runtime never
// leaves SIGTERM blocked, as signalfd would need it.) returnFromSignal is the address of
// what ends a handler where the kernel does not bring that.
var forwardSignal, returnFromSignal uintptr

// forwardSignals has the application get all signals that this process gets, except
// those that tell of its children and of its own faults.
func forwardSignals(application int) error {
	forwardTo = uintptr(application)
	action := sigaction{
		handler:  forwardSignal,
		flags:    onStack | restart | restorer,
		restorer: returnFromSignal,
	}
	for s := unix.Signal(1); s <= 64; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD,
			unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS,
			32, 33: // the C library's and the Go runtime's
			continue
		}
		if err := action.set(s); err != nil {
			return err
		}
	}
	return nil
}

// reap collects every child until the application has ended, and then ends this
// process as a shell would: with the exit status, or 128 and the signal's number.
func reap(application int) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			unix.Exit(codeNotSetUp) // without children there is no application
		case pid != application:
		case status.Signaled():
			unix.Exit(128 + int(status.Signal()))
		default:
			unix.Exit(status.ExitStatus())
		}
	}
}
