package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostFiles looks for the file ?path= of the host on every way that leads out
// of a badly made root file system.
func hostFiles(q url.Values) outcome {
	path := q.Get("path")
	ways := []string{path, "/.." + path, strings.Repeat("/..", 20) + path, "/proc/1/root" + path, "/proc/1/cwd/../../../../../.." + path, "/proc/self/root/../.." + path, "/proc/1/task/1/root" + path}
	procs, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, p := range procs {
		ways = append(ways, p+path)
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		ways = append(ways, fd+path, fd+"/../../../../../../.."+path)
	}
	for _, way := range ways {
		if b, err := os.ReadFile(way); err == nil {
			return broken("read %s: %.40q", way, b)
		}
	}
	if o := chrootEscape(path); !o.Held {
		return o
	}
	return held("%d ways", len(ways))
}

// chrootEscape is the classic: a second chroot below an open directory leaves
// the first one's hold.
func chrootEscape(path string) outcome {
	dir, err := os.MkdirTemp("/tmp", "")
	if err != nil {
		return held("no directory to go through: %v", err)
	}
	defer os.Remove(dir)
	out, err := os.Open("/")
	if err != nil {
		return held("%v", err)
	}
	defer out.Close()
	if err := syscall.Chroot(dir); err != nil {
		return held("chroot: %v", err)
	}
	defer func() {
		out.Chdir()
		syscall.Chroot(".")
	}()
	out.Chdir()
	for range 40 {
		os.Chdir("..")
	}
	if b, err := os.ReadFile("." + path); err == nil {
		return broken("read the host's file after a second chroot: %.40q", b)
	}
	return held("a second chroot leads nowhere")
}

// openByHandle opens inode 2, the root of the host's file system, by a handle
// made up for it.
func openByHandle(url.Values) outcome {
	var out []outcome
	for _, at := range []string{"/", "/proc", "/dev", "/etc/resolv.conf", "/etc/hosts"} {
		mount, err := unix.Open(at, unix.O_RDONLY, 0)
		if err != nil {
			continue
		}
		handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
		fd, err := unix.OpenByHandleAt(mount, handle, unix.O_RDONLY)
		unix.Close(mount)
		if err == nil {
			unix.Close(fd)
		}
		out = append(out, refused("open_by_handle_at "+at, err))
	}
	return all(out...)
}

func mount(url.Values) outcome {
	try := func(what, source, target, kind string, flags uintptr) outcome {
		err := unix.Mount(source, target, kind, flags, "")
		if err == nil {
			unix.Unmount(target, unix.MNT_DETACH)
		}
		return refused(what, err)
	}
	out := []outcome{
		try("mount proc", "proc", "/tmp", "proc", 0),
		try("mount sysfs", "sysfs", "/tmp", "sysfs", 0),
		try("mount tmpfs", "tmpfs", "/tmp", "tmpfs", 0),
		try("mount cgroup", "cgroup", "/tmp", "cgroup2", 0),
		try("bind /", "/", "/tmp", "", unix.MS_BIND|unix.MS_REC),
		refused("remount /proc/sys for writing", unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, "")),
		refused("remount / shared", unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, "")),
		refused("pivot_root", unix.PivotRoot("/tmp", "/tmp")),
	}
	for _, masked := range []string{"/proc/kcore", "/proc/sys", "/sys/firmware", "/proc"} {
		out = append(out, refused("unmount "+masked, unix.Unmount(masked, unix.MNT_DETACH)))
	}
	fs, _ := unix.BytePtrFromString("tmpfs")
	_, _, errno := unix.Syscall(unix.SYS_FSOPEN, uintptr(unsafe.Pointer(fs)), 0, 0)
	out = append(out, refused("fsopen", number(errno)))
	slash, _ := unix.BytePtrFromString("/")
	_, _, errno = unix.Syscall(unix.SYS_OPEN_TREE, 0, uintptr(unsafe.Pointer(slash)), unix.OPEN_TREE_CLONE)
	return all(append(out, refused("open_tree", number(errno)))...)
}

// number turns a raw call's result into an error, nil for success.
func number(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// sysctl opens for writing what steers the kernel. It writes nothing.
func sysctl(url.Values) outcome {
	paths := []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname", "/proc/sys/kernel/randomize_va_space",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/fs/binfmt_misc/register",
		"/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
		"/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state", "/sys/class/net/lo/mtu",
	}
	out := []outcome{held("%d paths", len(paths))}
	for _, p := range paths {
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			f.Close()
			out = append(out, broken("%s opens for writing", p))
		}
	}
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware/dmi/tables/DMI", "/proc/acpi/wakeup"} {
		if b, err := read(p, 16); err == nil && len(b) > 0 {
			out = append(out, broken("%s can be read: %q", p, b))
		}
	}
	return all(out...)
}

