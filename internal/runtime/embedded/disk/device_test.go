package disk

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWholeDisk: a partition's disk is the one that it is on. A volume of the device mapper
// is a disk.
func TestWholeDisk(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	for path, text := range map[string]string{
		"devices/nvme0n1/dev": "259:0\n", "devices/nvme0n1/nvme0n1p2/dev": "259:2\n", "devices/nvme0n1/nvme0n1p2/partition": "2\n",
		"devices/dm-1/dev": "252:1\n",
	} {
		path = filepath.Join(sys, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(sys+"/dev/block", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"259:0": "nvme0n1", "259:2": "nvme0n1/nvme0n1p2", "252:1": "dm-1"} {
		if err := os.Symlink("../../devices/"+at, sys+"/dev/block/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		major, minor uint32
		want         string
	}{{259, 0, "259:0"}, {259, 2, "259:0"}, {252, 1, "252:1"}, {8, 1, ""}} {
		got, err := wholeDisk(sys, unix.Mkdev(c.major, c.minor))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("the disk of %d:%d is %q, %v, want %q", c.major, c.minor, got, err, c.want)
		}
	}
}

func TestMounted(t *testing.T) {
	t.Parallel()
	const info = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
		"30 22 0:40 /@data /var/lib rw,noatime shared:9 - btrfs /dev/sdb2 rw\n" +
		"31 30 0:41 / /var/lib/box rw - tmpfs tmpfs rw\n" +
		"32 30 0:42 / /var/lib/box rw - overlay overlay rw\n"
	for dir, want := range map[string][2]string{
		"/": {"ext4", "/dev/sda1"}, "/var/library": {"ext4", "/dev/sda1"}, "/var/lib": {"btrfs", "/dev/sdb2"},
		"/var/lib/slipway": {"btrfs", "/dev/sdb2"}, "/var/lib/box/x": {"overlay", "overlay"},
	} {
		if kind, source := mounted([]byte(info), dir); kind != want[0] || source != want[1] {
			t.Errorf("%s is on %s from %s, want %v", dir, kind, source, want)
		}
	}
}

// TestNoDisk: a file system in memory has no disk, and that is said.
func TestNoDisk(t *testing.T) {
	t.Parallel()
	if device, err := DeviceBeneath("/proc"); device != "" || err == nil {
		t.Errorf("/proc is on disk %q, %v", device, err)
	}
}
