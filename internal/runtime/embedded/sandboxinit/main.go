package sandboxinit

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// Names that a process is started under, as its first argument.
const (
	SpawnerName = "slipway-spawner"
	initName    = "slipway-init"
)

// Wanted reports whether a process with these arguments was started as a
// spawner or an init. A program that may serve as its own init asks this before
// it does anything else, and calls Main if so.
func Wanted(args []string) bool {
	return len(args) == 1 && (args[0] == SpawnerName || args[0] == initName)
}

// Main is the whole life of a spawner or an init. It does not return.
func Main() {
	// Namespaces, capabilities, signal masks and filters belong to a thread.
	runtime.LockOSThread()

	if _, err := unix.GetsockoptInt(handoff.FDControl, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		unix.Write(2, []byte("slipway-init is a part of slipway, which starts it. It does nothing by itself.\n"))
		unix.Exit(2)
	}
	var err error
	if unix.Getpid() == 1 {
		err = runInit()
	} else {
		err = runSpawner()
	}
	if err != nil {
		unix.Write(2, []byte("slipway-init: "+err.Error()+"\n"))
		unix.Exit(1)
	}
	unix.Exit(0)
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
