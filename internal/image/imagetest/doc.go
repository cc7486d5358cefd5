// Package imagetest builds small container images in process for tests: from
// files in memory, or from a Go program compiled during the test. It saves them
// as a `docker save` tar or an OCI layout and pushes them to a registry; a
// store takes them by its own Put.
//
// It imports nothing of Slipway, so that every package's tests may use it. Only
// tests import it.
package imagetest
