package sandboxinit

import (
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// runInit is the whole life of an init, unless it becomes the application.
func runInit() error {
	// No process of the sandbox may trace this one or look into its /proc entry.
	// copyProgram has the same effect; this is the second lock.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return doing("become untraceable", err)
	}
	if err := unix.CloseRange(handoff.FDControl, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return doing("keep descriptors from the application", err)
	}
	err := prepare()
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		reply(handoff.KindFailed, err.Error())
		return err
	}
	reply(handoff.KindReady, "")

	files, err := receiveRoot()
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		return fail(err)
	}
	reply(handoff.KindReady, "")

	m, err := receive(handoff.KindOrder)
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		return doing("receive the order", err)
	}
	order, err := handoff.ParseOrder(m.body)
	if err != nil {
		return doing("read the order", err)
	}
	return fail(launch(&order, files))
}

// prepare makes the sandbox ready for any root file system.
func prepare() error {
	m, err := receive(handoff.KindSkeleton)
	if err != nil {
		return err
	}
	skeleton, err := handoff.ParseSkeleton(m.body)
	if err != nil {
		return doing("read the skeleton message", err)
	}
	if err := buildSkeleton(&skeleton); err != nil {
		return err
	}
	return ignoreSignals()
}

// receiveRoot waits for the root file system and enters it. What will run there
// is not known yet.
func receiveRoot() (*networkFiles, error) {
	m, err := receive(handoff.KindRoot)
	if err == errGone {
		return nil, err
	}
	if err != nil {
		return nil, doing("receive the root file system", err)
	}
	if len(m.fds) != 1 {
		return nil, doing("receive the root file system", handoff.ErrMalformed)
	}
	if err := enterRoot(m.fds[0]); err != nil {
		return nil, err
	}
	return makeNetworkFiles()
}

// fail tells the shim why the application does not run. The shim records it and
// tells the daemon.
func fail(err error) error {
	e := ended(err)
	return doing("tell the shim", send(handoff.FDShim, handoff.KindFailed, string(e.Append(nil))))
}
