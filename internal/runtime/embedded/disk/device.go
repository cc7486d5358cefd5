package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Device returns the disk on which an open file lies, as the kernel writes it:
// "major:minor". Of a partition it is the whole disk, since cgroups throttle no less. A
// file on a file system without a disk of its own, such as a tmpfs, has "".
func Device(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("find the disk of %s: %w", f.Name(), err)
	}
	if unix.Major(st.Dev) == 0 {
		return "", nil
	}
	return wholeDisk("/sys", st.Dev)
}

// DeviceBeneath is Device for a directory. Where its file system has no number of a disk
// (btrfs), it is the disk that was mounted; of several it is only that one. It fails where
// there is none.
func DeviceBeneath(dir string) (string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if device, err := Device(f); device != "" || err != nil {
		return device, err
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	kind, source := mounted(info, dir)
	var st unix.Stat_t
	if err := unix.Stat(source, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("%s is on a file system (%s, mounted from %q) without a disk that can be throttled", dir, kind, source)
	}
	return wholeDisk("/sys", st.Rdev)
}

// wholeDisk returns a block device, or the disk that it is a partition of.
func wholeDisk(sys string, dev uint64) (string, error) {
	name := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	at := sys + "/dev/block/" + name // a link into the tree of devices
	if _, err := os.Stat(at); err != nil {
		return "", fmt.Errorf("find disk %s: %w", name, err)
	}
	if _, err := os.Stat(at + "/partition"); errors.Is(err, os.ErrNotExist) {
		return name, nil
	}
	b, err := os.ReadFile(at + "/../dev")
	if err != nil {
		return "", fmt.Errorf("find the disk of partition %s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// mounted returns what is mounted at a directory or above it: the type of the file system
// and its source. mountinfo is that of proc_pid_mountinfo(5).
func mounted(mountinfo []byte, dir string) (kind, source string) {
	longest := -1
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if len(head) < 5 || len(tail) < 2 {
			continue
		}
		at := strings.TrimSuffix(head[4], "/")
		// A later mount covers an earlier one.
		if len(at) >= longest && (dir == at || strings.HasPrefix(dir, at+"/")) {
			longest, kind, source = len(at), tail[0], tail[1]
		}
	}
	return kind, source
}
