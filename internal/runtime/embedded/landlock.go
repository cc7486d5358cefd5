package embedded

import (
	"golang.org/x/sys/unix"
)

// landlock is what applications are confined to beneath their root directories: rights
// that Landlock handles, and grants there alone, and scopes. The zero value confines
// nothing. See docs/adr/035-layers-behind-the-sandbox.md.
type landlock struct{ access, scopes uint64 }

// landlockRights are the rights on files by the version of the kernel's interface that
// brought them. There is none to connect to sockets by path, which came after Linux 6.18.
var landlockRights = []struct {
	abi    int
	rights uint64
}{
	{1, unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM},
	{2, unix.LANDLOCK_ACCESS_FS_REFER},
	{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
	{5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
}

const (
	// leastLandlock is the first version that is of use: with the one before, no file can
	// be renamed from one directory to another.
	leastLandlock = 2
	// scopedLandlock is the first version with scopes (Linux 6.12).
	scopedLandlock = 6
)

// landlockOf says what a kernel whose Landlock has this version confines applications to.
// Version 0 is a kernel without it.
func landlockOf(abi int) landlock {
	var l landlock
	if abi < leastLandlock {
		return l
	}
	for _, r := range landlockRights {
		if abi >= r.abi {
			l.access |= r.rights
		}
	}
	if abi >= scopedLandlock {
		l.scopes = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return l
}

// landlockABI returns the version of the kernel's Landlock, 0 if it has none or has it
// switched off.
func landlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}
