package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// images keeps disks as ext4 file systems in files without a name.
type images struct {
	dir string

	mu        sync.Mutex // guards templates, also while one is made
	templates map[int64]template
}

// template is a new file system: its blocks that are not zero.
type template []extent

type extent struct {
	offset int64
	data   []byte
}

// blockSize is that of the file systems, and of the loop devices below them.
const blockSize = 4096

func (*images) kind() Kind { return Image }

func (m *images) make(ctx context.Context, _ string, size int64) (*os.File, error) {
	t, err := m.template(ctx, size)
	if err != nil {
		return nil, err
	}
	file, err := unnamed(m.dir)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := t.write(int(file.Fd()), size); err != nil {
		return nil, fmt.Errorf("write a file system: %w", err)
	}
	loop, path, err := attach(int(file.Fd()))
	if err != nil {
		return nil, fmt.Errorf("attach a loop device: %w", err)
	}
	// The mount keeps the device; the device keeps the file.
	defer unix.Close(loop)
	return mount("ext4", map[string]string{"source": path, "noinit_itable": "", "nobarrier": ""})
}

// unnamed makes a file without a name. It is gone, and its space free, once all
// descriptors of it are closed.
func unnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file without a name in %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// template returns the template for a size, made on first use.
func (m *images) template(ctx context.Context, size int64) (template, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.templates[size]; ok {
		return t, nil
	}
	t, err := makeTemplate(ctx, m.dir, size)
	if err != nil {
		return nil, err
	}
	if m.templates == nil {
		m.templates = map[int64]template{}
	}
	m.templates[size] = t
	return t, nil
}

// features are named one by one, so that they do not depend on the machine's
// defaults. There is no journal: nothing here is read after a crash.
const features = "none,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,large_file,metadata_csum,sparse_super,64bit"

func makeTemplate(ctx context.Context, dir string, size int64) (template, error) {
	mkfs, err := findMkfs()
	if err != nil {
		return nil, err
	}
	f, err := unnamed(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, mkfs, "-q", "-F", "-O", features, "-b", strconv.Itoa(blockSize), "-i", "16384", "-I", "256",
		"-m", "0", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "/proc/self/fd/3")
	cmd.Env = []string{"LC_ALL=C"}
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, bytes.TrimSpace(out))
	}
	return readTemplate(int(f.Fd()))
}

// findMkfs looks where administrators' programs are, which may not be in the
// daemon's PATH.
func findMkfs() (string, error) {
	for _, name := range []string{"mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("mkfs.ext4 is not installed (package e2fsprogs)")
}

// readTemplate reads all blocks that are not zero.
func readTemplate(fd int) (template, error) {
	var t template
	b := make([]byte, blockSize)
	zero := make([]byte, blockSize)
	for at := int64(0); ; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		for at = data / blockSize * blockSize; at < hole; at += blockSize {
			n, err := unix.Pread(fd, b, at)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(b[:n], zero[:n]) {
				t = t.add(at, b[:n])
			}
		}
	}
}

// add appends a block, to the last extent if it follows it.
func (t template) add(at int64, block []byte) template {
	if n := len(t); n > 0 && t[n-1].offset+int64(len(t[n-1].data)) == at {
		t[n-1].data = append(t[n-1].data, block...)
		return t
	}
	return append(t, extent{at, bytes.Clone(block)})
}

func (t template) write(fd int, size int64) error {
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	for _, e := range t {
		n, err := unix.Pwrite(fd, e.data, e.offset)
		if err != nil {
			return err
		}
		if n < len(e.data) {
			return unix.ENOSPC
		}
	}
	return nil
}

// attach puts a loop device before a file. The device lets go of the file when
// its last user does.
func attach(file int) (fd int, path string, err error) {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open /dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	const tries = 100 // another process may take the free device first
	for range tries {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return -1, "", fmt.Errorf("find a free loop device: %w", err)
		}
		path = "/dev/loop" + strconv.Itoa(number)
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, "", fmt.Errorf("open %s: %w", path, err)
		}
		// Direct: otherwise every page would be cached twice.
		config := unix.LoopConfig{Fd: uint32(file), Size: blockSize}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.LOOP_CONFIGURE, uintptr(unsafe.Pointer(&config)))
		if errno == 0 {
			return fd, path, nil
		}
		unix.Close(fd)
		if errno != unix.EBUSY {
			return -1, "", fmt.Errorf("configure %s: %w", path, errno)
		}
	}
	return -1, "", errors.New("every free loop device was taken by others")
}
