// Command probe is what instances run in the embedded driver's tests. Its
// arguments are a list of things to do, divided by "--": each a name and what
// it needs. What it finds goes to standard output, a line each.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deeds are what can be asked for.
var deeds map[string]func(args []string)

func main() {
	deeds = map[string]func([]string){
		"id":       id,
		"env":      env,
		"print":    func(args []string) { fmt.Println(strings.Join(args, " ")) },
		"complain": func(args []string) { fmt.Fprintln(os.Stderr, strings.Join(args, " ")) },
		"read":     read,
		"write":    write,
		"list":     list,
		"status":   status,
		"limits":   limits,
		"fds":      fds,
		"mounts":   mounts,
		"stat":     stat,
		"attack":   func([]string) { attack() },
		"listen":   listen,
		"connect":  connect,
		"peers":    peers,
		"forge":    forge,
		"reopen":   reopen,
		"flood":    flood,
		"fill":     fill,
		"files":    files,
		"burn":     func([]string) { burn() },
		"orphans":  orphans,
		"children": children,
		"zombies":  zombies,
		"signals":  func([]string) { signals() },
		"sleep":    func([]string) { sleep() },
		"exit":     exit,
		"kill":     kill,
		"fault":    fault,
		"overrun":  overrun,
		"devour":   func([]string) { devour() },
		"one":      one,
		"become":   become,
		"reach":    reach,
		"adopt":    adopt,
		"leaked":   leaked,
		"own":      own,
		"direct":   direct,
		"cores":    func([]string) { say("cores", runtime.GOMAXPROCS(0), nil) },
		"unhandled": func(args []string) {
			n, _ := strconv.Atoi(args[0])
			reset(n)
			say("unhandled", n, nil)
		},
	}
	for args := os.Args[1:]; len(args) > 0; {
		deed := args
		if i := slices.Index(args, "--"); i >= 0 {
			deed, args = args[:i], args[i+1:]
		} else {
			args = nil
		}
		f, ok := deeds[deed[0]]
		if !ok {
			fmt.Println("there is no deed", deed[0])
			os.Exit(99)
		}
		f(deed[1:])
	}
}

// say prints a line "name: result" or "name: error".
func say(name string, result any, err error) {
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			result = unix.ErrnoName(errno)
		} else {
			result = err
		}
	}
	fmt.Printf("%s: %v\n", name, result)
}

func id([]string) {
	groups, err := os.Getgroups()
	slices.Sort(groups)
	say("uid", fmt.Sprint(os.Getuid(), " ", os.Geteuid()), nil)
	say("gid", fmt.Sprint(os.Getgid(), " ", os.Getegid()), nil)
	say("groups", groups, err)
	dir, err := os.Getwd()
	say("dir", dir, err)
	host, err := os.Hostname()
	say("host", host, err)
	sid, err := unix.Getsid(0)
	say("session leader", sid == os.Getpid(), err)
}

func env(names []string) {
	for _, n := range names {
		v, ok := os.LookupEnv(n)
		if !ok {
			v = "(unset)"
		}
		say(n, v, nil)
	}
}

func read(paths []string) {
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			say(p, nil, err)
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, 4096))
		f.Close()
		say(p, strconv.Quote(string(b)), err)
	}
}

func write(args []string) {
	say("write "+args[0], "ok", os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")), 0o644))
}

func list(dirs []string) {
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		say(d, strings.Join(names, " "), err)
	}
}

// status prints lines of /proc/self/status.
func status(keys []string) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		say("status", nil, err)
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, _ := strings.Cut(lines.Text(), ":"); slices.Contains(keys, k) {
			say(k, strings.TrimSpace(v), nil)
		}
	}
}

func limits([]string) {
	for name, which := range map[string]int{"nofile": unix.RLIMIT_NOFILE, "core": unix.RLIMIT_CORE} {
		var l unix.Rlimit
		err := unix.Getrlimit(which, &l)
		say(name, fmt.Sprint(l.Cur, " ", l.Max), err)
	}
}

