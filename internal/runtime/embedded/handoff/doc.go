// Package handoff is what the daemon and the first process of an instance,
// cmd/slipway-init, say to each other: messages over a socket while the
// instance is being made, and a status file that outlives both.
//
// It is linked into the init, of which one runs per instance, so it imports
// next to nothing and allocates little. It does no I/O: callers read and write
// the bytes.
package handoff
