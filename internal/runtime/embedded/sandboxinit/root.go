package sandboxinit

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// enterRoot makes a detached mount the root, with the prepared /proc, /sys and
// /dev in it. The skeleton is gone when it returns.
//
// The image may be hostile: before the root has been pivoted, no path that is
// used may follow a link of the image.
func enterRoot(root int) error {
	if root < 0 {
		return doing("enter the image", handoff.ErrMalformed)
	}
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, rootPath, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return doing("mount the image", err)
	}
	for _, dir := range [...]string{"proc", "sys", "dev"} {
		if err := moveInto(root, dir); err != nil {
			return doing("mount /"+dir+" in the image", err)
		}
	}
	return enter(root)
}

// moveInto moves a mount of the skeleton onto the directory of the same name in
// the root. It makes the directory if the image has none.
func moveInto(root int, dir string) error {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	}
	fd, err := unix.Openat2(root, dir, &how)
	if err == unix.ENOENT {
		if err := unix.Mkdirat(root, dir, 0o755); err != nil {
			return err
		}
		fd, err = unix.Openat2(root, dir, &how)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(unix.AT_FDCWD, "/"+dir, fd, "", unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// networkFiles are /etc/hosts, /etc/hostname and /etc/resolv.conf: open, and
// empty until the order tells their contents.
type networkFiles struct{ hosts, hostname, resolv int }

// makeNetworkFiles replaces these files of the image. Links in the image are
// harmless from here on: none leads out of it.
func makeNetworkFiles() (*networkFiles, error) {
	var fds [3]int
	for i, path := range [...]string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		fd, err := replaceFile(path)
		if err != nil {
			return nil, doing("make "+path, err)
		}
		fds[i] = fd
	}
	// Programs that list mounts read it, and few images have it. An image's own stays.
	_ = unix.Symlink("/proc/mounts", "/etc/mtab")
	return &networkFiles{fds[0], fds[1], fds[2]}, nil
}

// fill writes what an order says into the files and closes them.
func (f *networkFiles) fill(o *handoff.Order) error {
	if err := writeAndClose(f.hosts, o.Hosts); err != nil {
		return doing("write /etc/hosts", err)
	}
	if err := writeAndClose(f.resolv, o.Resolv); err != nil {
		return doing("write /etc/resolv.conf", err)
	}
	return doing("write /etc/hostname", writeAndClose(f.hostname, o.Hostname+"\n"))
}

// replaceFile replaces what is at a path by an empty file.
func replaceFile(path string) (fd int, err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	unix.Unlink(path)
	fd, err = unix.Open(path, flags, 0o644)
	if err == unix.ENOENT {
		if err := unix.Mkdir("/etc", 0o755); err != nil {
			return -1, err
		}
		fd, err = unix.Open(path, flags, 0o644)
	}
	return fd, err
}

func writeAndClose(fd int, text string) error {
	defer unix.Close(fd)
	_, err := unix.Write(fd, []byte(text))
	return err
}

// enterDir changes to the working directory. It makes a missing one, as Docker
// does.
func enterDir(dir string) error {
	if dir == "" {
		dir = "/"
	}
	err := unix.Chdir(dir)
	if err == unix.ENOENT {
		if err = makeDirs(dir); err == nil {
			err = unix.Chdir(dir)
		}
	}
	return doing("working directory "+dir, err)
}

// makeVolumes makes the directories that an image declares as volumes and lacks. Those
// that it has need nothing: all of its files are the instance's to change. Docker, too,
// makes them for root; a path where something else is stays as it is.
func makeVolumes(paths []string) {
	for _, path := range paths {
		if path = strings.Trim(path, "/"); path != "" {
			_ = makeDirs("/" + path) // or it is not there, which the application sees
		}
	}
}

// makeDirs makes a directory and those above it.
func makeDirs(dir string) error {
	for i := 1; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if err := unix.Mkdir(dir[:i], 0o755); err != nil && err != unix.EEXIST {
			return err
		}
	}
	return nil
}

// readBounded returns the contents of a regular file of at most so many bytes.
// The image may have put a pipe there, which must not block the init.
func readBounded(path string, most int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	if st.Size > int64(most) {
		return nil, unix.EFBIG
	}
	var text strings.Builder
	b := make([]byte, 4096)
	for text.Len() <= most {
		n, err := unix.Read(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return []byte(text.String()), err
		}
		text.Write(b[:n])
	}
	return nil, unix.EFBIG
}