// fds prints what this process was given: its descriptors below those it may
// have opened itself.
func fds([]string) {
	for fd := range 1024 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil {
			target, _, _ = strings.Cut(target, ":[")
			say(fmt.Sprint("fd ", fd), target, nil)
		}
	}
}

func mounts([]string) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		say("mounts", nil, err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		_, after, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(after, " ")
		options, _, _ := strings.Cut(f[5], ",")
		say("mount "+f[4], kind+" "+options, nil)
		say("flags "+f[4], f[5], nil)
	}
}

// stat prints what files are: mode, owner, device number and target.
func stat(paths []string) {
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			say("stat "+path, nil, err)
			continue
		}
		text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		if st.Rdev != 0 {
			text += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if target, err := os.Readlink(path); err == nil {
			text += " -> " + target
		}
		say("stat "+path, text, nil)
	}
}

// attack tries what an escape would begin with.
func attack() {
	runtime.LockOSThread()
	raw := func(name string, number uintptr, args ...uintptr) {
		args = append(args, make([]uintptr, 6)...)
		r, _, errno := unix.Syscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
		if errno != 0 {
			say(name, unix.ErrnoName(errno), nil)
			return
		}
		say(name, fmt.Sprint("SUCCESS ", r), nil)
	}
	try := func(name string, err error) { say(name, "SUCCESS", err) }

	try("mount tmpfs", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	try("mount proc", unix.Mount("proc", "/proc", "proc", 0, ""))
	try("remount /proc/sys", unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	try("unmount /proc/kcore", unix.Unmount("/proc/kcore", unix.MNT_DETACH))
	try("unshare user", unix.Unshare(unix.CLONE_NEWUSER))
	try("unshare mounts", unix.Unshare(unix.CLONE_NEWNS))
	raw("clone user", unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD))
	raw("ptrace init", unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1)
	raw("ptrace parent", unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid()))
	raw("load module", unix.SYS_INIT_MODULE)
	raw("load module file", unix.SYS_FINIT_MODULE)
	raw("kexec", unix.SYS_KEXEC_LOAD)
	raw("keyctl", unix.SYS_KEYCTL)
	raw("add key", unix.SYS_ADD_KEY)
	raw("bpf", unix.SYS_BPF)
	raw("perf", unix.SYS_PERF_EVENT_OPEN)
	raw("io_uring", unix.SYS_IO_URING_SETUP)
	raw("userfaultfd", unix.SYS_USERFAULTFD)
	raw("open by handle", unix.SYS_OPEN_BY_HANDLE_AT)
	raw("pivot root", unix.SYS_PIVOT_ROOT)
	raw("set host name", unix.SYS_SETHOSTNAME)
	raw("set time", unix.SYS_SETTIMEOFDAY)
	raw("reboot", unix.SYS_REBOOT, 0xfee1dead, 672274793, 0)
	raw("syslog", unix.SYS_SYSLOG, 3, 0, 0)
	try("make a device", unix.Mknod("/tmp-device", unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0))))
	_, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	try("raw socket", err)
	_, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	try("packet socket", err)
	try("kill 1", unix.Kill(1, unix.SIGKILL)) // allowed, and without effect
	for _, path := range []string{"/proc/1/fd", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/root", "/proc/1/cwd", "/proc/1/exe", "/proc/1/map_files"} {
		_, err := os.ReadDir(path)
		if errors.Is(err, syscall.ENOTDIR) {
			var f *os.File
			if f, err = os.Open(path); err == nil {
				_, err = f.Read(make([]byte, 1))
			}
		}
		try("open "+path, err)
	}
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
		"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max",
	} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		try("write "+path, err)
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"} {
		b, err := os.ReadFile(path)
		if errors.Is(err, syscall.EISDIR) {
			var entries []os.DirEntry
			entries, err = os.ReadDir(path)
			b = make([]byte, len(entries))
		}
		say("bytes of "+path, len(b), err)
	}
	try("spare me from the OOM killer", os.WriteFile("/proc/self/oom_score_adj", []byte("-500"), 0))
	lift := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	try("raise open files", unix.Setrlimit(unix.RLIMIT_NOFILE, &lift))
	try("chroot", unix.Chroot("/srv")) // Docker allows it
}

