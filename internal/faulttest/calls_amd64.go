package faulttest

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_X86_64

// older are the calls that only this architecture has.
var older = []call{
	{unix.SYS_OPEN, "open", Open, func(r *request) Call { return r.open(r.path(0), int(r.args[1])) }},
	{unix.SYS_RENAME, "rename", Rename, func(r *request) Call { return Call{Path: r.path(0), To: r.path(1)} }},
	{unix.SYS_UNLINK, "unlink", Remove, func(r *request) Call { return Call{Path: r.path(0)} }},
	{unix.SYS_RMDIR, "rmdir", Rmdir, func(r *request) Call { return Call{Path: r.path(0)} }},
	{unix.SYS_MKDIR, "mkdir", Mkdir, func(r *request) Call { return Call{Path: r.path(0)} }},
	{unix.SYS_LINK, "link", Link, func(r *request) Call { return Call{Path: r.path(0), To: r.path(1)} }},
	{unix.SYS_SYMLINK, "symlink", Symlink, func(r *request) Call { return Call{Path: r.path(1), To: r.text(r.args[0])} }},
	{unix.SYS_MKNOD, "mknod", Node, func(r *request) Call { return Call{Path: r.path(0)} }},
}
