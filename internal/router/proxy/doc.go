// Package proxy is the engine of the router for HTTP/1: it reads requests from client
// connections, gets leases of instances from package router, and copies requests and
// responses. It owns the pooled connections to instances.
//
// It decides neither where a request goes nor how long it waits, and knows no
// services: package router does. It does not parse: package http1 does. The daemon calls
// it, once for each listener.
//
// From the wire inwards:
//
//   - socket.go: reading and writing, with deadlines that cost nothing while they are met.
//   - proxy.go: the listeners, and their end.
//   - client.go: the connection of a client, from request to request.
//   - exchange.go: one request, from its lookup to its metrics.
//   - upstream.go: the connections to instances, and when one may be used again.
//   - field.go: which fields pass, and which the router sets.
//   - upload.go, respond.go: the body of a request, and the response.
//   - tunnel.go: a connection after a protocol upgrade.
//   - loop.go, loopserve.go: waiting for many connections at once, and what is done meanwhile.
//
// A connection is served by a goroutine of its own until its first request was answered. Then it
// is in a loop, and with a goroutine for each request that takes more than the loop can do. An
// exchange knows how far it has come (stage), so that one goes on where the other has ended.
//
// Without loops, a kept connection is served inside the wait for its next request, so that no read finds
// nothing (clientConn.takeTurn). What is called there must neither read from the client nor
// close its connection, which would wait for itself.
//
// A request allocates nothing unless its body comes after its head. Memory is taken when
// bytes are there and given back when they have been passed on: a connection that waits for
// a client has no buffer, a request that waits for an instance has those of its head.
package proxy
