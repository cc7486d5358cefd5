package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attackShim goes for what keeps the instance's output and records its end: it must have
// no number here, by which limits, priorities and schedulers are set. (It sets none.)
func attackShim(url.Values) outcome {
	if parent := os.Getppid(); parent != 0 {
		return broken("the parent of process %d is process %d", os.Getpid(), parent)
	}
	tried := 0
	for pid := 1; pid < 70_000; pid++ {
		if pid == os.Getpid() || thread(pid) {
			continue
		}
		tried++
		var limit unix.Rlimit
		_, schedErr := unix.SchedGetAttr(pid, 0)
		_, nice := unix.Getpriority(unix.PRIO_PROCESS, pid)
		_, fd := unix.PidfdOpen(pid, 0)
		for what, err := range map[string]error{
			"limits": unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit), "scheduler": schedErr, "priority": nice, "pidfd": fd,
		} {
			if err != unix.ESRCH && !thread(pid) { // a new one of this process
				return broken("the %s of process %d can be reached: %v", what, pid, err)
			}
		}
	}
	return held("%d numbers", tried)
}

// hostProcesses counts the processes it sees and could signal: only those it
// has started itself may be among them.
func hostProcesses(url.Values) outcome {
	mine := map[int]bool{1: true, os.Getpid(): true}
	var foreign []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		pid, _ := strconv.Atoi(filepath.Base(p))
		if !mine[pid] {
			name, _ := os.ReadFile(p + "/comm")
			foreign = append(foreign, fmt.Sprintf("%d %s", pid, strings.TrimSpace(string(name))))
		}
	}
	if len(foreign) > 0 {
		return broken("sees %v", foreign)
	}
	for pid := 2; pid < 70_000; pid++ {
		if err := unix.Kill(pid, 0); !mine[pid] && err != unix.ESRCH && !thread(pid) {
			return broken("process %d can be reached: %v", pid, err)
		}
	}
	return held("sees %d processes", len(procs))
}

// thread reports whether id is a thread of this process or of process 1: a signal to
// that number goes to the process, which it may see anyway.
func thread(id int) bool {
	for _, pid := range []int{os.Getpid(), 1} {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, id)); err == nil {
			return true
		}
	}
	return false
}

// ptrace goes for every process.
func ptrace(url.Values) outcome {
	out := []outcome{tracing("itself", os.Getpid())}
	for _, pid := range []int{2, 3, 100, 1000, os.Getppid()} {
		if pid != os.Getpid() && pid != 1 && !thread(pid) {
			out = append(out, tracing(strconv.Itoa(pid), pid))
		}
	}
	return all(out...)
}

func tracing(who string, pid int) outcome {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := unix.PtraceSeize(pid)
	if err == nil {
		unix.PtraceDetach(pid)
	}
	return refused("ptrace "+who, err)
}

func namespaces(url.Values) outcome {
	out := []outcome{}
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID, "cgroup": unix.CLONE_NEWCGROUP,
	} {
		out = append(out, apart("unshare "+name, func() error { return unix.Unshare(flag) }))
		out = append(out, apart("clone "+name, func() error {
			cmd := exec.Command("/proc/self/exe", "sleep")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flag)}
			err := cmd.Start()
			if err == nil {
				cmd.Process.Kill()
				cmd.Wait()
			}
			return err
		}))
		f, err := os.Open("/proc/1/ns/" + name)
		if err != nil {
			continue
		}
		out = append(out, apart("setns "+name, func() error { return unix.Setns(int(f.Fd()), flag) }))
		f.Close()
	}
	return all(out...)
}

// apart runs f on a thread that is thrown away afterwards, for f may change
// it.
func apart(what string, f func() error) outcome {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		done <- f()
	}()
	return refused(what, <-done)
}

// modules loads what is no module and removes one that does not exist: refused
// must mean refused before the kernel finds that out.
func modules(url.Values) outcome {
	image, _ := os.Open("/proc/self/exe")
	defer image.Close()
	errno := func(err error) syscall.Errno { n, _ := err.(syscall.Errno); return n }
	return all(
		permission("init_module", errno(unix.InitModule([]byte("\x7fELF"), ""))),
		permission("finit_module", errno(unix.FinitModule(int(image.Fd()), "", 0))),
		permission("delete_module", errno(unix.DeleteModule("slipway_none", unix.O_NONBLOCK))),
	)
}

// kernel calls what would stop or replace the kernel, with arguments that do
// no harm where it is let through.
func kernel(url.Values) outcome {
	_, _, kexec := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0, 0, 0)
	_, _, swap := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(&[]byte("/nowhere\x00")[0])), 0, 0)
	_, _, iopl := unix.Syscall(unix.SYS_IOPL, 3, 0, 0)
	_, _, syslog := unix.Syscall(unix.SYS_SYSLOG, 3, uintptr(unsafe.Pointer(&make([]byte, 64)[0])), 64)
	nowhere := unix.Timex{Modes: 0x100} // ADJ_SETOFFSET, by nothing
	_, adjust := unix.Adjtimex(&nowhere)
	return all(
		refused("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_ON)),
		permission("kexec_load", kexec),
		permission("swapoff", swap),
		permission("iopl", iopl),
		permission("syslog", syslog),
		refused("adjtimex", adjust),
		refused("sethostname", unix.Sethostname([]byte("pwned"))),
		refused("acct", unix.Acct("/tmp/acct")),
	)
}

