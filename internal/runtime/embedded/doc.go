// Package embedded runs instances in sandboxes of our own making: a driver for
// package runtime that needs nothing but a Linux kernel.
//
// # What an instance is
//
// A sandbox is a process, the init (package sandboxinit), in namespaces of its
// own: user, mount, pid, network, ipc, uts and cgroup. It has 65,536 user and
// group ids of the host that no other sandbox has, a cgroup with limits, a
// writable disk of bounded size, and a network of its own. Its parent, the shim, is
// in the same cgroup and in none of these namespaces. A sandbox is made blank,
// where possible ahead of time (type pool): making it takes longer than all that
// has to wait for the image.
//
// A blank sandbox becomes an instance when it gets a root file system (type
// rootfs: the image's layers, read-only and mapped to the sandbox's ids, under the
// disk; type mountNamespace assembles it) and an order (package handoff). The init
// enters the root file system, drops every privilege that Docker's default
// withholds, and executes the order: it becomes the application, process 1 of the
// instance. The shim then needs neither the daemon nor the daemon's cgroup: it writes
// the application's output to files of bounded size (package ring), and records how
// the application ended. The application cannot see or signal it.
//
// The pool also prepares blank sandboxes with the root file systems of the most
// recently used images: the next instance likely has one of these.
//
// # State
//
// There is no database: the machine itself holds the state. Everything about an
// instance is in the directory instances/<id>, in its cgroup and in its processes.
// A daemon that starts finds there all instances of the previous one, dead or
// alive, and whatever that one left half done:
//
//	<dir>/blank/<sandbox>   a sandbox without an instance
//	<dir>/instances/<id>    an instance: spec.json and its copy, status, output.0, output.1
//	<dir>/trash/<sandbox>   one that is being removed
//	<dir>/disks             writable layers, see package disk
//	cgroup <slice>/<sandbox>
//
// A rename of its directory makes a sandbox an instance, and an instance trash: it
// is the commit of Ensure and of Remove. Cgroups have the names of sandboxes, not
// of instances, because version 2 cannot rename a cgroup; spec.json holds the
// name. The shim of an instance is the process of its cgroup that has id 1 in the pid
// namespace below the daemon's, so no process id is stored and none can be confused
// with a later one. (The application's own pid namespace is one further below.)
//
// What somebody else removes of that, and of an instance's network, comes back, or the
// instance ends with the reason (mend.go).
//
// # What it does not do
//
// It knows nothing of services, health or restarts: package fleet decides what
// is to run. It neither fetches nor unpacks images, and it makes no networks: it
// declares the interfaces that it needs for both (Images, Egress).
package embedded
