package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deed mirrors runtimetest.Deed.
type deed struct {
	Do, Path, To string
	Text         []byte
	Mode         uint32
	UID, GID     int
}

// do does it and prints what came of it.
func (d deed) do() {
	switch d.Do {
	case "print":
		os.Stdout.Write(d.Text)
		return
	case "warn":
		os.Stderr.Write(d.Text)
		return
	}
	result, err := d.result()
	if err != nil {
		result = name(err)
	}
	fmt.Printf("%s %s: %s\n", d.Do, d.Path, result)
}

// name returns an error's name, as people know it.
func name(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func (d deed) result() (string, error) {
	const ok = "ok"
	switch d.Do {
	case "write":
		if err := os.WriteFile(d.Path, d.Text, 0o600); err != nil {
			return "", err
		}
		return ok, syscall.Chmod(d.Path, d.Mode)
	case "mkdir":
		if err := os.Mkdir(d.Path, 0o700); err != nil {
			return "", err
		}
		return ok, syscall.Chmod(d.Path, d.Mode)
	case "link":
		return ok, os.Link(d.To, d.Path)
	case "symlink":
		return ok, os.Symlink(d.To, d.Path)
	case "remove":
		return ok, os.RemoveAll(d.Path)
	case "chmod":
		return ok, syscall.Chmod(d.Path, d.Mode)
	case "chown":
		return ok, os.Lchown(d.Path, d.UID, d.GID)
	case "touch":
		at := unix.Timespec{Sec: 1_000_000_000}
		return ok, unix.UtimesNanoAt(unix.AT_FDCWD, d.Path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return d.look()
}

// look does what changes nothing.
func (d deed) look() (string, error) {
	switch d.Do {
	case "read":
		b, err := os.ReadFile(d.Path)
		return fmt.Sprintf("%q", b), err
	case "list":
		list, err := os.ReadDir(d.Path)
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	case "await":
		for {
			if _, err := os.Lstat(d.Path); err == nil {
				return "ok", nil
			}
			time.Sleep(2 * time.Millisecond)
		}
	case "dial":
		c, err := net.DialTimeout("tcp", d.Path, 3*time.Second)
		if err == nil {
			c.Close()
		}
		return "ok", err
	}
	return "", fmt.Errorf("unknown deed %q", d.Do)
}
