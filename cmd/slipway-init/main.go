// Command slipway-init is the first process of an instance, and the process
// that makes such processes. It is no command for people: the daemon carries
// it inside itself and starts it.
//
// Started by the daemon it is the spawner: in a mount namespace that holds
// nothing of the host but what a sandbox is made from, it starts an init in
// new namespaces each time it is asked. (The daemon could do that itself, but
// a fork with a user namespace copies the caller's page tables, which are
// large there and small here.)
//
// Started by the spawner it is an init, process 1 of the new pid namespace. It
// mounts what every instance needs and waits. When it is handed a root file
// system and an order, it enters the one and carries out the other: it starts
// the application, writes its output to files, buries orphans and records how
// it ended. From then on it talks to nobody, so the daemon may come and go.
//
// One init runs for each instance, so it is kept small: no package os or fmt,
// no goroutines of its own, no allocation once the application runs. It must
// hold nothing that an escape from the sandbox could start from: of the host
// it has three plain files, no directory.
package main

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

func main() {
	// Namespaces, capabilities, signal masks and filters are a thread's.
	runtime.LockOSThread()

	if _, err := unix.GetsockoptInt(handoff.FDControl, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		unix.Write(2, []byte("slipway-init is a part of slipway, which starts it: it does nothing by itself.\n"))
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

// doing adds to an error what was being done. It is fmt.Errorf for a program
// that does without fmt.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{what, err}
}
