// Package deploy holds the plans: for each kind of operation, the steps that
// internal/operation executes.
//
// Its steps edit the desired state (releases, what they want, the active release) and
// write the service's event log and deployment logs. It does not start, stop or probe
// instances: the fleet runs what releases want and writes what it observes, which the
// wait steps here read.
//
// The server wires the plans to the engine and pushes to the registry to Auto.
package deploy
