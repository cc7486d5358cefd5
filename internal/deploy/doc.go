// Package deploy holds the plans: what each kind of operation does to a
// service, as a list of steps for internal/operation to take.
//
// It decides what is wanted (releases, their desired state, the active one) and
// what is said about it (the service's event and deployment logs). It starts,
// stops and probes nothing: the fleet makes wanted releases run and writes
// facts, which the wait steps here read.
package deploy
