// Package handoff is the protocol between the daemon and the shim and the init of an
// instance (package sandboxinit): messages over sockets while the instance is
// started, and a status file that outlives all of them. The daemon may be newer than
// the shim of an instance that runs already: bytes that it reads from such a shim
// must not change their meaning.
//
// One shim runs for each instance, so this package imports next to nothing and
// allocates little. It does no I/O: callers read and write the bytes.
package handoff
