// Package seccomp compiles the system call filter of instances: Docker's
// default profile, slightly narrower, as a program for the kernel.
//
// It compiles and explains filters; installing them is the init's task.
package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// withheld are system calls that Docker's profile allows and this one does not. On
// App Runner's machines, too, inspecting other processes takes a capability.
var withheld = []string{"ptrace", "process_vm_readv", "process_vm_writev"}

// withheldFamilies are address families of sockets that Docker's profile allows and this
// one does not: those that see a link itself. Their rings are memory of the kernel that
// no limit of the instance counts.
var withheldFamilies = []uint64{unix.AF_PACKET, unix.AF_XDP}

// secondary are the other ABIs that processes of a machine may use: those of Docker's
// profile. Their calls pass the same rules, by name. (socketcall, which 32-bit x86
// programs make sockets with, keeps its arguments where no filter sees them.)
var secondary = map[string][]*arch.Info{
	"amd64": {arch.I386, arch.X32},
	"arm64": {arch.ARM},
}

// Default compiles the profile for this machine and for processes with these
// capabilities ("CAP_CHOWN" and so on).
func Default(capabilities []string) (Program, error) {
	native, err := arch.GetInfo(runtime.GOARCH)
	if err != nil {
		return nil, fmt.Errorf("no system call table: %w", err)
	}
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}}}
	profile, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return nil, fmt.Errorf("read the default profile: %w", err)
	}
	profile.Syscalls = slices.Concat(refuseFamilies(), keepCoreLimit(), profile.Syscalls)
	return compile(profile, append([]*arch.Info{native}, secondary[runtime.GOARCH]...)...)
}

// refuseFamilies returns entries for a profile's head that refuse sockets of the families
// withheld. The kernel takes the family from the lower half of the argument.
func refuseFamilies() (entries []specs.LinuxSyscall) {
	for _, family := range withheldFamilies {
		entries = append(entries, specs.LinuxSyscall{
			Names: []string{"socket"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Op: specs.OpMaskedEqual, Value: 1<<32 - 1, ValueTwo: family}},
		})
	}
	return entries
}

// keepCoreLimit returns entries for a profile's head with which the limit of core dumps
// stays: at 0 a crash could start a program of the host. Programs that forbid themselves
// dumps are told that they did, as there are none; those that ask for the old limit in the
// same call, which a filter can't give, are refused.
func keepCoreLimit() []specs.LinuxSyscall {
	success, refusal := uint(0), uint(unix.EPERM)
	core := func(index uint) specs.LinuxSeccompArg { // the kernel takes the lower half
		return specs.LinuxSeccompArg{Index: index, Op: specs.OpMaskedEqual, Value: 1<<32 - 1, ValueTwo: unix.RLIMIT_CORE}
	}
	sets := specs.LinuxSeccompArg{Index: 2, Op: specs.OpNotEqual}
	return []specs.LinuxSyscall{
		{Names: []string{"setrlimit"}, Action: specs.ActErrno, ErrnoRet: &success, Args: []specs.LinuxSeccompArg{core(0)}},
		{Names: []string{"prlimit64"}, Action: specs.ActErrno, ErrnoRet: &success, Args: []specs.LinuxSeccompArg{core(1), sets, {Index: 3, Op: specs.OpEqualTo}}},
		{Names: []string{"prlimit64"}, Action: specs.ActErrno, ErrnoRet: &refusal, Args: []specs.LinuxSeccompArg{core(1), sets}},
	}
}

// rule is what a profile says about one system call: the first alternative whose
// conditions all hold decides, else otherwise does.
type rule struct {
	alternatives []alternative
	otherwise    uint32 // a SECCOMP_RET_ value with its data
}

type alternative struct {
	conditions []specs.LinuxSeccompArg
	result     uint32
}

func (r rule) unconditional() bool { return len(r.alternatives) == 0 }

// rules returns the rules of the profile by system call number. Numbers that the
// table does not have are missing.
func rules(profile *specs.LinuxSeccomp, table *arch.Info) (map[int]rule, error) {
	fallback, err := result(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	all := map[int]rule{}
	for number := range table.SyscallNumbers {
		all[number] = rule{otherwise: fallback}
	}
	decided := map[int]bool{}
	for _, entry := range profile.Syscalls {
		value, err := result(entry.Action, entry.ErrnoRet)
		if err != nil {
			return nil, err
		}
		for number, name := range table.SyscallNumbers { // x32 has two numbers of some
			if !slices.Contains(entry.Names, name) || slices.Contains(withheld, name) {
				continue
			}
			r := all[number]
			switch {
			case len(entry.Args) > 0:
				r.alternatives = append(r.alternatives, alternative{entry.Args, value})
			case decided[number] && r.otherwise != value:
				return nil, fmt.Errorf("the profile decides twice on %s", name)
			default:
				r.otherwise, decided[number] = value, true
			}
			all[number] = r
		}
	}
	for number, r := range all {
		// As in libseccomp: what is allowed with any arguments needs no check of
		// them.
		if r.otherwise == unix.SECCOMP_RET_ALLOW {
			r.alternatives = slices.DeleteFunc(r.alternatives, func(a alternative) bool { return a.result == r.otherwise })
			all[number] = r
		}
	}
	return all, nil
}

// result turns an action into what the filter returns to the kernel.
func result(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	code := uint32(unix.EPERM)
	if errno != nil {
		code = uint32(*errno)
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		if code > 4095 {
			return 0, errors.New("the profile returns an error number out of range")
		}
		return unix.SECCOMP_RET_ERRNO | code, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	}
	return 0, fmt.Errorf("the profile has the action %s, which needs a supervisor", action)
}
