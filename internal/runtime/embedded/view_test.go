package embedded_test

import (
	"strconv"
	"strings"
	"testing"
)

// expected is what an instance's root file system and surroundings are, entry by entry:
// Docker's, as docs/images.md compares them, but for the entries with a comment.
var expected = map[string]string{
	"stat /": "40755 0:0", "stat /proc": "40555 65534:65534", // the host's root, which is nobody here
	"stat /sys": "40555 65534:65534", // likewise
	"stat /dev": "40755 0:0", "stat /dev/shm": "41777 0:0", "stat /dev/pts": "40755 0:0", "stat /dev/mqueue": "41777 65534:65534",
	"stat /dev/fd": "120777 0:0 -> /proc/self/fd", "stat /dev/stdin": "120777 0:0 -> /proc/self/fd/0",
	"stat /dev/stdout": "120777 0:0 -> /proc/self/fd/1", "stat /dev/stderr": "120777 0:0 -> /proc/self/fd/2",
	"stat /dev/ptmx": "120777 0:0 -> pts/ptmx", "stat /dev/pts/ptmx": "20666 0:0 5:2",
	// Devices are the host's, bound: their owner is nobody here.
	"stat /dev/null": "20666 65534:65534 1:3", "stat /dev/zero": "20666 65534:65534 1:5", "stat /dev/full": "20666 65534:65534 1:7",
	"stat /dev/random": "20666 65534:65534 1:8", "stat /dev/urandom": "20666 65534:65534 1:9", "stat /dev/tty": "20666 65534:65534 5:0",
	"stat /etc/mtab": "120777 0:0 -> /proc/mounts", "stat /etc/hosts": "100644 0:0", "stat /etc/hostname": "100644 0:0", "stat /etc/resolv.conf": "100644 0:0",
	"stat /.dockerenv": "ENOENT", // this is not Docker

	"flags /":     "rw,nodev,relatime", // no device files but those of /dev
	"flags /proc": "rw,nosuid,nodev,noexec,relatime", "flags /sys": "ro,nosuid,nodev,noexec,relatime",
	"flags /dev": "rw,nosuid,relatime", "flags /dev/shm": "rw,nosuid,nodev,noexec,relatime",
	"flags /dev/mqueue": "rw,nosuid,nodev,noexec,relatime", "flags /dev/pts": "rw,nosuid,noexec,relatime",
	"flags /proc/sys": "ro,nosuid,nodev,noexec,relatime", "flags /proc/bus": "ro,nosuid,nodev,noexec,relatime",
	"flags /proc/fs": "ro,nosuid,nodev,noexec,relatime", "flags /proc/irq": "ro,nosuid,nodev,noexec,relatime",

	"/proc/sys/net/ipv4/ip_unprivileged_port_start": `"0\n"`, "/proc/keys": `""`, "/proc/timer_list": `""`, "/proc/interrupts": `""`,
	"core":   "1 1",
	"CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb", "CapAmb": "0000000000000000", "NoNewPrivs": "0", "Seccomp": "2",
	"PATH": defaultPath, "HOME": "/root", "TERM": "(unset)", "dir": "/",
}

func TestExpectedView(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	var stat, read []string
	for name := range expected {
		if path, ok := strings.CutPrefix(name, "stat "); ok {
			stat = append(stat, path)
		} else if strings.HasPrefix(name, "/") {
			read = append(read, name)
		}
	}
	found := s.run(probe("id", "mounts", "limits", "env PATH HOME TERM", "status CapEff CapBnd CapAmb NoNewPrivs Seccomp",
		"stat "+strings.Join(stat, " "), "read "+strings.Join(read, " ")+" /proc/sys/net/ipv4/ping_group_range"))
	for name, want := range expected {
		if found[name] == "ENOENT" && want == `""` {
			continue // this kernel has no such file
		}
		s.expect(found, map[string]string{name: want})
	}
	text, err := strconv.Unquote(found["/proc/sys/net/ipv4/ping_group_range"])
	if f := strings.Fields(text); err != nil || len(f) != 2 || f[0] != "0" || len(f[1]) < 5 {
		t.Errorf("groups that may ping: %q", text)
	}
}
