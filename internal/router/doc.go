// Package router takes requests from clients to instances: host name to
// service, service to one of its instances, never more than its release's
// MaxConcurrency on each. Requests that find no free instance wait; those for
// a paused or unknown service are answered at once.
//
// It decides nothing about services: what exists and may take requests is read
// from the store (load.go alone knows it) and lands in an immutable table. It
// starts no instance either: it tells whoever scales that requests wait, and
// says when a release or instance that is to go has nothing in flight.
//
// # Layers
//
// From the wire inwards:
//
//   - guard.go, head.go, chunk.go: what bytes may pass as a request. The guard
//     sits in front of net/http and refuses what that would repair.
//   - handler.go, proxy.go, upload.go, tunnel.go, header.go: one request's way
//     there and back, on net/http.
//   - gate.go: who gets which instance and who waits. No I/O.
//   - table.go, service.go, load.go, drain.go: what the store says.
//   - demand.go, metrics.go, page.go: what others see of it.
//
// net/http costs several times what the rest does, so it is kept to the second
// layer: head.go, chunk.go, gate.go and all below know nothing of it.
package router
