// Package embedded runs instances in sandboxes of our own making: a driver for
// package runtime that needs nothing but a Linux kernel.
//
// # What an instance is
//
// A sandbox is a process, cmd/slipway-init, that is number 1 in namespaces of
// its own: user, mount, pid, network, ipc, uts and cgroup. It has 65,536 user
// and group ids of the host that no other sandbox has, a cgroup with limits, a
// writable disk of bounded size, and a network of its own. It is made blank,
// ahead of time where possible (type pool), since making it takes longer than
// anything that must wait for the image.
//
// A blank sandbox becomes an instance by being given a root file system (type
// workshop: the image's layers, read-only and mapped to the sandbox's ids,
// under the disk) and an order (package handoff). The init enters the one,
// gives up every privilege that Docker's default withholds, and executes the
// other. Then it stays, outside of the daemon's control and cgroup: it writes
// the application's output to files of bounded size (package ring), buries
// orphans, and records how the application ended.
//
// The pool gives blank sandboxes the root file systems of the images used last
// ahead of time, too (type furniture): the next instance is likely to be of one
// of them.
//
// # What is true
//
// The world is, not a database. Everything about an instance is in the
// directory instances/<id>, in its cgroup and in its processes, so a daemon
// that starts finds all instances of the one before, dead or alive, and whatever
// that one had left half done:
//
//	<dir>/blank/<sandbox>   a sandbox without an instance
//	<dir>/instances/<id>    an instance: spec.json, status, output.0, output.1
//	<dir>/trash/<sandbox>   one that is being removed
//	<dir>/disks             writable layers, see package disk
//	cgroup <slice>/<sandbox>
//
// A sandbox becomes an instance, and an instance becomes trash, by renaming its
// directory: that is the moment in which the one call has not happened or has.
// Cgroups are named for sandboxes, not for instances, because version 2 cannot
// rename them; spec.json has the name. The first process of an instance is the
// one in its cgroup that is number 1 in its pid namespace, so no process id is
// kept anywhere and none can be confused with a later one.
//
// # What it does not do
//
// It knows nothing of services, health or restarts: package fleet decides what
// is to run. It does not fetch or unpack images, and it does not lay networks:
// it declares what it needs of both (Images, Egress).
package embedded