// permission is the outcome of a raw call that must be refused for want of
// permission: any other error means that the kernel looked at the arguments.
func permission(what string, errno syscall.Errno) outcome {
	switch errno {
	case unix.EPERM, unix.EACCES, unix.ENOSYS:
		return held("%s: %v", what, errno)
	case 0:
		return broken("%s succeeded", what)
	}
	return broken("%s was let through to its arguments: %v", what, errno)
}

// syscalls calls what has held most of the kernel's holes, with arguments that
// would fail by themselves: refused must mean refused before they are read.
func syscalls(url.Values) outcome {
	calls := map[string]uintptr{
		"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD,
		"add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "keyctl": unix.SYS_KEYCTL,
		"quotactl": unix.SYS_QUOTACTL, "fanotify_init": unix.SYS_FANOTIFY_INIT, "lookup_dcookie": unix.SYS_LOOKUP_DCOOKIE,
		"kexec_file_load": unix.SYS_KEXEC_FILE_LOAD, "move_pages": unix.SYS_MOVE_PAGES, "io_uring_setup": unix.SYS_IO_URING_SETUP,
	}
	var out []outcome
	for name, number := range calls {
		_, _, errno := unix.Syscall6(number, ^uintptr(0), 0, 0, 0, 0, 0)
		out = append(out, permission(name, errno))
	}
	return all(out...)
}

// privileges reads what the kernel says of this process.
func privileges(url.Values) outcome {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return broken("%v", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(status)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	out := []outcome{held("CapEff %s, Seccomp %s", fields["CapEff"], fields["Seccomp"])}
	const docker = 0xa80425fb // Docker's default set
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		caps, err := strconv.ParseUint(fields[set], 16, 64)
		if err != nil || caps&^docker != 0 {
			out = append(out, broken("%s is %s", set, fields[set]))
		}
	}
	if fields["CapAmb"] != "0000000000000000" {
		out = append(out, broken("ambient capabilities %s", fields["CapAmb"]))
	}
	if fields["Seccomp"] != "2" {
		out = append(out, broken("Seccomp is %s", fields["Seccomp"]))
	}
	uidMap, _ := os.ReadFile("/proc/self/uid_map")
	if f := strings.Fields(string(uidMap)); len(f) >= 3 && f[1] == "0" {
		out = append(out, broken("uid_map %s: root inside is root outside", f))
	}
	return all(out...)
}

// rawSockets asks for sockets that see or forge what is not its own.
func rawSockets(url.Values) outcome {
	packet, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300)
	if err == nil {
		unix.Close(packet)
	}
	out := []outcome{refused("packet socket", err)}
	vsock, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(vsock, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024})
		unix.Close(vsock)
	}
	return all(append(out, refused("vsock", err))...)
}

// bound is ?bound=, the number at which an attack stops of itself.
func bound(q url.Values, otherwise int) int {
	if n, err := strconv.Atoi(q.Get("bound")); err == nil {
		return n
	}
	return otherwise
}

// mostProcesses is more than any instance may have.
const mostProcesses = 20_000

// forkBomb starts processes until one is refused, and ends them again. A child that
// dies at once was refused its threads.
func forkBomb(q url.Values) outcome {
	most := bound(q, mostProcesses)
	var children []*exec.Cmd
	defer func() {
		for _, c := range children {
			c.Process.Kill()
			c.Wait()
		}
	}()
	for range most {
		c := exec.Command("/proc/self/exe", "sleep")
		ready, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			return held("refused after %d processes: %v", len(children), err)
		}
		children = append(children, c)
		if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
			return held("process %d died: %v", len(children), err)
		}
	}
	return broken("%d processes", most)
}

// threads is the fork bomb with raw clones that share nothing with Go: each
// child pauses until it is killed.
func threads(q url.Values) outcome {
	most := bound(q, mostProcesses)
	var children []int
	defer func() {
		for _, pid := range children {
			unix.Kill(pid, unix.SIGKILL)
			unix.Wait4(pid, nil, 0, nil)
		}
	}()
	for range most {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return held("refused after %d clones: %v", len(children), errno)
		}
		if pid == 0 {
			for {
				unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
			}
		}
		children = append(children, int(pid))
	}
	return broken("%d clones", most)
}

// memory takes 2 GiB and touches every page. It holds when it is killed, so
// its answer means that it was not.
func memory(q url.Values) outcome {
	size := bound(q, 2<<30)
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return held("mmap: %v", err)
	}
	defer unix.Munmap(b)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return broken("took %d MiB", size>>20)
}

// coreLimit lowers the limit of core dumps to 0, at which a crash starts the program that
// the host pipes dumps to, as the host's root. At 1 the kernel starts none.
func coreLimit(url.Values) outcome {
	none := unix.Rlimit{}
	err := errors.Join(unix.Setrlimit(unix.RLIMIT_CORE, &none), unix.Prlimit(0, unix.RLIMIT_CORE, &none, nil))
	var have unix.Rlimit
	if gerr := unix.Getrlimit(unix.RLIMIT_CORE, &have); gerr != nil {
		return broken("read the limit: %v", gerr)
	}
	if have.Cur != 1 || have.Max != 1 {
		return broken("the limit of core dumps is %d, %d", have.Cur, have.Max)
	}
	return held("the limit of core dumps stays (%v)", err)
}

// disks looks for the host's disks, and for the files behind its loop devices.
func disks(url.Values) outcome {
	var found []string
	for _, pattern := range []string{"/sys/block/*", "/sys/class/block/*", "/sys/dev/block/*", "/sys/devices/virtual/block/*/loop/backing_file", "/sys/devices/virtual/block/*"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			return broken("%v", err)
		}
		found = append(found, list...)
	}
	if len(found) > 0 {
		return broken("%d entries, such as %s", len(found), found[0])
	}
	return held("no disk")
}