// listen serves connections on an address with a word, in the background.
func listen(args []string) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		say("listen "+args[0], nil, err)
		return
	}
	say("listen "+args[0], "ok", nil)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, args[1])
			c.Close()
		}
	}()
}

// peers serves connections on an address with what an application learns of its
// clients, in the background.
func peers(args []string) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		say("peers "+args[0], nil, err)
		return
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			peer, own := c.RemoteAddr().(*net.TCPAddr).IP, c.LocalAddr().(*net.TCPAddr).IP
			ours := peer.Equal(own)
			addrs, err := net.InterfaceAddrs()
			for _, a := range addrs {
				ours = ours || a.(*net.IPNet).IP.Equal(peer)
			}
			fmt.Fprintf(c, "from %v, loopback %v, ours %v, %v\n", peer, peer.IsLoopback(), ours, err)
			c.Close()
		}
	}()
}

// forge connects from an address to another.
func forge(args []string) {
	from := net.ParseIP(args[0])
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: from}}
	if len(args) > 2 { // the socket is bound whether or not the address is its own
		dialer.Control = func(_, _ string, c syscall.RawConn) (err error) {
			c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
			return err
		}
	}
	c, err := dialer.Dial("tcp", args[1])
	if err == nil {
		c.Close()
	}
	say("forge "+strings.Join(args, " "), "ok", err)
}

func connect(args []string) {
	c, err := net.DialTimeout("tcp", args[0], time.Second)
	if err == nil {
		c.Close()
	}
	say("connect "+args[0], "ok", err)
}

// reopen writes to /dev/stdout by its name, as many images have their logs.
func reopen([]string) {
	f, err := os.OpenFile("/dev/stdout", os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString("by name\n")
		f.Close()
	}
	say("reopen", "ok", err)
}

// one looks at process 1 as scripts do.
func one([]string) {
	say("pid", os.Getpid(), nil)
	say("parent", os.Getppid(), nil)
	say("signal 0 to 1", "ok", unix.Kill(1, 0))
	exe, err := os.Readlink("/proc/1/exe")
	say("exe of 1", exe, err)
	comm, err := os.ReadFile("/proc/1/comm")
	say("comm of 1", strings.TrimSpace(string(comm)), err)
	environ, err := os.ReadFile("/proc/1/environ")
	say("environ of 1", strings.Contains(string(environ), "PATH="), err)
	for _, path := range []string{"/proc/1/fd/1", "/proc/1/fd/2", "/proc/self/fd/1", "/dev/stdout", "/dev/stderr"} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("through " + path + "\n")
			f.Close()
		}
		say("write "+path, "ok", err)
	}
}

// adopt waits for an orphan to become a child of this process, and for its end.
func adopt([]string) {
	var status unix.WaitStatus
	n := 0
	for {
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		n++
	}
	say("adopted", n, nil)
}

// become becomes another user, as servers do that were started by root.
func become(args []string) {
	n, _ := strconv.Atoi(args[0])
	say("become", n, errors.Join(syscall.Setgroups(nil), syscall.Setresgid(n, n, n), syscall.Setresuid(n, n, n)))
}

// reach tries to disturb every process there may be but those that it sees, and says
// which it reaches.
func reach([]string) {
	var reached []int
	for pid := 1; pid < 1<<17; pid++ {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			continue
		}
		var old unix.Rlimit
		errs := []error{
			unix.Kill(pid, unix.SIGKILL),
			unix.Setpriority(unix.PRIO_PROCESS, pid, 19),
			unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{}, &old),
			unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0),
		}
		if slices.ContainsFunc(errs, func(err error) bool { return err != unix.ESRCH }) {
			reached = append(reached, pid)
		}
	}
	say("reached", reached, nil)
	say("renice all of root", "ok", unix.Setpriority(unix.PRIO_USER, 0, 19))
	say("kill all", "ok", unix.Kill(-1, unix.SIGKILL))
}

