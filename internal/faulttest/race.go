//go:build race

package faulttest

// share is what a test tries of the faults: the race detector makes processes slow to start,
// and `make test` runs these tests without it, too.
const share = 8
