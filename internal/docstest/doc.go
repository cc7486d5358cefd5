// Package docstest compares the documents with the code that they describe, and
// rewrites the parts that are generated from it:
//
//	go test ./internal/docstest -update
//
// It has no code that runs outside tests, and nothing imports it. The pages that
// one package generates are tested beside that package: docs/cli.md in cmd/slipway,
// docs/compatibility.md in internal/compat, docs/settings.md in the root package.
//
// # Generated blocks
//
// A block of a page lies between two comments and is replaced as a whole:
//
//	<!-- plans: written by make docs -->
//	...
//	<!-- end of plans -->
package docstest
