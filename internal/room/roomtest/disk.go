// Package roomtest makes small disks for tests of what happens on full ones. It fills none:
// tests do.
package roomtest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk returns a directory on a file system of its own, which ends with the test. options
// are those of tmpfs, such as size=8m. Without root it skips the test.
func Disk(t testing.TB, options string) (dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
