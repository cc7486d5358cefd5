// Package confine runs one program of the host with nothing of the host around it:
// in mount, process, network, IPC and host name namespaces of its own, without
// capabilities, as a user of its own, and with limits on memory, file size, open
// files and processes. It sees the system's programs and libraries read-only and
// the directories that it is given, nothing else. Its network has the loopback
// device and one listener, whose connections the caller accepts.
//
// The program that is confined is started through this program itself ([Main]):
// namespaces are prepared by a process that is already in them. A command that
// calls [Command.Run] must therefore call Main first when [Wanted] says so.
//
// It is no container runtime: it has no image, no cgroup and no system call filter.
// Package git calls it.
package confine
