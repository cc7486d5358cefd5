package sandboxinit

import (
	"errors"

	"golang.org/x/sys/unix"
)

// enterProfile has the kernel confine what this thread executes next by a profile of
// AppArmor. "" is none. A kernel without AppArmor refuses.
func enterProfile(name string) error {
	if name == "" {
		return nil
	}
	// The first is AppArmor's own file (Linux 5.8); the second is shared by all such
	// modules.
	fd, err := unix.Open("/proc/thread-self/attr/apparmor/exec", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		fd, err = unix.Open("/proc/thread-self/attr/exec", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("exec "+name))
	return err
}
