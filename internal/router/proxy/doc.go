// Package proxy is the engine of the router on net/http: it reads requests from
// client connections, gets leases of instances from package router, and copies
// requests and responses. It owns the pooled connections to instances.
//
// It decides neither where a request goes nor how long it waits, and knows no
// services: package router does. The daemon calls it, once for each listener.
//
// From the wire inwards:
//
//   - guard.go: which bytes may pass as a request. The guard sits in front of
//     net/http and refuses what net/http would repair. It uses package http1.
//   - exchange.go: one request, from its lookup to its metrics.
//   - forward.go, upload.go, tunnel.go, header.go: the attempts to send the
//     request to an instance, its body, a connection after a protocol upgrade,
//     and the headers.
//
// net/http costs several times what the rest of the router does. A faster engine
// may take the place of this package without a change to package router.
package proxy
