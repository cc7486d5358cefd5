package main

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

	body, root, err := receive(handoff.KindOrder)
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
	app, err := launch(&order, root)
	if err != nil {
		record(ended(err))
		reply(handoff.KindFailed, err.Error())
		return nil
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

// record writes how the instance ended. It is the last thing an init does: the
// kernel then kills whatever is left in the pid namespace.
func record(e handoff.Ended) {
	unix.Pwrite(handoff.FDStatus, e.Append(nil), handoff.EndedAt)
}
