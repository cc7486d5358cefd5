package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Wanted reports whether the process with these arguments was started by
// [Command.Run]: then it must call Main and nothing else.
func Wanted(args []string) bool { return len(args) == 1 && args[0] == name }

// failedCode is the exit code of a process that could not be confined.
const failedCode = 125

// Main confines this process as it was told, and then executes the program. It does
// not return.
func Main() {
	runtime.LockOSThread() // capabilities are the thread's
	unix.CloseOnExec(orderFD)
	unix.CloseOnExec(controlFD)
	err := confineAndExecute()
	_ = unix.Sendto(controlFD, []byte(err.Error()), 0, nil)
	os.Exit(failedCode)
}

func confineAndExecute() error {
	body, err := io.ReadAll(io.NewSectionReader(os.NewFile(orderFD, "order"), 0, 1<<24))
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	if o.Listen {
		if err := listen(); err != nil {
			return fmt.Errorf("make a listener: %w", err)
		}
	}
	if err := o.makeRoot(); err != nil {
		return fmt.Errorf("make a root: %w", err)
	}
	if err := drop(o.User); err != nil {
		return fmt.Errorf("drop privileges: %w", err)
	}
	if err := os.Chdir(o.Dir); err != nil {
		return err
	}
	argv, program := append([]string{filepath.Base(o.Program)}, o.Args...), o.Program
	if err := o.Limits.set(); err != nil { // last: this process may have more memory
		return fmt.Errorf("set limits: %w", err)
	}
	return syscall.Exec(program, argv, o.Env)
}

// listen makes a listener in the new network and hands it to the caller.
func listen() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", Address)
	if err != nil {
		return err
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	err = unix.Sendmsg(controlFD, []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0)
	return errors.Join(err, f.Close(), l.Close())
}

// system are the directories of the host with programs, libraries and what these
// read. Files of users, of services and of the daemon are in none of them.
var system = [...]string{
	"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/ld.so.cache", "/etc/alternatives",
	"/dev/null", "/dev/zero", "/dev/urandom",
}

// makeRoot makes the program's root file system, from the parts of the host that
// it may see, and enters it.
func (o order) makeRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", o.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=0755"); err != nil {
		return err
	}
	for _, dir := range system {
		if err := o.show(dir); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	for _, b := range o.Binds {
		if err := bind(b.Source, o.Root+b.Target, b.Write, false); err != nil {
			return fmt.Errorf("bind %s to %s: %w", b.Source, b.Target, err)
		}
	}
	if err := unix.Mount("", o.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return err
	}
	if err := os.Chdir(o.Root); err != nil {
		return err
	}
	// The old root lies on the new one for a moment, and then nowhere.
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// show shows a part of the host at the same path, read-only. A part that is a
// symbolic link, as /lib is today, stays one.
func (o order) show(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink == 0 {
		return bind(path, o.Root+path, false, info.Mode()&os.ModeDevice != 0)
	}
	to, err := os.Readlink(path)
	if err != nil {
		return err
	}
	return os.Symlink(to, o.Root+path)
}

// bind mounts source on target, which it makes.
func bind(source, target string, write, device bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !write {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if !device {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	return unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr)
}

func (l Limits) set() error {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_AS: l.Memory, unix.RLIMIT_FSIZE: l.FileSize, unix.RLIMIT_NOFILE: l.Files, unix.RLIMIT_NPROC: l.Processes,
	} {
		if most == 0 {
			continue
		}
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return err
		}
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// lastCapability is above what any kernel knows.
const lastCapability = 63

// drop takes all capabilities from what this process executes, and gives it the
// user's id.
func drop(user int) error {
	for c := range uintptr(lastCapability + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if user != 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		if err := syscall.Setresgid(user, user, user); err != nil {
			return err
		}
		if err := syscall.Setresuid(user, user, user); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// The change of the user has cleared it.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}
