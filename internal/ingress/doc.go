// Package ingress opens the listeners that VPC endpoints stand for and brings
// VPC ingress connections to what they should be: available where their
// endpoint listens, gone where they were deleted.
//
// It does not route: the router, which it knows as the Server of its listeners,
// takes requests to the services that connections lead to. The daemon runs it
// with the endpoints of its configuration.
//
// It is level-triggered. A pass opens what is not open and compares every
// connection with that; passes follow changes of connections, and time, for an
// address may come to the host later. It alone writes what is of a connection,
// the API alone what should be.
package ingress
