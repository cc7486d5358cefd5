// Package domain takes custom domains through their life cycle, from the request
// of a user until they are served, and to their deletion. It looks up in DNS
// whether the validation records of a domain exist.
//
// The next state of a domain is a pure function of its row, the time and the
// answer of DNS (decide.go). Two loops (loop.go) apply it to the rows that are
// due. The first never waits for DNS. The second queries DNS, for a few domains
// at a time, and for each domain less and less often. The row holds the whole
// state, so a server that stops at any point continues from there.
//
// The package routes no requests: the router serves the active domains. It issues
// no certificates. The daemon runs it.
package domain
