//go:build !race

package proxy

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are made on descriptors that do not block, so they need not tell the
// scheduler that they may. The kernel keeps no pointer beyond a call.

func sysReceive(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	return receiveFlags(fd, p, unix.MSG_DONTWAIT)
}

// sysReceiveLeft is sysReceive on a socket with TCP_INQ. leaves is false if no bytes are
// left and the peer has not closed its direction; it is true if the kernel does not say.
func sysReceiveLeft(fd uintptr, p []byte) (n int, leaves bool, errno syscall.Errno) {
	var oob struct {
		unix.Cmsghdr
		left int32
		_    int32
	}
	data := unix.Iovec{Base: unsafe.SliceData(p)}
	data.SetLen(len(p))
	msg := unix.Msghdr{Iov: &data, Control: (*byte)(unsafe.Pointer(&oob))}
	msg.SetIovlen(1)
	msg.SetControllen(int(unsafe.Sizeof(oob)))
	k, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
	told := oob.Level == unix.IPPROTO_TCP && oob.Type == unix.TCP_CM_INQ
	return int(k), !told || oob.left != 0, errno
}

// sysPeek returns how many bytes have come, one at most.
func sysPeek(fd uintptr) (n int, errno syscall.Errno) {
	var b [1]byte
	return receiveFlags(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
}

func receiveFlags(fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// sysEpollWait returns the number of events that are there.
func sysEpollWait(fd uintptr, events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func sysSend(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
