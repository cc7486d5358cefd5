// Package router proxies requests from clients to instances. It looks up the
// service by host name and picks an instance, without exceeding MaxConcurrency
// of the service's release on any instance. Requests that find no free slot
// wait. Requests for a paused or unknown service are answered at once.
//
// The router decides nothing about services. Only load.go reads the store; it
// builds an immutable table of the services and of the instances that may take
// requests. The router starts no instances either: it calls OnWait when a
// request waits, and reports to the store when a release or instance that must
// drain has nothing in flight.
//
// # Layers
//
// From the wire inwards:
//
//   - guard.go, head.go, chunk.go: which bytes may pass as a request. The guard
//     sits in front of net/http and refuses what net/http would repair.
//   - handler.go, proxy.go, upload.go, tunnel.go, header.go: one request and its
//     response, on net/http.
//   - gate.go: which request gets which instance, and which waits. No I/O.
//   - table.go, service.go, load.go: what the store says.
//   - demand.go, metrics.go, page.go: what others see of it.
//
// Of the first layer guard.go, and of the others the second, use net/http;
// head.go uses only its names of statuses.
package router
