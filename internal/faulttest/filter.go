package faulttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Become has a process that a [Supervisor] started install the filter and become the
// program. Call it first in TestMain: in all other processes it does nothing.
func Become() {
	socket, program := os.Getenv(listenerEnv), os.Getenv(programEnv)
	if socket == "" {
		return
	}
	os.Unsetenv(listenerEnv)
	os.Unsetenv(programEnv)
	fmt.Fprintln(os.Stderr, "become", program, become(socket, program))
	os.Exit(70)
}

// become returns only if it fails. The filter is the thread's, which alone lives on as the
// program.
func become(socket, program string) error {
	runtime.LockOSThread()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	to, err := c.File() // the filter holds up nothing that a blocking descriptor needs
	if err != nil {
		return err
	}
	listener, err := install(filter())
	if err != nil {
		return fmt.Errorf("install the filter: %w", err)
	}
	if err := unix.Sendmsg(int(to.Fd()), []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("send the listener: %w", err)
	}
	unix.CloseOnExec(listener)
	return unix.Exec(program, os.Args, os.Environ())
}

// receive receives a descriptor.
func receive(c *net.UnixConn) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			unix.CloseOnExec(fds[0])
			return fds[0], nil
		}
	}
	return 0, errors.New("there is none")
}

// install gives the thread the filter and returns its listener. A thread whose call was
// received waits for the answer whatever signals come: Go's would have it begin again.
func install(program []unix.SockFilter) (int, error) {
	if os.Geteuid() != 0 {
		return 0, unix.EPERM
	}
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// filter returns the program: it reports the calls, of mappings only those that are shared.
func filter() []unix.SockFilter {
	const nr, arch, flags = 0, 4, 16 + 8*3 // offsets in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(test uint16, k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	n := len(calls) + 1
	program := []unix.SockFilter{load(arch), jump(unix.BPF_JEQ, architecture, 0, n), load(nr)}
	for i, c := range calls {
		to := n - i // the report
		if c.nr == unix.SYS_MMAP {
			to++ // its flags
		}
		program = append(program, jump(unix.BPF_JEQ, uint32(c.nr), to-1, 0))
	}
	return append(program,
		end(unix.SECCOMP_RET_ALLOW),
		end(unix.SECCOMP_RET_USER_NOTIF),
		load(flags), jump(unix.BPF_JSET, unix.MAP_SHARED, 0, 1),
		end(unix.SECCOMP_RET_USER_NOTIF), end(unix.SECCOMP_RET_ALLOW))
}
