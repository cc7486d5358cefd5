package sandboxinit

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// libraries are the loader and the shared libraries of this program. slipway-init
// is static and has none. A slipway that was built with cgo and serves as its own
// init has them, and inits start in the sandbox root: so that must hold them.
type libraries struct {
	loader string   // path of the loader; "" for a static program
	dirs   []string // directories of the libraries
}

// findLibraries returns the libraries that this process has loaded. It works
// while the host's root is still there.
func findLibraries() (*libraries, error) {
	loader, err := findLoader("/proc/self/exe")
	if err != nil || loader == "" {
		return &libraries{}, err
	}
	const most = 4 << 20
	maps, err := readBounded("/proc/self/maps", most)
	if err != nil {
		return nil, doing("read /proc/self/maps", err)
	}
	program, err := linkTarget("/proc/self/exe")
	if err != nil {
		return nil, doing("read /proc/self/exe", err)
	}
	return &libraries{loader: loader, dirs: mappedDirs(string(maps), program)}, nil
}

// mappedDirs returns the directories of the files in a /proc/<pid>/maps, except
// that of the program itself.
func mappedDirs(maps, program string) (dirs []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(maps) {
		at := strings.IndexByte(line, '/')
		if at < 0 {
			continue
		}
		path := strings.TrimSuffix(line[at:], "\n")
		if path == program || !strings.Contains(path, ".so") {
			continue
		}
		dir := path[:strings.LastIndexByte(path, '/')]
		if dir != "" && !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Offsets in the headers of a 64-bit little-endian ELF file, see elf(5).
const (
	elfHeaderSize    = 64
	elfPhoff         = 32
	elfPhentsize     = 54
	elfPhnum         = 56
	elfSegmentSize   = 56
	elfSegmentOffset = 8
	elfSegmentLength = 32
	elfInterpreter   = 3 // PT_INTERP
)

// findLoader returns the path of the loader that an ELF program names, "" if it
// is static.
func findLoader(program string) (string, error) {
	fd, err := unix.Open(program, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", doing("open the program", err)
	}
	defer unix.Close(fd)
	head := make([]byte, elfHeaderSize)
	if n, err := unix.Pread(fd, head, 0); err != nil || n < len(head) {
		return "", doing("read the program", orNoExec(err))
	}
	at := int64(binary.LittleEndian.Uint64(head[elfPhoff:]))
	step := int64(binary.LittleEndian.Uint16(head[elfPhentsize:]))
	segment := make([]byte, elfSegmentSize)
	for range binary.LittleEndian.Uint16(head[elfPhnum:]) {
		if n, err := unix.Pread(fd, segment, at); err != nil || n < len(segment) {
			return "", doing("read the program", orNoExec(err))
		}
		at += step
		if binary.LittleEndian.Uint32(segment) != elfInterpreter {
			continue
		}
		name := make([]byte, min(binary.LittleEndian.Uint64(segment[elfSegmentLength:]), unix.PathMax))
		n, err := unix.Pread(fd, name, int64(binary.LittleEndian.Uint64(segment[elfSegmentOffset:])))
		if err != nil || n < len(name) {
			return "", doing("read the program", orNoExec(err))
		}
		return strings.TrimRight(string(name), "\x00"), nil
	}
	return "", nil
}

// orNoExec is the error of a read that got too little.
func orNoExec(err error) error {
	if err == nil {
		return unix.ENOEXEC
	}
	return err
}

func linkTarget(path string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlink(path, b)
	return string(b[:max(n, 0)]), err
}

// bind binds the loader and the libraries' directories into the sandbox root, at
// the paths that they have on the host.
func (l *libraries) bind(sandboxRoot int) error {
	for _, dir := range l.dirs {
		if err := makeDirsAt(sandboxRoot, dir); err != nil {
			return doing("make "+dir, err)
		}
		if err := bind(dir, sandboxRoot, dir[1:]); err != nil {
			return err
		}
	}
	if l.loader == "" {
		return nil
	}
	if err := makeDirsAt(sandboxRoot, l.loader[:strings.LastIndexByte(l.loader, '/')]); err != nil {
		return doing("make the directory of "+l.loader, err)
	}
	// The directory of a library may have brought the loader along.
	fd, err := unix.Openat(sandboxRoot, l.loader[1:], unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o444)
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return doing("make "+l.loader, err)
	}
	unix.Close(fd)
	return bind(l.loader, sandboxRoot, l.loader[1:])
}

// makeDirsAt makes an absolute path's directories below a directory.
func makeDirsAt(root int, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := unix.Mkdirat(root, path[1:i], 0o755); err != nil && err != unix.EEXIST {
			return err
		}
	}
	return nil
}

// env adds to an environment where the libraries are.
func (l *libraries) env(env []string) []string {
	if len(l.dirs) == 0 {
		return env
	}
	return append(env[:len(env):len(env)], "LD_LIBRARY_PATH="+strings.Join(l.dirs, ":"))
}
