package fleet

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/loop"
)

// gapTimer sleeps for fractions of a millisecond. On an idle machine Go's timers
// wait in epoll_wait, which rounds up to a millisecond: a sleep of 250 us takes
// 1.13 ms, and 0.30 ms with a timerfd. A resumed instance is often ready within
// the first gap, so that is most of a millisecond of its start.
//
// In a synctest bubble such a sleep takes real time and none of the bubble's.
// Only the first few gaps of a start are that short.
type gapTimer struct{ f *os.File }

// newGapTimer returns a gapTimer. If no timerfd can be created, it uses Go's timers.
func newGapTimer() *gapTimer {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &gapTimer{}
	}
	return &gapTimer{os.NewFile(uintptr(fd), "timer")}
}

// sleep waits for d. If d is over 2 ms, the end of ctx ends it earlier.
func (n *gapTimer) sleep(ctx context.Context, d time.Duration) {
	if n.f == nil || d > 2*time.Millisecond || !n.wait(d) {
		loop.Pause(ctx, d)
	}
}

func (n *gapTimer) wait(d time.Duration) bool {
	raw, err := n.f.SyscallConn()
	if err != nil {
		return false
	}
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.TimerfdSettime(int(fd), 0, &once, nil) }); err != nil || set != nil {
		return false
	}
	var expirations [8]byte
	_, err = n.f.Read(expirations[:])
	return err == nil
}

func (n *gapTimer) close() {
	if n.f != nil {
		n.f.Close()
	}
}
