package sandboxinit

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// Events that a supervisor waits for.
const (
	eventStdout = iota
	eventStderr
	eventExit
)

// supervisor looks after a running application. It does not allocate: a shim
// collects no garbage.
type supervisor struct {
	app    *application
	output *ring.Writer
	epoll  int

	status unix.WaitStatus
	done   bool
	pace   pace
}

// now returns the time as records hold it: Unix time in ns.
func now() int64 { return time.Now().UnixNano() }

// supervise copies the application's output until it has ended. What the application
// left running has ended by then as well: it was process 1 of its pid namespace.
func (app *application) supervise(output *ring.Writer) handoff.Ended {
	a := &supervisor{app: app, output: output}
	if err := a.open(); err != nil {
		// An application whose output nobody reads blocks sooner or later. It ends
		// with this process.
		return handoff.Ended{Code: codeNotSetUp, At: now(), Reason: err.Error()}
	}
	for !a.done {
		a.step()
	}
	end := time.Now()
	a.finish()
	e := handoff.Ended{At: end.UnixNano(), Ran: int64(end.Sub(app.started))}
	if a.status.Signaled() {
		e.Signal = int(a.status.Signal())
		e.Code = 128 + e.Signal
	} else {
		e.Code = a.status.ExitStatus()
	}
	return e
}

// open makes the epoll instance that waits for output and for the exit.
func (a *supervisor) open() (err error) {
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return doing("listen", err)
	}
	for event, fd := range [...]int{a.app.outputs[0], a.app.outputs[1], a.app.pidfd} {
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)}
		if err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
			return doing("listen", err)
		}
	}
	return nil
}

// step waits for events and handles them.
func (a *supervisor) step() {
	var events [3]unix.EpollEvent
	n, _ := unix.EpollWait(a.epoll, events[:], -1)
	for i := range max(n, 0) {
		if event := int(events[i].Fd); event != eventExit {
			a.copy(event, false)
		} else {
			a.reap()
		}
	}
}

// copy moves what is in one of the application's pipes to the output files: one
// read, or everything if all is set. What is left shows as another event.
func (a *supervisor) copy(event int, all bool) {
	for {
		n, err := unix.Read(a.app.outputs[event], a.output.Space())
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			if err != unix.EAGAIN {
				// All writers have closed it: it would be ready for ever.
				unix.EpollCtl(a.epoll, unix.EPOLL_CTL_DEL, a.app.outputs[event], nil)
			}
			return
		}
		// Output that cannot be written is lost. The ring shows the gap.
		_ = a.output.Append(n, event == eventStderr, now())
		if !all {
			pause(a.pace.spend(n, monotonic()))
			return
		}
	}
}

// reap collects how the application ended. No other process is this one's child.
func (a *supervisor) reap() {
	for {
		pid, err := unix.Wait4(a.app.pid, &a.status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		a.done = err != nil || pid == a.app.pid
		return
	}
}

// finish copies the last output.
func (a *supervisor) finish() {
	a.copy(eventStdout, true)
	a.copy(eventStderr, true)
}
