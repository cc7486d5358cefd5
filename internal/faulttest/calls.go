package faulttest

import "golang.org/x/sys/unix"

// Kind says what a call does.
type Kind int

// The kinds of calls.
const (
	Open       Kind = iota // opens a file that exists, or lists a directory
	Create                 // opens a file that may have to be made or emptied
	Write                  // writes bytes at an offset
	Resize                 // sets a file's size, or allocates
	Sync                   // writes a file or a directory to disk
	SyncAll                // writes the whole file system to disk
	Rename                 // gives a name to another file
	Remove                 // removes a name of a file
	Rmdir                  // removes a directory
	Mkdir                  // makes a directory
	Link                   // gives a file another name
	Symlink                // makes a symbolic link
	Node                   // makes a device, a pipe or a socket
	Descriptor             // makes a descriptor of something that is no file
	Map                    // maps a file into memory that is shared
	Copy                   // copies between descriptors inside the kernel
)

// Call is a call that a process is about to make.
type Call struct {
	PID    int // of the thread
	Kind   Kind
	Name   string // of the system call
	Path   string // what it is about; of a Link or Rename the old name
	To     string // the new name
	Flags  int    // of Create and Resize
	Offset int64
	Size   int64 // of Resize
	Data   []byte
}

// call says how the arguments of a system call are read.
type call struct {
	nr   int
	name string
	kind Kind
	read func(*request) Call
}

// calls are the system calls that the filter reports, on every architecture.
var calls = append([]call{
	{unix.SYS_OPENAT, "openat", Open, func(r *request) Call { return r.open(r.at(0, 1), int(r.args[2])) }},
	{unix.SYS_WRITE, "write", Write, func(r *request) Call { return r.write(r.args[1], r.args[2], -1) }},
	{unix.SYS_PWRITE64, "pwrite64", Write, func(r *request) Call { return r.write(r.args[1], r.args[2], int64(r.args[3])) }},
	{unix.SYS_WRITEV, "writev", Write, func(r *request) Call { return r.writev(-1) }},
	{unix.SYS_PWRITEV, "pwritev", Write, func(r *request) Call { return r.writev(int64(r.args[3])) }},
	{unix.SYS_FTRUNCATE, "ftruncate", Resize, func(r *request) Call { return Call{Path: r.file(0), Size: int64(r.args[1])} }},
	{unix.SYS_FALLOCATE, "fallocate", Resize, (*request).allocate},
	{unix.SYS_FSYNC, "fsync", Sync, func(r *request) Call { return Call{Path: r.file(0)} }},
	{unix.SYS_FDATASYNC, "fdatasync", Sync, func(r *request) Call { return Call{Path: r.file(0)} }},
	{unix.SYS_SYNCFS, "syncfs", SyncAll, func(r *request) Call { return Call{Path: r.file(0)} }},
	{unix.SYS_RENAMEAT, "renameat", Rename, func(r *request) Call { return Call{Path: r.at(0, 1), To: r.at(2, 3)} }},
	{unix.SYS_RENAMEAT2, "renameat2", Rename, func(r *request) Call { return Call{Path: r.at(0, 1), To: r.at(2, 3), Flags: int(r.args[4])} }},
	{unix.SYS_UNLINKAT, "unlinkat", Remove, (*request).remove},
	{unix.SYS_MKDIRAT, "mkdirat", Mkdir, func(r *request) Call { return Call{Path: r.at(0, 1)} }},
	{unix.SYS_LINKAT, "linkat", Link, func(r *request) Call { return Call{Path: r.at(0, 1), To: r.at(2, 3)} }},
	{unix.SYS_SYMLINKAT, "symlinkat", Symlink, func(r *request) Call { return Call{Path: r.at(1, 2), To: r.text(r.args[0])} }},
	{unix.SYS_MKNODAT, "mknodat", Node, func(r *request) Call { return Call{Path: r.at(0, 1)} }},
	{unix.SYS_COPY_FILE_RANGE, "copy_file_range", Copy, func(r *request) Call { return Call{Path: r.file(2)} }},
	{unix.SYS_SENDFILE, "sendfile", Copy, func(r *request) Call { return Call{Path: r.file(0)} }},
	{unix.SYS_MMAP, "mmap", Map, func(r *request) Call { return Call{Path: r.file(4), Flags: int(r.args[2])} }},
	{unix.SYS_SOCKET, "socket", Descriptor, nil},
	{unix.SYS_ACCEPT4, "accept4", Descriptor, nil},
	{unix.SYS_PIPE2, "pipe2", Descriptor, nil},
	{unix.SYS_DUP3, "dup3", Descriptor, nil},
	{unix.SYS_EPOLL_CREATE1, "epoll_create1", Descriptor, nil},
}, older...)

// open tells whether a file is to be made.
func (r *request) open(path string, flags int) Call {
	c := Call{Path: path, Flags: flags}
	if flags&(unix.O_CREAT|unix.O_TRUNC) != 0 {
		c.Kind = Create
	}
	return c
}

func (r *request) remove() Call {
	c := Call{Path: r.at(0, 1)}
	if r.args[2]&unix.AT_REMOVEDIR != 0 {
		c.Kind = Rmdir
	}
	return c
}

func (r *request) allocate() Call {
	return Call{Path: r.file(0), Flags: int(r.args[1]), Offset: int64(r.args[2]), Size: int64(r.args[2] + r.args[3])}
}

// write reads the bytes of a write to a file. offset is -1 at the file's position.
func (r *request) write(address, size uint64, offset int64) Call {
	c := Call{Path: r.file(0)}
	if r.concerns(c.Path) {
		c.Offset, c.Data = r.position(offset), r.memory(address, size)
	}
	return c
}

func (r *request) writev(offset int64) Call {
	c := Call{Path: r.file(0)}
	if !r.concerns(c.Path) {
		return c
	}
	c.Offset = r.position(offset)
	list := r.memory(r.args[1], 16*r.args[2])
	for ; len(list) >= 16; list = list[16:] {
		c.Data = append(c.Data, r.memory(native.Uint64(list), native.Uint64(list[8:]))...)
	}
	return c
}
