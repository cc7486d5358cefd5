package daemon

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/takeover"
)

// helloTime is how long a program that is started to take over may take until it asks for
// the sockets.
const helloTime = time.Minute

// renewals says which attempt to replace the server is under way: there is one at a time.
type renewals struct {
	mu    sync.Mutex // guards what follows
	heir  int        // process that takes over; 0 if none does
	asked *renewal   // by a command; nil if no program was started
}

// renewal is an attempt that the server itself began.
type renewal struct {
	pid     int         // of the program that it has started
	ended   bool        // that has ended
	outcome chan string // why it failed, "" if it did not; has room for one
}

// underWay is the error about an attempt beside another one.
func underWay(pid int) error {
	return fmt.Errorf("another server, process %d, is taking over at this moment: wait until it serves or has failed", pid)
}

// enterHeir notes that a process takes over. It fails if another one does.
func (r *renewals) enterHeir(pid int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heir != 0 {
		return underWay(r.heir)
	}
	r.heir = pid
	return nil
}

// leaveHeir notes that this process does not take over, and why.
func (r *renewals) leaveHeir(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.asked; a != nil && (a.pid == r.heir || a.ended) {
		r.end(why)
	}
	r.heir = 0
}

// failedBefore notes why a process does not take over that has not asked for the sockets.
// What any other process says than the one that the server has started is its own affair.
func (r *renewals) failedBefore(pid int, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked != nil && r.asked.pid == pid && r.heir != pid {
		r.end(why)
	}
}

// settle tells how the attempt has ended; "" is well.
func (r *renewals) settle(failure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(failure)
}

func (r *renewals) end(failure string) {
	if r.asked != nil {
		r.asked.outcome <- failure
		r.asked = nil
	}
}

// renew starts the server's program again and waits until it has taken over or has failed.
// It returns why it failed, "" if it did not.
func (d *Daemon) renew(m takeover.Message) string {
	var r takeover.Renewal
	if err := m.Into(&r); err != nil {
		return err.Error()
	}
	if d.core.cfg.Launch == nil {
		return "this server was started by another command than `slipway serve`: it can't be started again"
	}
	if !d.serving.Load() {
		return "it is just starting: try again when it serves"
	}
	a, err := d.launch(r)
	if err != nil {
		return err.Error()
	}
	d.core.log.Info("starting another server to take over", "pid", a.pid)
	go d.watch(a)
	return <-a.outcome
}

// launch starts the program, unless an attempt is under way. What that says first waits
// until its process is known.
func (d *Daemon) launch(r takeover.Renewal) (*renewal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.heir != 0:
		return nil, underWay(d.heir)
	case d.asked != nil:
		return nil, underWay(d.asked.pid)
	}
	pid, err := d.core.cfg.Launch(r)
	if err != nil {
		return nil, err
	}
	d.asked = &renewal{pid: pid, outcome: make(chan string, 1)}
	return d.asked, nil
}

// watch waits until a program that was started has ended. If it has said nothing by then,
// it was none that takes over. One that says nothing at all is killed.
func (d *Daemon) watch(a *renewal) {
	fd, err := unix.PidfdOpen(a.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		silent := time.AfterFunc(helloTime, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.asked == a && d.heir == 0 {
				d.end(fmt.Sprintf("the new server, process %d, did not ask for the sockets within %v: it was killed", a.pid, helloTime))
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may have ended just now
			}
		})
		defer silent.Stop()
		for {
			if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				break
			}
		}
	}
	time.Sleep(retryTime) // it may have said why
	d.mu.Lock()
	defer d.mu.Unlock()
	a.ended = true
	if d.asked == a && d.heir == 0 {
		d.end("the new server ended at its start; the log of the server has what it wrote")
	}
}