func flood(args []string) {
	n, _ := strconv.ParseInt(args[0], 10, 64)
	block := bytes.Repeat([]byte("flood and flood and flood again\n"), 1024)
	for ; n > 0; n -= int64(len(block)) {
		os.Stdout.Write(block)
	}
	fmt.Fprintln(os.Stderr, "flood is over")
}

func fill(args []string) {
	f, err := os.Create(args[0])
	if err != nil {
		say("fill", nil, err)
		return
	}
	defer f.Close()
	n, err := io.CopyN(f, zeros{}, 1<<40)
	say("filled", n, nil)
	say("fill", "ok", err)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// files makes files until one is refused.
func files(args []string) {
	most, _ := strconv.Atoi(args[1])
	for n := range most {
		f, err := os.Create(filepath.Join(args[0], strconv.Itoa(n)))
		if err != nil {
			say("files", n, nil)
			return
		}
		f.Close()
	}
	say("files", most, nil)
}

func burn() {
	for range runtime.NumCPU() {
		go func() {
			for {
			}
		}()
	}
}

// orphans starts processes that end at once, each a child of one that has ended
// before it.
func orphans(args []string) {
	n, _ := strconv.Atoi(args[0])
	for range n {
		if err := exec.Command("/bin/probe", "children", "1", "exit").Run(); err != nil {
			say("orphans", nil, err)
			return
		}
	}
	say("orphans", n, nil)
}

// children starts processes that do something and does not wait for them.
func children(args []string) {
	n, _ := strconv.Atoi(args[0])
	for i := range n {
		cmd := exec.Command("/bin/probe", args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			say("children", i, nil)
			return
		}
	}
	say("children", n, nil)
}

// zombies waits until no process is dead and unburied.
func zombies([]string) {
	for {
		left := 0
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, s := range stats {
			if b, err := os.ReadFile(s); err == nil && bytes.Contains(b, []byte(") Z ")) {
				left++
			}
		}
		if left == 0 {
			say("zombies", 0, nil)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// signals prints each signal that comes, until SIGTERM ends it.
func signals() {
	c := make(chan os.Signal, 64)
	signal.Notify(c)
	signal.Ignore(syscall.SIGURG)
	fmt.Println("listening to signals")
	for s := range c {
		number := s.(syscall.Signal)
		if number == syscall.SIGURG {
			continue
		}
		fmt.Println("signal", int(number))
		if number == syscall.SIGTERM {
			os.Exit(0)
		}
	}
}

func sleep() {
	for {
		time.Sleep(time.Hour)
	}
}

func exit(args []string) {
	code := 0
	if len(args) > 0 {
		code, _ = strconv.Atoi(args[0])
	}
	os.Exit(code)
}

// kill ends this process by a signal.
func kill(args []string) {
	n, _ := strconv.Atoi(args[0])
	reset(n)
	unix.Kill(os.Getpid(), syscall.Signal(n))
	sleep()
}

// reset gives a signal its default action, past the Go runtime, which handles many.
func reset(n int) {
	signal.Reset(syscall.Signal(n))
	var act [32]byte
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
}

// fault ends this process by a signal of the kernel, which also process 1 gets.
func fault([]string) {
	reset(int(unix.SIGSEGV))
	*(*int)(unsafe.Add(nil, len(os.Args))) = 1
}

// devour takes memory until the kernel ends this process.
func devour() {
	var taken [][]byte
	for {
		taken = append(taken, bytes.Repeat([]byte{1}, 1<<20))
	}
}

// overrun ends this process by SIGKILL: it takes more processor time than it may.
func overrun([]string) {
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		say("overrun", nil, err)
		return
	}
	for {
	}
}
