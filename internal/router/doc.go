// Package router admits requests to instances. It looks up the service by host
// name and picks an instance, without exceeding MaxConcurrency of the service's
// release on any instance. Requests that find no free slot wait. Requests for a
// paused or unknown service are refused at once, with a page.
//
// It does not read or write HTTP: engines do, such as package router/proxy. Nor
// does it decide anything about services: what exists and may take requests comes
// from the store. It starts no instances either. It calls OnWait when a request
// waits, and reports to the store when a release or instance that must drain has
// nothing in flight. The daemon runs it.
//
// # Three rooms
//
//   - router: tables, gates, demand, metrics and pages. No net/http.
//   - router/http1: the framing of HTTP/1 on bytes. No I/O and no net/http.
//   - router/proxy: the engine for HTTP/1.
//
// An engine calls [Router.Find] for the key of a request and [Service.Admit] for
// each attempt, sends the request to the Target of the lease, and calls
// [Lease.Release]. It owns the connections to targets; [Pool.Retire] says which are
// of no use now, and [Pool.Leave] which must drain.
//
// # Files
//
//   - admit.go, listener.go, page.go: what engines use.
//   - gate.go, instance.go: which request gets which instance, and which waits.
//   - table.go, route.go, service.go, load.go: the services. Only load.go reads the
//     store.
//   - demand.go, metrics.go: what others see of the requests.
package router
