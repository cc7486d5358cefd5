package fleet

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// napper waits for parts of a millisecond. The runtime's timers sleep in
// epoll_wait, whose unit is the millisecond: a quarter of one takes a whole one
// on an idle machine. A timer file becomes readable when it should.
//
// In a synctest bubble such a nap takes real time and none of the bubble's;
// there are few of them before the gaps grow beyond what is napped.
type napper struct{ f *os.File }

// newNapper returns a napper; without a timer file it naps as timers do.
func newNapper() *napper {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &napper{}
	}
	return &napper{os.NewFile(uintptr(fd), "timer")}
}

// nap waits for d, or until ctx ends where that takes longer than a moment.
func (n *napper) nap(ctx context.Context, d time.Duration) {
	if n.f == nil || d > 2*time.Millisecond || !n.wait(d) {
		pause(ctx, d)
	}
}

func (n *napper) wait(d time.Duration) bool {
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

func (n *napper) close() {
	if n.f != nil {
		n.f.Close()
	}
}
