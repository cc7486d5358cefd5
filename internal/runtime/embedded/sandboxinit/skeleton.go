package sandboxinit

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

const (
	// skeletonPath is an empty directory of the sandbox root. An init builds there
	// the root that it waits in.
	skeletonPath = "/stage"

	// rootPath is the directory of the skeleton on which the instance's root file
	// system is mounted.
	rootPath = "/root"
)

const secure = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// buildSkeleton mounts the rootfs skeleton: /proc, /sys and /dev, complete with
// what is masked in them, on a tmpfs that becomes the root. None of it depends on
// the image, so that entering an image only moves the three mounts. The sandbox
// root is gone when it returns.
func buildSkeleton(s *handoff.Skeleton) error {
	// The daemon has moved this process into its cgroups by now: they become
	// the root of its view.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return doing("make a cgroup namespace", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return doing("make mounts private", err)
	}
	if err := mount("tmpfs", skeletonPath, unix.MS_NOSUID, "mode=0755,size=64k"); err != nil {
		return err
	}
	for _, dir := range [...]string{"/proc", "/sys", "/dev", rootPath} {
		if err := unix.Mkdir(skeletonPath+dir, 0o755); err != nil {
			return doing("make "+dir, err)
		}
	}
	if err := skeletonProc(); err != nil {
		return err
	}
	if err := skeletonSys(s.Cgroups); err != nil {
		return err
	}
	if err := skeletonDev(s.Shm); err != nil {
		return err
	}
	if err := mask(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	root, err := unix.Open(skeletonPath, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return doing("open the skeleton", err)
	}
	return enter(root)
}

// mount mounts a file system of a type.
func mount(kind, path string, flags uintptr, options string) error {
	return doing("mount "+kind+" on "+path, unix.Mount(kind, path, kind, flags, options))
}

func skeletonProc() error {
	const proc = skeletonPath + "/proc"
	if err := mount("proc", proc, secure, ""); err != nil {
		return err
	}
	// As in Docker, ports below 1024 and ping need no privilege: the network
	// belongs to the instance.
	groups, err := readBounded(proc+"/self/gid_map", 1<<16)
	if err != nil {
		return doing("read the groups", err)
	}
	for _, s := range [...][2]string{
		{"/sys/net/ipv4/ip_unprivileged_port_start", "0"},
		{"/sys/net/ipv4/ping_group_range", pingGroups(string(groups))},
	} {
		if err := writeFile(proc+s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

func skeletonSys(cgroups []handoff.CgroupMount) error {
	const sys = skeletonPath + "/sys"
	if err := mount("sysfs", sys, secure|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	const dir = sys + "/fs/cgroup"
	if len(cgroups) == 1 && cgroups[0].Name == "" {
		return mount("cgroup2", dir, secure|unix.MS_RDONLY, "")
	}
	if err := mount("tmpfs", dir, secure, "mode=0755,size=64k"); err != nil {
		return err
	}
	for _, c := range cgroups {
		path, kind := dir+"/"+c.Name, "cgroup"
		if c.Options == "" {
			kind = "cgroup2"
		}
		if err := unix.Mkdir(path, 0o755); err != nil {
			return doing("make "+path, err)
		}
		if err := mount(kind, path, secure|unix.MS_RDONLY, c.Options); err != nil {
			return err
		}
		if err := linkControllers(dir, c.Name); err != nil {
			return err
		}
	}
	return readOnly(dir)
}

// linkControllers makes a link for each controller of a hierarchy that has several: for
// cpu,cpuacct the links cpu and cpuacct, where programs look.
func linkControllers(dir, name string) error {
	if !strings.Contains(name, ",") {
		return nil
	}
	for controller := range strings.SplitSeq(name, ",") {
		if err := unix.Symlink(name, dir+"/"+controller); err != nil {
			return doing("make "+dir+"/"+controller, err)
		}
	}
	return nil
}

func skeletonDev(shm uint64) error {
	const dev = skeletonPath + "/dev"
	if err := mount("tmpfs", dev, unix.MS_NOSUID, "mode=0755,size=64m"); err != nil {
		return err
	}
	for _, name := range devices {
		if err := bindDevice(name); err != nil {
			return err
		}
	}
	for _, l := range [...][2]string{
		{"/proc/self/fd", "fd"},
		{"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"},
		{"pts/ptmx", "ptmx"},
	} {
		if err := unix.Symlink(l[0], dev+"/"+l[1]); err != nil {
			return doing("make /dev/"+l[1], err)
		}
	}
	for _, m := range [...]struct{ kind, dir, options string }{
		{"tmpfs", "/shm", "mode=1777,size=" + strconv.FormatUint(shm, 10)},
		{"mqueue", "/mqueue", ""},
		{"devpts", "/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5"},
	} {
		if err := unix.Mkdir(dev+m.dir, 0o755); err != nil {
			return doing("make /dev"+m.dir, err)
		}
		flags := uintptr(secure)
		if m.kind == "devpts" {
			flags &^= unix.MS_NODEV
		}
		if err := mount(m.kind, dev+m.dir, flags, m.options); err != nil {
			return err
		}
	}
	return nil
}

func bindDevice(name string) error {
	path := skeletonPath + "/dev/" + name
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return doing("make "+path, err)
	}
	unix.Close(fd)
	return doing("bind "+path, unix.Mount("/dev/"+name, path, "", unix.MS_BIND, ""))
}

// Paths of /proc and /sys that are hidden or read-only, as in Docker, and more. The kernel
// denies most of them to a user namespace anyway: this guards against its
// mistakes. Everybody may read those of disks.
var (
	hidden = [...]string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
		// The host's disks, and the paths of the files behind its loop devices.
		"/sys/block", "/sys/class/block", "/sys/dev/block", "/sys/devices/virtual/block",
	}
	unwritable = [...]string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// mask hides and write-protects these paths, as far as the kernel has them.
func mask() error {
	for _, path := range hidden {
		if err := hide(skeletonPath + path); err != nil {
			return err
		}
	}
	cpus, err := hideThrottle()
	if err != nil {
		return doing("hide "+cpus, err)
	}
	for _, path := range unwritable {
		path = skeletonPath + path
		err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return doing("bind "+path, err)
		}
		if err := readOnly(path); err != nil {
			return err
		}
	}
	return nil
}

// hide covers a file with /dev/null, a directory with an empty one.
func hide(path string) error {
	err := unix.Mount(skeletonPath+"/dev/null", path, "", unix.MS_BIND, "")
	if err == unix.ENOTDIR {
		err = unix.Mount("tmpfs", path, "tmpfs", secure|unix.MS_RDONLY, "size=0")
	}
	if err == unix.ENOENT {
		return nil
	}
	return doing("hide "+path, err)
}

// hideThrottle covers the counters of thermal throttling: they leak what
// neighbours compute.
func hideThrottle() (path string, err error) {
	for cpu := 0; err == nil; cpu++ {
		path = skeletonPath + "/sys/devices/system/cpu/cpu" + strconv.Itoa(cpu)
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil {
			return "", nil
		}
		err = hide(path + "/thermal_throttle")
	}
	return path, err
}

// readOnly makes a mount read-only.
func readOnly(path string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	return doing("make "+strings.TrimPrefix(path, skeletonPath)+" read-only", unix.MountSetattr(unix.AT_FDCWD, path, 0, &attr))
}

// loopbackUp brings up lo, and with it 127.0.0.1 and ::1.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return doing("make a socket", err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return doing("bring up the loopback", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request))
}
