//go:build race

package proxy

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// The race detector knows the calls of package syscall: what one goroutine has done before
// it wrote to a socket has happened when another has read from it. It knows nothing of
// those in syscall.go.

func sysReceive(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	n, err := syscall.Read(int(fd), p)
	return n, errnoOf(err)
}

func sysReceiveLeft(fd uintptr, p []byte) (n int, leaves bool, errno syscall.Errno) {
	n, errno = sysReceive(fd, p)
	return n, errno != 0 || lookAt(fd) != open, errno
}

func sysPeek(fd uintptr) (n int, errno syscall.Errno) {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, errnoOf(err)
}

func sysEpollWait(fd uintptr, events []unix.EpollEvent) int {
	n, _ := unix.EpollWait(int(fd), events, 0)
	return max(n, 0)
}

func sysSend(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	n, err := syscall.Write(int(fd), p)
	return n, errnoOf(err)
}

func errnoOf(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}
