package sandboxinit

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// Events of an attendant, by the index of what is ready.
const (
	eventStdout = iota
	eventStderr
	eventExit
)

// attendant is an init at its work. Nothing in it allocates: garbage is not
// collected here.
type attendant struct {
	app    *application
	output *ring.Writer
	epoll  int

	status unix.WaitStatus
	done   bool
}

// now is the time as records have it.
func now() int64 { return time.Now().UnixNano() }

// attend waits upon the application until it has ended, and ends all that it
// left behind.
func (app *application) attend(output *ring.Writer) handoff.Ended {
	a := &attendant{app: app, output: output}
	if err := a.open(); err != nil {
		// Without ears there is nothing to do but to end: an application
		// whose output nobody reads stops sooner or later.
		unix.Kill(-1, unix.SIGKILL)
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

// open gathers what there is to wait for.
func (a *attendant) open() (err error) {
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

// buryInterval is how long an orphan may stay unburied, in ms. SIGCHLD breaks
// the wait for events, so mostly it is none; but one that comes just before
// the wait is lost.
const buryInterval = 60_000

// step waits for events and sees to them.
func (a *attendant) step() {
	var events [3]unix.EpollEvent
	n, _ := unix.EpollWait(a.epoll, events[:], buryInterval)
	for i := range max(n, 0) {
		if event := int(events[i].Fd); event != eventExit {
			a.copy(event, false)
		}
	}
	a.bury(unix.WNOHANG)
}

// copy takes what is in one of the application's pipes: all of it, or what a
// pipe holds. The rest shows as another event.
func (a *attendant) copy(event int, all bool) {
	for {
		n, err := unix.Read(a.app.outputs[event], a.output.Space())
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			if err != unix.EAGAIN {
				// Nobody has it open any more: an event without end.
				unix.EpollCtl(a.epoll, unix.EPOLL_CTL_DEL, a.app.outputs[event], nil)
			}
			return
		}
		// What cannot be written is lost, and the ring shows the gap.
		_ = a.output.Append(n, event == eventStderr, now())
		if !all {
			return
		}
	}
}

// bury reaps the dead, and sees whether the application is among them.
func (a *attendant) bury(options int) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, options, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid == a.app.pid {
			a.status, a.done = status, true
		}
	}
}

// finish ends what the application left running and takes the last output.
func (a *attendant) finish() {
	unix.Kill(-1, unix.SIGKILL)
	a.bury(0)
	a.copy(eventStdout, true)
	a.copy(eventStderr, true)
}
