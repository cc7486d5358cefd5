// Package deptest holds the project's structural rules as tests: who may
// import whom, what must stay out of the binary, and which shapes of code the
// project does without. ARCHITECTURE.md tells the reasons.
//
// It has no code that runs outside tests, and nothing imports it.
package deptest
