// Package ingress opens the listeners of VPC endpoints and reconciles VPC ingress
// connections: a connection is available while its endpoint listens, and deleted
// once that was requested.
//
// It routes no requests: it passes its listeners to a function, and the router
// serves them. The daemon runs it with the endpoints of its configuration.
//
// It is level-triggered. Each pass opens the listeners that are not open and
// compares every connection with them. A pass follows every change of a
// connection, and runs regularly, because the host may get an address later. Only
// this package writes the observed state of a connection, and only the API writes
// the desired state.
package ingress
