// Package scale decides how many instances the release that serves should
// have, from how many requests there are, and writes that number.
//
// It starts and stops nothing: the fleet brings releases to their size. The
// decision is a pure function (decide.go) of a window of observations
// (window.go); the loop (loop.go) only fetches and writes.
package scale
