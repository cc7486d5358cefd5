// Package store keeps Slipway's state and is the only package that knows SQL.
//
// It offers transactions (View, Update, and UpdateUnsynced for what need not
// wait for the disk) whose methods read and write one table each, and Watch,
// which tells after a commit which services were touched. It decides nothing:
// who may write a field is the writers' table in ARCHITECTURE.md, and
// constraints that must hold under races are unique indexes. There is no clock
// and no randomness here; callers pass both.
//
// One SQL text serves SQLite and PostgreSQL: $n placeholders, RETURNING,
// partial unique indexes, times as integers, JSON as opaque text. Only
// migrations may differ.
package store
