package faulttest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// request is a call of a thread that waits. What it holds in memory stays as it is
// meanwhile, but for other threads of the process.
type request struct {
	s    *Supervisor
	id   uint64
	pid  int
	nr   int
	args [6]uint64
}

func (r *request) concerns(path string) bool { return r.s.concerns(path) }

// file returns the path of the file that a descriptor is of; "" if it is of none, or the
// file has no name.
func (r *request) file(arg int) string {
	path, err := os.Readlink(r.descriptor(int32(r.args[arg])))
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, " (deleted)") {
		return ""
	}
	return path
}

func (r *request) descriptor(fd int32) string { return fmt.Sprintf("/proc/%d/fd/%d", r.pid, fd) }

// at returns the path that a directory's descriptor and a text name.
func (r *request) at(dir, text int) string {
	path := r.text(r.args[text])
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	if fd := int32(r.args[dir]); fd != unix.AT_FDCWD {
		base, err := os.Readlink(r.descriptor(fd))
		if err != nil || path == "" {
			return base
		}
		return filepath.Join(base, path)
	}
	return r.below(path)
}

// path returns the path that a text names.
func (r *request) path(text int) string {
	path := r.text(r.args[text])
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return r.below(path)
}

func (r *request) below(path string) string {
	base, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.pid))
	if err != nil {
		return ""
	}
	return filepath.Join(base, path)
}

// text reads a text that ends with a zero byte.
func (r *request) text(address uint64) string {
	var text []byte
	for len(text) < unix.PathMax {
		b := r.memory(address, 256-address%256) // never beyond a page, which may be the last one
		for i, c := range b {
			if c == 0 {
				return string(append(text, b[:i]...))
			}
		}
		if len(b) == 0 {
			break
		}
		text, address = append(text, b...), address+uint64(len(b))
	}
	return string(text)
}

// memory reads from the memory of the process what can be read.
func (r *request) memory(address, size uint64) []byte {
	b := make([]byte, size)
	got := 0
	for got < len(b) {
		n, err := unix.ProcessVMReadv(r.pid,
			[]unix.Iovec{{Base: &b[got], Len: uint64(len(b) - got)}},
			[]unix.RemoteIovec{{Base: uintptr(address) + uintptr(got), Len: len(b) - got}}, 0)
		if err != nil || n <= 0 {
			break
		}
		got += n
	}
	return b[:got]
}

// position returns where a write to the first argument's file begins: offset, unless that
// is negative.
func (r *request) position(offset int64) int64 {
	if offset >= 0 {
		return offset
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo/%d", r.pid, int32(r.args[0])))
	if err != nil {
		return 0
	}
	defer f.Close()
	var at, flags int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimSpace(value); name {
		case "pos":
			at, _ = strconv.ParseInt(value, 10, 64)
		case "flags":
			flags, _ = strconv.ParseInt(value, 8, 64)
		}
	}
	if flags&unix.O_APPEND != 0 {
		return atEnd
	}
	return at
}

// atEnd is the offset of what is appended.
const atEnd = -1
