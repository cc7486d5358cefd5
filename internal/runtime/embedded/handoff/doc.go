// Package handoff is the protocol between the daemon and the init of an instance
// (package sandboxinit): messages over a socket while the instance is started,
// and a status file that outlives both. The daemon may be newer than the init of
// an instance that runs already: bytes that it reads from such an init must not
// change their meaning.
//
// One init runs for each instance, so this package imports next to nothing and
// allocates little. It does no I/O: callers read and write the bytes.
package handoff
