package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// call is a system call as a filter sees it.
type call struct {
	number uint32
	arch   uint32
	args   [6]uint64
}

func (c call) data() []byte {
	b := make([]byte, 64)
	binary.LittleEndian.PutUint32(b[offsetNumber:], c.number)
	binary.LittleEndian.PutUint32(b[offsetArch:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(b[offsetArgs+8*i:], a)
	}
	return b
}

// run interprets a program as the kernel does.
func (p Program) run(c call) (uint32, error) {
	data := c.data()
	var acc uint32
	for at, steps := 0, 0; at >= 0 && at < len(p); steps++ {
		i := p[at]
		at++
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if i.K%4 != 0 || int(i.K)+4 > len(data) {
				return 0, fmt.Errorf("instruction %d loads from %d", at-1, i.K)
			}
			acc = binary.LittleEndian.Uint32(data[i.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= i.K
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			at += jump(acc == i.K, i)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			at += jump(acc >= i.K, i)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			at += jump(acc > i.K, i)
		case unix.BPF_RET | unix.BPF_K:
			return i.K, nil
		default:
			return 0, fmt.Errorf("instruction %d has code %#x", at-1, i.Code)
		}
	}
	return 0, fmt.Errorf("ran off the end")
}

func jump(yes bool, i unix.SockFilter) int {
	if yes {
		return int(i.Jt)
	}
	return int(i.Jf)
}

// want decides on a call by reading the profile as its documentation says, with
// nothing of the compiler's in between.
func want(p *specs.LinuxSeccomp, abis []*arch.Info, c call) uint32 {
	var name string
	var known bool
	for _, table := range abis {
		mask := uint32(table.SeccompMask)
		isX32 := c.arch == uint32(arch.X86_64.ID) && c.number >= uint32(arch.X32.SeccompMask)
		if c.arch == uint32(table.ID) && isX32 == (mask != 0) {
			name, known = table.SyscallNumbers[int(c.number&^mask)]
		}
	}
	if !known {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	fallback := unix.SECCOMP_RET_ERRNO | uint32(*p.DefaultErrnoRet)
	if slices.Contains([]string{"ptrace", "process_vm_readv", "process_vm_writev"}, name) {
		return fallback
	}
	for _, entry := range p.Syscalls {
		if !slices.Contains(entry.Names, name) || !holds(entry.Args, c) {
			continue
		}
		if entry.Action == specs.ActAllow {
			return unix.SECCOMP_RET_ALLOW
		}
		return unix.SECCOMP_RET_ERRNO | uint32(*entry.ErrnoRet)
	}
	return fallback
}

func holds(conditions []specs.LinuxSeccompArg, c call) bool {
	for _, a := range conditions {
		v := c.args[a.Index]
		ok := false
		switch a.Op {
		case specs.OpEqualTo:
			ok = v == a.Value
		case specs.OpNotEqual:
			ok = v != a.Value
		case specs.OpMaskedEqual:
			ok = v&a.Value == a.ValueTwo
		case specs.OpGreaterThan:
			ok = v > a.Value
		case specs.OpGreaterEqual:
			ok = v >= a.Value
		case specs.OpLessThan:
			ok = v < a.Value
		case specs.OpLessEqual:
			ok = v <= a.Value
		}
		if !ok {
			return false
		}
	}
	return true
}

// values are arguments worth trying with a system call: those a profile
// compares with, and their neighbours in both halves.
func values(p *specs.LinuxSeccomp, name string) []uint64 {
	all := []uint64{0, 1, 1 << 31, 1 << 32, 1<<32 - 1, 1 << 63, ^uint64(0)}
	for _, entry := range p.Syscalls {
		if !slices.Contains(entry.Names, name) {
			continue
		}
		for _, a := range entry.Args {
			for _, v := range []uint64{a.Value, a.ValueTwo} {
				all = append(all, v, v-1, v+1, v|1<<32, v|1<<63, v&(v-1), ^v)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// check compares a program with its profile on every system call and every
// argument worth trying.
func check(t *testing.T, p *specs.LinuxSeccomp, abis ...*arch.Info) {
	t.Helper()
	program, err := compile(p, abis...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instructions", len(program))
	try := func(c call) {
		got, err := program.run(c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if w := want(p, abis, c); got != w {
			t.Fatalf("%+v: the filter returns %#x, the profile says %#x", c, got, w)
		}
	}
	for _, table := range abis {
		tryABI(p, table, try)
	}
}

// tryABI tries the calls of one ABI.
func tryABI(p *specs.LinuxSeccomp, table *arch.Info, try func(call)) {
	numbers := []uint32{1 << 30, 1<<30 + 1, 1 << 31, 1<<32 - 1}
	for n := range uint32(1100) {
		numbers = append(numbers, n, n|uint32(table.SeccompMask), n|uint32(arch.X32.SeccompMask)|1<<31)
	}
	for n := range table.SyscallNumbers { // arm has some far above the others
		numbers = append(numbers, uint32(n), uint32(n+1))
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range numbers {
		all := values(p, table.SyscallNumbers[int(n)&^table.SeccompMask])
		c := call{number: n, arch: uint32(table.ID)}
		for index := range c.args {
			for _, v := range all {
				c.args = [6]uint64{}
				c.args[index] = v
				try(c)
			}
		}
		for range 100 { // conditions on several arguments at once
			for i := range c.args {
				c.args[i] = all[rnd.IntN(len(all))]
			}
			try(c)
		}
		c.arch++
		try(c)
	}
}

func profile(t *testing.T, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	p, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultProfile(t *testing.T) {
	t.Parallel()
	for _, abis := range [][]*arch.Info{{arch.X86_64}, {arch.X86_64, arch.I386, arch.X32}, {arch.AARCH64, arch.ARM}} {
		for _, caps := range [][]string{nil, {"CAP_SYS_CHROOT"}, {"CAP_SYS_ADMIN"}} {
			t.Run(fmt.Sprint(abis[0].Name, len(abis), caps), func(t *testing.T) {
				t.Parallel()
				check(t, profile(t, caps...), abis...)
			})
		}
	}
}

// TestEveryOperator compiles a profile that uses all there is, and so much of
// it that jumps become long.
func TestEveryOperator(t *testing.T) {
	t.Parallel()
	eperm, eacces := uint(unix.EPERM), uint(unix.EACCES)
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm}
	operators := []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpMaskedEqual, specs.OpGreaterThan,
		specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual,
	}
	for n := range 300 {
		name, ok := arch.X86_64.SyscallNumbers[n]
		if !ok || slices.Contains(withheld, name) {
			continue
		}
		one := specs.LinuxSeccompArg{Index: uint(n % 6), Op: operators[n%7], Value: 1<<40 + uint64(n), ValueTwo: 1 << 40}
		two := specs.LinuxSeccompArg{Index: uint((n + 1) % 6), Op: operators[(n/7)%7], Value: 7, ValueTwo: 3}
		p.Syscalls = append(p.Syscalls,
			specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{one, two}},
			specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &eacces, Args: []specs.LinuxSeccompArg{two}},
		)
	}
	p.Syscalls = p.Syscalls[:2*100] // some 1,300 instructions
	check(t, p, arch.X86_64)
}

func TestRefusedProfiles(t *testing.T) {
	t.Parallel()
	errno := uint(1)
	for name, entries := range map[string][]specs.LinuxSyscall{
		"decides twice": {
			{Names: []string{"read"}, Action: specs.ActAllow},
			{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: &errno},
		},
		"needs a supervisor": {{Names: []string{"read"}, Action: specs.ActNotify}},
		"argument":           {{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}},
		"compares with":      {{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_ODD"}}}},
	} {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno, Syscalls: entries}
		if _, err := compile(p, arch.X86_64); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a profile that should be refused with %q gave %v", name, err)
		}
	}
}

// TestRefuses names what must be refused, and what must not, whatever else
// profiles may come to say: by every ABI of the machine.
func TestRefuses(t *testing.T) {
	t.Parallel()
	native, err := arch.GetInfo(goruntime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	program, err := Default([]string{"CAP_CHOWN", "CAP_SYS_CHROOT"})
	if err != nil {
		t.Fatal(err)
	}
	for _, abi := range append([]*arch.Info{native}, secondary[goruntime.GOARCH]...) {
		refuses(t, program, abi)
	}
}

func refuses(t *testing.T, program Program, abi *arch.Info) {
	t.Helper()
	enosys := unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	try := func(name string, result uint32, args ...uint64) {
		number, known := abi.SyscallNames[name]
		if !known {
			return
		}
		c := call{number: uint32(number | abi.SeccompMask), arch: uint32(abi.ID)}
		copy(c.args[:], args)
		if got, err := program.run(c); err != nil || got != result {
			t.Errorf("%s of %s%x: %#x, want %#x (%v)", name, abi.Name, args, got, result, err)
		}
	}
	for _, name := range []string{
		"mount", "umount", "umount2", "pivot_root", "unshare", "setns",
		"open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr",
		"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load",
		"ptrace", "process_vm_readv", "process_vm_writev", "kcmp",
		"keyctl", "add_key", "request_key", "bpf", "perf_event_open",
		"userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "reboot", "swapon",
		"settimeofday", "stime", "clock_settime", "clock_settime64",
		"open_by_handle_at", "quotactl", "quotactl_fd", "acct", "syslog",
		"iopl", "ioperm", "vm86", "vm86old", "uselib", "nfsservctl", "lookup_dcookie", "vhangup",
	} {
		try(name, eperm)
	}
	try("clone3", enosys)
	for _, name := range []string{"read", "execve", "clone", "futex", "epoll_pwait", "chroot", "socketcall", "mmap2", "futex_time64", "set_tls"} {
		try(name, unix.SECCOMP_RET_ALLOW)
	}
	try("clone", eperm, unix.CLONE_NEWUSER)
	for family, result := range map[uint64]uint32{
		unix.AF_INET: unix.SECCOMP_RET_ALLOW, unix.AF_UNIX: unix.SECCOMP_RET_ALLOW,
		unix.AF_VSOCK: eperm, unix.AF_ALG: eperm, unix.AF_PACKET: eperm, unix.AF_PACKET | 1<<32: eperm, unix.AF_XDP: eperm,
	} {
		try("socket", result, family)
	}
}

const eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

// TestInKernel has the kernel take the filter, in a process of its own, and asks
// it for system calls that reach the kernel only if the filter is wrong.
func TestInKernel(t *testing.T) {
	if os.Getenv("SECCOMP_TEST_CHILD") != "" {
		underFilter()
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInKernel$")
	cmd.Env = append(os.Environ(), "SECCOMP_TEST_CHILD=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all as expected") {
		t.Errorf("under the filter: %v\n%s", err, out)
	}
}

// underFilter runs in the child process and ends it.
func underFilter() {
	goruntime.LockOSThread()
	program, err := Default(nil)
	fail := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
	if err != nil {
		fail("compile: %v", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fail("no_new_privs: %v", err)
	}
	b := program.Bytes()
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&b[0]))}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog))); errno != 0 {
		fail("the kernel refuses the filter: %v", errno)
	}
	const bad = ^uintptr(0) // an argument with which the kernel would say otherwise
	for _, c := range []struct {
		name   string
		number uintptr
		arg    uintptr
		errno  unix.Errno
	}{
		{"unshare", unix.SYS_UNSHARE, 0, unix.EPERM}, // would succeed
		{"ptrace", unix.SYS_PTRACE, bad, unix.EPERM},
		{"keyctl", unix.SYS_KEYCTL, bad, unix.EPERM},
		{"mount", unix.SYS_MOUNT, 0, unix.EPERM},
		{"bpf", unix.SYS_BPF, bad, unix.EPERM},
		{"socket of AF_VSOCK", unix.SYS_SOCKET, unix.AF_VSOCK, unix.EPERM},
		{"clone3", unix.SYS_CLONE3, bad, unix.ENOSYS},
		{"a system call to come", 1000, 0, unix.ENOSYS},
		{"close", unix.SYS_CLOSE, bad, unix.EBADF}, // reaches the kernel
	} {
		if _, _, errno := unix.RawSyscall(c.number, c.arg, 0, 0); errno != c.errno {
			fail("%s: %v, want %v", c.name, errno, c.errno)
		}
	}
	fmt.Println("all as expected")
	os.Exit(0)
}

// BenchmarkDefault shows what compiling costs the daemon once.
func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		if _, err := Default(nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCoreLimitStays: no call changes the limit of core dumps, and all other limits can be
// changed and all be read.
func TestCoreLimitStays(t *testing.T) {
	t.Parallel()
	program, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	native, err := arch.GetInfo(goruntime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	const some = 0x7ffc00001000 // an address
	success, refusal, allowed := uint32(unix.SECCOMP_RET_ERRNO), unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), uint32(unix.SECCOMP_RET_ALLOW)
	for _, c := range []struct {
		name string
		args [6]uint64
		want uint32
	}{
		{"setrlimit", [6]uint64{unix.RLIMIT_CORE, some}, success},
		{"setrlimit", [6]uint64{1<<32 | unix.RLIMIT_CORE, some}, success},
		{"setrlimit", [6]uint64{unix.RLIMIT_NOFILE, some}, allowed},
		{"getrlimit", [6]uint64{unix.RLIMIT_CORE, some}, allowed},
		{"prlimit64", [6]uint64{0, unix.RLIMIT_CORE, some}, success},
		{"prlimit64", [6]uint64{7, 1<<32 | unix.RLIMIT_CORE, some}, success},
		{"prlimit64", [6]uint64{0, unix.RLIMIT_CORE, some, some}, refusal},
		{"prlimit64", [6]uint64{0, unix.RLIMIT_CORE, 0, some}, allowed},
		{"prlimit64", [6]uint64{0, unix.RLIMIT_NOFILE, some, some}, allowed},
	} {
		number, ok := native.SyscallNames[c.name]
		if !ok {
			continue // this machine's kernel has no such call
		}
		got, err := program.run(call{uint32(number), uint32(native.ID), c.args})
		if err != nil || got != c.want {
			t.Errorf("%s%v: %#x, %v, want %#x", c.name, c.args, got, err, c.want)
		}
	}
}
