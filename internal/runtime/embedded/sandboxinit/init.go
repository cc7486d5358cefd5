package sandboxinit

import (
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// runInit is the whole life of an init.
func runInit() error {
	// No process of the sandbox may trace this one or look into its /proc entry.
	// copyProgram has the same effect; this is the second lock.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return doing("become untraceable", err)
	}
	if err := unix.CloseRange(handoff.FDControl, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return doing("keep descriptors from the application", err)
	}
	output, err := prepare()
	if err == errDaemonGone {
		return nil // never used
	}
	if err != nil {
		reply(handoff.KindFailed, err.Error())
		return err
	}
	reply(handoff.KindReady, "")

	files, err := receiveRoot()
	if err == errDaemonGone {
		return nil // never used
	}
	if err != nil {
		return fail(err)
	}
	reply(handoff.KindReady, "")

	body, _, err := receive(handoff.KindOrder)
	if err == errDaemonGone {
		return nil // never used
	}
	if err != nil {
		return doing("receive the order", err)
	}
	order, err := handoff.ParseOrder(body)
	if err != nil {
		return doing("read the order", err)
	}
	app, err := launch(&order, files)
	if err != nil {
		return fail(err)
	}
	reply(handoff.KindStarted, "")
	unix.Close(handoff.FDControl)
	record(app.supervise(output))
	return nil
}

// prepare makes the sandbox ready for any root file system.
func prepare() (*ring.Writer, error) {
	body, _, err := receive(handoff.KindSkeleton)
	if err != nil {
		return nil, err
	}
	skeleton, err := handoff.ParseSkeleton(body)
	if err != nil {
		return nil, doing("read the skeleton message", err)
	}
	if err := buildSkeleton(&skeleton); err != nil {
		return nil, err
	}
	if err := ignoreSignals(); err != nil {
		return nil, err
	}
	output, err := ring.NewWriter(handoff.FDOutput0, handoff.FDOutput1, int64(skeleton.OutputSize))
	return output, doing("begin the output files", err)
}

// receiveRoot waits for the root file system and enters it. What will run there
// is not known yet.
func receiveRoot() (*networkFiles, error) {
	_, fd, err := receive(handoff.KindRoot)
	if err == errDaemonGone {
		return nil, err
	}
	if err != nil {
		return nil, doing("receive the root file system", err)
	}
	if err := enterRoot(fd); err != nil {
		return nil, err
	}
	return makeNetworkFiles()
}

// fail records why the application does not run and tells the daemon.
func fail(err error) error {
	record(ended(err))
	reply(handoff.KindFailed, err.Error())
	return nil
}

// record writes how the instance ended. It is the last act of an init: when the
// init exits, the kernel kills what is left in the pid namespace.
func record(e handoff.Ended) {
	unix.Pwrite(handoff.FDStatus, e.Append(nil), handoff.EndedAt)
}
