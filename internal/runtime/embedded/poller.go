package embedded

import (
	"context"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// poller watches for the end of processes.
type poller struct {
	file *os.File      // an epoll instance, itself watched by the Go runtime
	done chan struct{} // closed once run makes no more calls

	mu      sync.Mutex // guards watched and next
	watched map[int32]watch
	next    int32
}

type watch struct {
	pidfd int
	ended func()
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.NewFile has the runtime watch it
		unix.Close(fd)
		return nil, err
	}
	return &poller{file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), watched: map[int32]watch{}}, nil
}

func (p *poller) close() { p.file.Close() }

// add has ended called once, from run, when the process has ended. The pidfd
// stays open until then.
func (p *poller) add(pidfd *os.File, ended func()) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.next
	p.next++
	fd := int(pidfd.Fd())
	p.watched[key] = watch{fd, ended}
	var ctlErr error
	err = raw.Control(func(epoll uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: key}
		ctlErr = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event)
	})
	if err == nil {
		err = ctlErr
	}
	if err != nil {
		delete(p.watched, key)
	}
	return err
}

// run calls back until ctx ends.
func (p *poller) run(ctx context.Context) error {
	defer close(p.done)
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { p.file.SetReadDeadline(longAgo) })
	defer stop()
	for {
		var keys []int32
		err := raw.Read(func(epoll uintptr) bool {
			keys = ready(int(epoll))
			return len(keys) > 0
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, key := range keys {
			p.callBack(key)
		}
	}
}

// ready returns the keys of what is ready now.
func ready(epoll int) []int32 {
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(epoll, events[:], 0)
	if err != nil {
		return nil
	}
	keys := make([]int32, n)
	for i := range keys {
		keys[i] = events[i].Fd
	}
	return keys
}

func (p *poller) callBack(key int32) {
	p.mu.Lock()
	w, ok := p.watched[key]
	delete(p.watched, key)
	p.mu.Unlock()
	if ok {
		w.ended()
	}
}
