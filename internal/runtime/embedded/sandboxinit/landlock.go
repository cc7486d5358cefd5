package sandboxinit

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// confine lets this thread, and all that it executes or starts, open, make, change and
// execute only what is beneath its root directory, with these rights of Landlock
// (LANDLOCK_ACCESS_FS_*), and act only on its own within these scopes (LANDLOCK_SCOPE_*).
// It needs CAP_SYS_ADMIN in the user namespace. It cannot be undone.
//
// The kernel looks where a file is, not how a process came to it: a descriptor of a
// directory outside, or the /proc entry of a process outside, opens nothing.
func confine(access, scopes uint64) error {
	if access == 0 {
		return nil // this kernel has no Landlock, and the daemon has said so
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: access, Scoped: scopes}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if scopes != 0 { // older kernels know only the start of the structure
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	rules, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(root)}
	_, _, errno = unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if _, _, errno = unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// scopesOf returns the scopes of an application's process: none if an init stays that the
// application could not signal. Such an init is one of this process's threads, and the
// kernel looks at its first.
func scopesOf(scopes uint64, initStays bool) uint64 {
	if initStays && unix.Gettid() != unix.Getpid() {
		return scopes &^ unix.LANDLOCK_SCOPE_SIGNAL
	}
	return scopes
}
