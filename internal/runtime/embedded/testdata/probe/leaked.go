package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// leaked waits at a socket of this path for two descriptors, of a directory of the host
// and of a socket of the host's network, and for the name of an abstract socket there. It
// tries what it can reach with them, and then what every program may do with its own.
func leaked(args []string) {
	dir, sock, name, err := receiveLeaked(args[0])
	if err != nil {
		say("leak", nil, err)
		return
	}
	at := fmt.Sprintf("/proc/self/fd/%d", dir)
	say("stat beneath", "ok", unix.Fstatat(dir, "secret", new(unix.Stat_t), 0))
	say("read beneath", opened(dir, "secret", unix.O_RDONLY), nil)
	say("read by /proc", opened(unix.AT_FDCWD, at+"/secret", unix.O_RDONLY), nil)
	say("write beneath", opened(dir, "secret", unix.O_WRONLY), nil)
	say("truncate by /proc", "ok", unix.Truncate(at+"/secret", 2))
	say("execute beneath", execute(at+"/program"), nil)
	say("make beneath", opened(dir, "made", unix.O_WRONLY|unix.O_CREAT), nil)
	say("list", opened(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY), nil)
	say("read above", opened(dir, "../../../../../../etc/passwd", unix.O_RDONLY), nil)
	say("remove beneath", "ok", unix.Unlinkat(dir, "removed", 0))
	if err = unix.Fchdir(dir); err == nil {
		say("read from there", opened(unix.AT_FDCWD, "secret", unix.O_RDONLY), nil)
		unix.Chdir("/")
	}
	if err = unix.Fchdir(dir); err == nil {
		err = unix.Chroot(".")
		say("read after chroot", opened(unix.AT_FDCWD, "/secret", unix.O_RDONLY), err)
	}
	say("connect outside", "ok", unix.Connect(sock, &unix.SockaddrUnix{Name: "@" + name}))
}

// own does what every program may do with files, devices, pipes and sockets of its own.
func own([]string) {
	os.MkdirAll("/tmp/a", 0o755)
	os.MkdirAll("/tmp/b", 0o755)
	say("make", "ok", os.WriteFile("/tmp/a/x", []byte("text"), 0o755))
	say("rename across", "ok", os.Rename("/tmp/a/x", "/tmp/b/x"))
	say("link across", "ok", os.Link("/tmp/b/x", "/tmp/a/y"))
	say("rename into an image's directory", "ok", os.Rename("/tmp/a/y", "/home/y"))
	say("truncate", "ok", os.Truncate("/tmp/b/x", 1))
	f, err := os.Open("/tmp/b/x")
	say("remove", "ok", os.Remove("/tmp/b/x"))
	say("reopen what is removed", opened(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY), err)
	fd, err := unix.MemfdCreate("m", 0)
	say("reopen a memfd", opened(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR), err)
	say("reopen stdin", opened(unix.AT_FDCWD, "/proc/self/fd/0", unix.O_RDONLY), nil)
	say("reopen stdout", opened(unix.AT_FDCWD, "/dev/stdout", unix.O_WRONLY), nil)
	say("fifo", "ok", unix.Mkfifo("/tmp/fifo", 0o600))
	say("namespace", opened(unix.AT_FDCWD, "/proc/self/ns/net", unix.O_RDONLY), nil)
	pty, err := unix.Open("/dev/ptmx", unix.O_RDWR, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(pty, unix.TIOCSPTLCK, 0)
	}
	say("terminal", "ok", err)
	say("shared memory", "ok", os.WriteFile("/dev/shm/x", nil, 0o600))
	say("signal 0 to 1", "ok", unix.Kill(1, 0))
	_, err = os.ReadFile("/proc/1/environ")
	say("environ of 1", "ok", err)
	l, err := net.Listen("unix", "@own")
	if err == nil {
		_, err = net.Dial("unix", "@own")
		l.Close()
	}
	say("abstract socket", "ok", err)
}

// receiveLeaked takes what a test sends.
func receiveLeaked(path string) (dir, sock int, name string, err error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, 0, "", err
	}
	fmt.Println("waiting")
	c, err := l.AcceptUnix()
	if err != nil {
		return 0, 0, "", err
	}
	b, oob := make([]byte, 100), make([]byte, unix.CmsgSpace(8))
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, 0, "", err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, 0, "", err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, 0, "", err
	}
	return fds[0], fds[1], string(b[:n]), nil
}

// opened opens a file and says "ok", or why it cannot.
func opened(at int, path string, flags int) string {
	fd, err := unix.Openat(at, path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return unix.ErrnoName(err.(unix.Errno))
	}
	unix.Close(fd)
	return "ok"
}

// execute starts a program and says "ok", or why it cannot.
func execute(path string) string {
	p, err := os.StartProcess(path, []string{path, "print"}, &os.ProcAttr{})
	if err != nil {
		return unix.ErrnoName(err.(*os.PathError).Err.(unix.Errno))
	}
	p.Wait()
	return "ok"
}
