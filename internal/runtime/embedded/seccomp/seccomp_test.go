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
func want(p *specs.LinuxSeccomp, table *arch.Info, c call) uint32 {
	name, known := table.SyscallNumbers[int(c.number)]
	if c.arch != uint32(table.ID) || !known {
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
func check(t *testing.T, p *specs.LinuxSeccomp, table *arch.Info) {
	t.Helper()
	program, err := compile(p, table)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instructions", len(program))
	try := func(c call) {
		got, err := program.run(c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if w := want(p, table, c); got != w {
			t.Fatalf("%s %+v: the filter returns %#x, the profile says %#x", table.SyscallNumbers[int(c.number)], c, got, w)
		}
	}
	numbers := []uint32{1 << 30, 1<<30 + 1, 1 << 31, 1<<32 - 1}
	for n := range uint32(1100) {
		numbers = append(numbers, n)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range numbers {
		all := values(p, table.SyscallNumbers[int(n)])
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
	for _, table := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		for _, caps := range [][]string{nil, {"CAP_SYS_CHROOT"}, {"CAP_SYS_ADMIN"}} {
			t.Run(fmt.Sprint(table.Name, caps), func(t *testing.T) {
				t.Parallel()
				check(t, profile(t, caps...), table)
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
// profiles may come to say.
func TestRefuses(t *testing.T) {
	t.Parallel()
	table, err := arch.GetInfo(goruntime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	program, err := Default([]string{"CAP_CHOWN", "CAP_SYS_CHROOT"})
	if err != nil {
		t.Fatal(err)
	}
	for name, result := range map[string]uint32{
		"mount": eperm, "umount2": eperm, "pivot_root": eperm, "unshare": eperm, "setns": eperm,
		"open_tree": eperm, "move_mount": eperm, "fsopen": eperm, "mount_setattr": eperm,
		"init_module": eperm, "finit_module": eperm, "delete_module": eperm, "kexec_load": eperm,
		"ptrace": eperm, "process_vm_readv": eperm, "process_vm_writev": eperm, "kcmp": eperm,
		"keyctl": eperm, "add_key": eperm, "request_key": eperm, "bpf": eperm, "perf_event_open": eperm,
		"userfaultfd": eperm, "io_uring_setup": eperm, "reboot": eperm, "swapon": eperm, "settimeofday": eperm,
		"open_by_handle_at": eperm, "quotactl": eperm, "acct": eperm, "syslog": eperm,
		"clone3": unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS),
		"read":   unix.SECCOMP_RET_ALLOW, "execve": unix.SECCOMP_RET_ALLOW, "clone": unix.SECCOMP_RET_ALLOW,
		"futex": unix.SECCOMP_RET_ALLOW, "epoll_pwait": unix.SECCOMP_RET_ALLOW, "chroot": unix.SECCOMP_RET_ALLOW,
	} {
		got, err := program.run(call{number: uint32(table.SyscallNames[name]), arch: uint32(table.ID)})
		if err != nil || got != result {
			t.Errorf("%s: %#x, want %#x (%v)", name, got, result, err)
		}
	}
	user := call{number: uint32(table.SyscallNames["clone"]), arch: uint32(table.ID), args: [6]uint64{unix.CLONE_NEWUSER}}
	if got, err := program.run(user); err != nil || got != eperm {
		t.Errorf("clone with a user namespace: %#x (%v)", got, err)
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
