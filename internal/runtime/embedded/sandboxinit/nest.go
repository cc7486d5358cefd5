package sandboxinit

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// devices are the device files that an instance has. A user namespace can make
// none, so they are bound from the nest, and there from the host.
var devices = [...]string{"null", "zero", "full", "random", "urandom", "tty"}

// buildNest leaves the host's mounts behind: afterwards this mount namespace
// holds the program, the devices, and /proc and /sys. The latter two must be
// there in full, or else the kernel refuses a sandbox mounts of its own.
//
// What a sandbox inherits is this and nothing else, whatever an init may
// leave undone. The program's libraries, if it has any, are bound too.
func buildNest(libs *libraries) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return doing("make mounts private", err)
	}
	nest, err := newNest()
	if err != nil {
		return err
	}
	if err := bindHost(nest); err != nil {
		return err
	}
	if err := libs.bind(nest); err != nil {
		return err
	}
	if err := unix.MoveMount(nest, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return doing("mount the nest", err)
	}
	if err := enter(nest); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return doing("make the nest read-only", err)
	}
	return openNull()
}

// newNest returns a detached tmpfs with the running program in it.
func newNest() (fd int, err error) {
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
	nest, err := newTmpfs(strconv.FormatInt(st.Size+rest, 10))
	if err != nil {
		return -1, doing("make a tmpfs", err)
	}
	return nest, doing("copy the program", copyProgram(nest, program))
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

// copyProgram copies the program into the nest. Inits may execute but not read
// it. The kernel lets only the host's user namespace trace a process of such a
// program, or look into its /proc entry, from the process's first moment.
func copyProgram(nest, from int) error {
	to, err := unix.Openat(nest, initPath[1:], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o111)
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

// bindHost binds into the nest what sandboxes need of the host.
func bindHost(nest int) error {
	for _, dir := range [...]string{"proc", "sys", "dev", stagePath[1:]} {
		if err := unix.Mkdirat(nest, dir, 0o755); err != nil {
			return doing("make "+dir, err)
		}
	}
	for _, path := range [...]string{"proc", "sys"} {
		if err := bind("/"+path, nest, path); err != nil {
			return err
		}
	}
	for _, name := range devices {
		path := "dev/" + name
		fd, err := unix.Openat(nest, path, unix.O_CREAT|unix.O_CLOEXEC, 0o444)
		if err != nil {
			return doing("make "+path, err)
		}
		unix.Close(fd)
		if err := bind("/"+path, nest, path); err != nil {
			return err
		}
	}
	return nil
}

// bind binds a path, without what is mounted below it, to another in the
// directory dir.
func bind(from string, dir int, to string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return doing("open "+from, err)
	}
	defer unix.Close(tree)
	return doing("bind "+from, unix.MoveMount(tree, "", dir, to, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// enter makes a mounted directory the root of this mount namespace and drops
// what was there. It closes the descriptor.
func enter(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return doing("enter the root", err)
	}
	// Into itself: the old root ends up on top of the new one, so "." is the
	// old root below, and no directory is needed to put it.
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

// openNull opens the nest's /dev/null as standard input and output. Errors
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
