// Package takeover lets one server process take over from another without losing a
// request: it is the socket in the data directory at which the running server (the
// elder) meets the next one (the heir), the messages between them, and the passing of
// file descriptors.
//
// It does not know what a server is: package daemon says which sockets are passed, and
// when each side goes on. ADR 038 has the whole sequence and its reasons.
//
// A message is one packet of a SOCK_SEQPACKET socket: a JSON header, a line feed, and
// bytes that follow it. At most one descriptor comes with a message.
package takeover
