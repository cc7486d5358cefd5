package sandboxinit

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// Names that a process is started under, as its first argument.
const (
	SpawnerName = "slipway-spawner"
	shimName    = "slipway-shim"
	initName    = "slipway-init"
)

// Wanted reports whether a process with these arguments was started as a spawner, a
// shim or an init. A program that may serve as its own init asks this before it does
// anything else, and calls Main if so.
func Wanted(args []string) bool {
	return len(args) == 1 && (args[0] == SpawnerName || args[0] == shimName || args[0] == initName)
}

// Main is the whole life of a spawner, a shim or an init. It does not return.
func Main() {
	// Namespaces, capabilities, signal masks and filters belong to a thread.
	runtime.LockOSThread()

	if _, err := unix.GetsockoptInt(handoff.FDControl, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		unix.Write(2, []byte("slipway-init is a part of slipway, which starts it. It does nothing by itself.\n"))
		unix.Exit(2)
	}
	if err := role()(); err != nil {
		unix.Write(2, []byte("slipway-init: "+err.Error()+"\n"))
		unix.Exit(1)
	}
	unix.Exit(0)
}

// role returns what this process was started as. (This package does not import os,
// which has the arguments.) A shim and an init are process 1, a spawner is not. Where an
// init has a socket, a shim has the status file.
func role() func() error {
	if unix.Getpid() != 1 {
		return runSpawner
	}
	if _, err := unix.GetsockoptInt(handoff.FDShim, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return runShim
	}
	return runInit
}

// failure is an error with what was being done.
type failure struct {
	doing string
	cause error
}

func (f *failure) Error() string { return f.doing + ": " + f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// doing wraps an error with what was being done. This package does not import
// fmt.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{what, err}
}
