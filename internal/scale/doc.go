// Package scale decides how many instances the active release of each service
// should have, based on the number of requests, and writes that size to the
// store. The daemon runs it.
//
// It starts and stops no instances: the fleet does that. The decision is a pure
// function (decide.go) of a window of observations (window.go); the loop
// (loop.go) only reads and writes.
package scale
