// Package deptest holds the project's structural rules as tests: which packages
// may import which, what must stay out of the binary, which words and shapes of
// code the project avoids. ARCHITECTURE.md gives the reasons.
//
// It has no code that runs outside tests, and nothing imports it.
package deptest
