package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// tailSize is how much of an instance's last output is kept with its exit.
const tailSize = 2048

// ended is called when an instance's shim has ended.
func (d *Driver) ended(in *instance) {
	d.ends.Go(func() {
		in.mu.Lock()
		p := in.process
		c := in.traces
		in.process, in.traces = nil, nil
		in.mu.Unlock()

		c.stop()
		if p != nil {
			d.lookAtEnd(in, p)
		}
		d.recordExit(in, reasonKilled)
		d.nudge(in.id)
		p.release()
	})
}

// Reasons for instances whose shim recorded none.
const (
	reasonKilled       = "its sandbox was killed from outside"
	reasonRestart      = "the machine was restarted, or its sandbox was killed while no daemon ran"
	reasonNeverStarted = "the daemon ended before the instance was started"
	reasonUnreadable   = "how it ended cannot be read"
	codeNeverStarted   = 125
	codeKilled         = 128 + int(unix.SIGKILL)
	reasonMemoryLimit  = "it exceeded its memory of %d MiB"
)

// recordExit finds out how an ended instance ended, and publishes it. killed is the
// reason if the shim recorded none.
func (d *Driver) recordExit(in *instance, killed string) {
	exit := d.exit(in, killed)
	diskReason := d.diskReason(in, exit)
	in.mu.Lock()
	if exit.Reason == "" && exit.Signal == "SIGKILL" {
		exit.Reason = in.killReason
	}
	if exit.Reason == "" && !exit.OOM {
		exit.Reason = diskReason
	}
	in.exit, in.pid = exit, 0
	in.mu.Unlock()
	close(in.done)
	in.frost.set(false)
	d.log.Debug("an instance ended", "instance", in.id, "code", exit.Code, "signal", exit.Signal, "oom", exit.OOM, "reason", exit.Reason)
}

func (d *Driver) exit(in *instance, killed string) *slipway.Exit {
	started, ended, err := in.status()
	if err != nil {
		d.log.Error("cannot read how an instance ended", "instance", in.id, "err", err)
	}
	if ended == nil {
		in.mu.Lock()
		killed = cmp.Or(in.killReason, killed)
		if started == nil {
			started = in.started // its directory may be gone
		}
		in.mu.Unlock()
		ended = assumeEnd(started, killed)
		if err == nil {
			err = in.writeEnd(ended) // so that the next daemon finds the same time
		}
		if err != nil {
			d.log.Error("cannot write down how an instance ended", "instance", in.id, "err", err)
		}
	}
	exit := &slipway.Exit{
		Code:   ended.Code,
		Reason: ended.Reason,
		At:     time.Unix(0, ended.At),
		Ran:    time.Duration(ended.Ran),
	}
	if ended.Signal != 0 {
		exit.Signal = signalName(unix.Signal(ended.Signal))
	}
	kills, err := in.group.OOMKills()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.log.Error("cannot read whether an instance ran out of memory", "instance", in.id, "err", err)
	}
	if kills > 0 {
		exit.OOM = true
		if started != nil && in.killed(ended) {
			exit.Reason = fmt.Sprintf(reasonMemoryLimit, in.spec.Memory)
		}
	}
	tail, err := in.tail()
	if err != nil {
		d.log.Error("cannot read the last output of an instance", "instance", in.id, "err", err)
	}
	exit.Tail = string(tail)
	return exit
}

// killed reports whether the application ended by SIGKILL. An init that stays ends after
// such an application with the exit status of a shell. (An application that exits with
// that status, though it was not killed, counts as killed.)
func (in *instance) killed(e *handoff.Ended) bool {
	return e.Signal == int(unix.SIGKILL) || in.spec.Init && e.Signal == 0 && e.Code == codeKilled
}

// assumeEnd returns the record for a shim that was killed before it could write
// one.
func assumeEnd(started *handoff.Started, killed string) *handoff.Ended {
	now := time.Now().UnixNano()
	if started == nil {
		return &handoff.Ended{Code: codeNeverStarted, At: now, Reason: reasonNeverStarted}
	}
	return &handoff.Ended{Code: codeKilled, Signal: int(unix.SIGKILL), At: now, Ran: max(now-started.At, 0), Reason: killed}
}

// writeEnd writes the record of the end for the shim.
func (in *instance) writeEnd(e *handoff.Ended) error {
	f, err := os.OpenFile(filepath.Join(in.dir, fileStatus), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(e.Append(nil), handoff.EndedAt)
	return errors.Join(err, f.Close())
}

func (in *instance) tail() ([]byte, error) {
	var files [2]*os.File
	for i, name := range []string{fileOutput0, fileOutput1} {
		f, err := os.Open(filepath.Join(in.dir, name))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		files[i] = f
	}
	return ring.Tail(files[0], files[1], tailSize)
}

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	if s >= firstRealTime && s <= lastSignal {
		return fmt.Sprintf("SIGRTMIN+%d", int(s)-firstRealTime)
	}
	return fmt.Sprintf("signal %d", int(s))
}
