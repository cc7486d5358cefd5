package faulttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Variables of a process between its start and the program that it becomes.
const (
	listenerEnv = "SLIPWAY_FAULTTEST_LISTENER" // socket that receives the filter's listener
	programEnv  = "SLIPWAY_FAULTTEST_PROGRAM"  // what the process becomes
)

// Supervisor receives the calls of processes that concern the files below a directory, and
// those that make descriptors.
type Supervisor struct {
	root   string
	decide func(Call) unix.Errno
	byNr   map[int]call
	socket *net.UnixListener

	mu       sync.Mutex // guards what follows
	problems []string
	stops    []int // a descriptor each that ends the serving of a listener
	serving  sync.WaitGroup
}

// Supervise returns a supervisor of calls that concern root, which must be an absolute path
// without links. decide is asked about one call at a time, in the order in which they are
// made; 0 has the call carried out. It skips the test where the kernel can't do it.
func Supervise(t testing.TB, root string, decide func(Call) unix.Errno) *Supervisor {
	t.Helper()
	s := &Supervisor{root: root, decide: decide}
	s.begin(t)
	return s
}

// begin waits for processes until the test ends.
func (s *Supervisor) begin(t testing.TB) {
	t.Helper()
	if err := available(); err != nil {
		t.Skipf("the kernel does not hand out system calls: %v", err)
	}
	s.byNr = map[int]call{}
	for _, c := range calls {
		s.byNr[c.nr] = c
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s.socket = socket
	s.serving.Go(s.accept)
	t.Cleanup(func() {
		s.close()
		for _, p := range s.problems {
			t.Error(p)
		}
	})
}

// available says why the kernel does not have what is needed.
func available() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return errno
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return err
	}
	if major < 5 || major == 5 && minor < 19 {
		return errors.New("it is older than Linux 5.19")
	}
	if os.Geteuid() != 0 {
		return errors.New("the tests are not run as root")
	}
	return nil
}

// Env returns the variables with which the test's own binary, if its TestMain calls
// [Become], becomes the program under supervision.
func (s *Supervisor) Env(program string) []string {
	return []string{listenerEnv + "=" + s.socket.Addr().String(), programEnv + "=" + program}
}

// Self returns a command that runs the test's own binary again under supervision.
func (s *Supervisor) Self(t testing.TB, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), s.Env(self)...), env...)
	return cmd
}

func (s *Supervisor) concerns(path string) bool {
	return path == s.root || strings.HasPrefix(path, s.root+"/")
}

func (s *Supervisor) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// accept serves the listeners that processes send.
func (s *Supervisor) accept() {
	for {
		c, err := s.socket.AcceptUnix()
		if err != nil {
			return
		}
		listener, err := receive(c)
		c.Close()
		if err != nil {
			s.problem("receive the listener of a filter: %v", err)
			continue
		}
		var stop [2]int
		if err := unix.Pipe2(stop[:], unix.O_CLOEXEC); err != nil {
			s.problem("%v", err)
			continue
		}
		s.mu.Lock()
		s.stops = append(s.stops, stop[1])
		s.mu.Unlock()
		s.serving.Go(func() {
			s.serve(listener, stop[0])
			unix.Close(listener)
			unix.Close(stop[0])
		})
	}
}

// close ends the supervision. Processes that still run get errors for the calls.
func (s *Supervisor) close() {
	s.socket.Close()
	s.mu.Lock()
	for _, fd := range s.stops {
		unix.Close(fd)
	}
	s.stops = nil
	s.mu.Unlock()
	s.serving.Wait()
}

// notification and answer are the kernel's struct seccomp_notif and seccomp_notif_resp.
type (
	notification struct {
		id      uint64
		pid     uint32
		flags   uint32
		nr      int32
		arch    uint32
		pointer uint64
		args    [6]uint64
	}
	answer struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

const (
	receiveCall = 0xc0502100
	answerCall  = 0xc0182101
	carryOut    = 1
)

// serve answers calls until no process has the filter or stop closes.
func (s *Supervisor) serve(listener, stop int) {
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receiveCall, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the thread has ended
		}
		a := answer{id: n.id}
		if errno := s.ask(n); errno != 0 {
			a.errno = -int32(errno)
		} else {
			a.flags = carryOut
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), answerCall, uintptr(unsafe.Pointer(&a)))
	}
}

// ask has the test decide about a call, if it concerns the directory.
func (s *Supervisor) ask(n notification) unix.Errno {
	known := s.byNr[int(n.nr)]
	r := &request{s: s, id: n.id, pid: int(n.pid), nr: int(n.nr), args: n.args}
	var c Call
	if known.read != nil {
		c = known.read(r)
		if !s.concerns(c.Path) && !s.concerns(c.To) {
			return 0
		}
	}
	c.PID, c.Name = r.pid, known.name
	if c.Kind == Open {
		c.Kind = known.kind
	}
	return s.decide(c)
}