func read(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	n, err = f.Read(b)
	return b[:n], err
}

// cgroup looks for files below /sys/fs/cgroup, or ?root=, that would lift the
// limits, or run a program of its choice as the host's root.
func cgroup(q url.Values) outcome {
	root := q.Get("root")
	if root == "" {
		root = "/sys/fs/cgroup"
	}
	out := []outcome{held("nothing below /sys/fs/cgroup can be written")}
	filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if err := os.Mkdir(filepath.Join(path, "escape"), 0o755); err == nil {
				os.Remove(filepath.Join(path, "escape"))
				out = append(out, broken("made a cgroup in %s", path))
			}
			return nil
		}
		switch d.Name() {
		case "release_agent", "notify_on_release", "memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cgroup.procs", "cgroup.subtree_control", "devices.allow":
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				f.Close()
				out = append(out, broken("%s opens for writing", path))
			}
		}
		return nil
	})
	return all(out...)
}

// devices makes and opens device nodes: the disks and the memory of the host.
func devices(url.Values) outcome {
	out := []outcome{}
	for _, d := range []struct {
		name         string
		mode         uint32
		major, minor uint32
	}{
		{"block 254:0", unix.S_IFBLK, 254, 0},
		{"block 8:0", unix.S_IFBLK, 8, 0},
		{"mem 1:1", unix.S_IFCHR, 1, 1},
		{"kmsg 1:11", unix.S_IFCHR, 1, 11},
		{"fuse 10:229", unix.S_IFCHR, 10, 229},
		{"tun 10:200", unix.S_IFCHR, 10, 200},
	} {
		for _, dir := range []string{"/tmp", "/dev", "/dev/shm"} {
			out = append(out, device(d.name, filepath.Join(dir, "node"), d.mode, unix.Mkdev(d.major, d.minor)))
		}
	}
	entries, _ := os.ReadDir("/dev")
	known := "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
	for _, e := range entries {
		if !strings.Contains(" "+known+" ", " "+e.Name()+" ") {
			out = append(out, broken("/dev/%s is there", e.Name()))
		}
	}
	return all(out...)
}

// device makes a node and, where that succeeds, opens it: a node that can't be
// opened is harmless.
func device(name, path string, mode uint32, dev uint64) outcome {
	if err := unix.Mknod(path, mode|0o600, int(dev)); err != nil {
		return held("mknod %s: %v", name, err)
	}
	defer os.Remove(path)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return refused("open "+name, err)
}

// disk writes until it is refused, at most ?bound= bytes, and cleans up. It
// holds when it was refused for want of space.
func disk(q url.Values) outcome { return fill("/tmp/filler", q) }

// shm is disk for the shared memory file system, which is memory.
func shm(q url.Values) outcome { return fill("/dev/shm/filler", q) }

func fill(path string, q url.Values) outcome {
	var bound int64
	if _, err := fmt.Sscan(q.Get("bound"), &bound); err != nil {
		return broken("bound: %v", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return broken("%v", err)
	}
	defer os.Remove(path)
	defer f.Close()
	block := bytes.Repeat([]byte("slipway "), 1<<17) // 1 MiB
	for n := int64(0); n < bound; n += int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			return held("%s after %d MiB: %v", path, n>>20, err)
		}
	}
	return broken("%s took %d MiB", path, bound>>20)
}

// flood prints ?bound= bytes to the output that the host keeps. It holds in
// itself; what the host kept is for the test to see.
func flood(q url.Values) outcome {
	var bound int64
	if _, err := fmt.Sscan(q.Get("bound"), &bound); err != nil {
		return broken("bound: %v", err)
	}
	line := append(bytes.Repeat([]byte("flood "), 4096), '\n')
	for n := int64(0); n < bound; n += int64(len(line)) {
		if _, err := os.Stdout.Write(line); err != nil {
			return held("refused after %d MiB: %v", n>>20, err)
		}
	}
	return held("printed %d MiB", bound>>20)
}

// lines prints empty lines for ?seconds=, and tells how many the pipe took. It holds in
// itself, as flood does.
func lines(q url.Values) outcome {
	var seconds int
	if _, err := fmt.Sscan(q.Get("seconds"), &seconds); err != nil {
		return broken("seconds: %v", err)
	}
	empty := bytes.Repeat([]byte("\n"), 64<<10)
	n := 0
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); n += len(empty) {
		if _, err := os.Stdout.Write(empty); err != nil {
			return held("refused after %d lines: %v", n, err)
		}
	}
	return held("%d lines", n)
}
