// Package domain leads custom domains from being asked for to being served, and
// away: it looks up in DNS whether the records that prove a domain are there.
//
// What is to become of a domain is a pure function of its row, the clock and
// what DNS said (decide.go). Two loops (loop.go) apply it to the rows that are
// due: one that asks nobody and so never waits, and one that asks DNS, few
// domains at a time and each ever more seldom. Everything a domain goes through
// is in its row, so a server that dies at any point goes on from there.
//
// It routes nothing: the router serves what is active. It issues no
// certificates either. cmd/slipway runs it.
package domain
