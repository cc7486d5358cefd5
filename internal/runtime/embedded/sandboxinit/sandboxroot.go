package sandboxinit

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// devices are the device files of an instance. A user namespace cannot make any,
// so they are bound from the sandbox root, which binds them from the host.
var devices = [...]string{"null", "zero", "full", "random", "urandom", "tty"}

// buildSandboxRoot replaces the host's mounts by the sandbox root: a small root
// file system with the program, the devices, /proc and /sys. An init starts in a
// copy of it and so inherits nothing else of the host, whatever it fails to do.
// /proc and /sys must be there in full: otherwise the kernel refuses mounts of
// them to a user namespace. The program's libraries, if it has any, are bound
// too.
func buildSandboxRoot(libs *libraries) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return doing("make mounts private", err)
	}
	sandboxRoot, err := newSandboxRoot()
	if err != nil {
		return err
	}
	if err := bindHost(sandboxRoot); err != nil {
		return err
	}
	if err := libs.bind(sandboxRoot); err != nil {
		return err
	}
	if err := unix.MoveMount(sandboxRoot, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return doing("mount the sandbox root", err)
	}
	if err := enter(sandboxRoot); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return doing("make the sandbox root read-only", err)
	}
	return openNull()
}

// newSandboxRoot returns a detached tmpfs with the running program in it.
func newSandboxRoot() (fd int, err error) {
	program, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, doing("open the program", err)
	}
	defer unix.Close(program)
	var st unix.Stat_t
	if err := unix.Fstat(program, &st); err != nil {
		return -1, doing("open the program", err)
	}
	const rest = 1 << 20 // more than the directories take
	sandboxRoot, err := newTmpfs(strconv.FormatInt(st.Size+rest, 10))
	if err != nil {
		return -1, doing("make a tmpfs", err)
	}
	return sandboxRoot, doing("copy the program", copyProgram(sandboxRoot, program))
}

// newTmpfs returns a detached tmpfs. The descriptor is good for openat.
func newTmpfs(size string) (fd int, err error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for _, option := range [...][2]string{{"size", size}, {"mode", "0755"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, doing(option[0], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// copyProgram copies the program into the sandbox root. Inits may execute but not read
// it. The kernel lets only the host's user namespace trace a process of such a
// program, or look into its /proc entry, from the process's first moment.
func copyProgram(sandboxRoot, from int) error {
	to, err := unix.Openat(sandboxRoot, initPath[1:], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o111)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	for {
		n, err := unix.Sendfile(to, from, nil, 1<<20)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// bindHost binds into the sandbox root what sandboxes need of the host.
func bindHost(sandboxRoot int) error {
	for _, dir := range [...]string{"proc", "sys", "dev", skeletonPath[1:]} {
		if err := unix.Mkdirat(sandboxRoot, dir, 0o755); err != nil {
			return doing("make "+dir, err)
		}
	}
	for _, path := range [...]string{"proc", "sys"} {
		if err := bind("/"+path, sandboxRoot, path); err != nil {
			return err
		}
	}
	for _, name := range devices {
		path := "dev/" + name
		fd, err := unix.Openat(sandboxRoot, path, unix.O_CREAT|unix.O_CLOEXEC, 0o444)
		if err != nil {
			return doing("make "+path, err)
		}
		unix.Close(fd)
		if err := bind("/"+path, sandboxRoot, path); err != nil {
			return err
		}
	}
	return nil
}

// bind binds a path to another below the directory dir, without the mounts below
// the path.
func bind(from string, dir int, to string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return doing("open "+from, err)
	}
	defer unix.Close(tree)
	return doing("bind "+from, unix.MoveMount(tree, "", dir, to, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// enter makes a mounted directory the root of this mount namespace and unmounts
// the old root. It closes the descriptor.
func enter(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return doing("enter the root", err)
	}
	// pivot_root(".", ".") stacks the old root on the new one, where "." then
	// names the old root: no directory is needed to put it in.
	if err := unix.PivotRoot(".", "."); err != nil {
		return doing("pivot the root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return doing("drop the old root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return doing("enter the new root", err)
	}
	unix.Close(root)
	return nil
}

// openNull opens the sandbox root's /dev/null as standard input and output. Errors
// still go to the daemon.
func openNull() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return doing("open /dev/null", err)
	}
	defer unix.Close(null)
	for fd := range 2 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return doing("open /dev/null", err)
		}
	}
	return nil
}

func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return doing("open "+path, err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return doing("write "+path, err)
}
