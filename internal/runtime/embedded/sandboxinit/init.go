package sandboxinit

import (
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// runInit is the life of an instance.
func runInit() error {
	// Nobody in the sandbox may trace this process or look into its /proc
	// entry. It is so already, see copyProgram; twice is better.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return doing("become untraceable", err)
	}
	if err := unix.CloseRange(handoff.FDControl, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return doing("keep descriptors from the application", err)
	}
	output, err := prepare()
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		reply(handoff.KindFailed, err.Error())
		return err
	}
	reply(handoff.KindReady, "")

	files, err := settle()
	if err == errGone {
		return nil // never used
	}
	if err != nil {
		return fail(err)
	}
	reply(handoff.KindReady, "")

	body, _, err := receive(handoff.KindOrder)
	if err == errGone {
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
	record(app.attend(output))
	return nil
}

// prepare makes the sandbox ready for an order.
func prepare() (*ring.Writer, error) {
	body, _, err := receive(handoff.KindStage)
	if err != nil {
		return nil, err
	}
	stage, err := handoff.ParseStage(body)
	if err != nil {
		return nil, doing("read the stage message", err)
	}
	if err := buildStage(&stage); err != nil {
		return nil, err
	}
	if err := ignoreSignals(); err != nil {
		return nil, err
	}
	output, err := ring.NewWriter(handoff.FDOutput0, handoff.FDOutput1, int64(stage.OutputSize))
	return output, doing("begin the output files", err)
}

// settle enters the root file system, of which nobody knows yet what will run
// in it.
func settle() (*networkFiles, error) {
	_, fd, err := receive(handoff.KindRoot)
	if err == errGone {
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

// fail records and says why the application does not run.
func fail(err error) error {
	record(ended(err))
	reply(handoff.KindFailed, err.Error())
	return nil
}

// record writes how the instance ended. It is the last thing an init does: the
// kernel then kills whatever is left in the pid namespace.
func record(e handoff.Ended) {
	unix.Pwrite(handoff.FDStatus, e.Append(nil), handoff.EndedAt)
}
