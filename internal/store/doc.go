// Package store keeps Slipway's state. It is the only package with SQL.
//
// View and Update run transactions for whoever tells somebody what they read or wrote, and
// wait for the disk; ViewUnsynced and UpdateUnsynced are for loops. The methods of Tx read
// and write one table each. Watch tells which services changed with a commit. The
// package decides nothing: ARCHITECTURE.md says who may write which field, and
// unique indexes hold what must hold under races. It has no clock and no
// randomness; callers pass both. All packages that keep state use it.
//
// The same SQL serves SQLite and PostgreSQL: $n placeholders, RETURNING, partial
// unique indexes, times as integers, JSON as opaque text. Statements that only
// one of them has are in sqlite.go and the migrations.
package store
