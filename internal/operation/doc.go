// Package operation is the engine that brings operations to their end: it
// claims them, takes their steps one after another, saves each one's outcome,
// retries, keeps deadlines and turns back.
//
// It knows nothing of what the steps do: a plan per kind of operation is given
// to it (see internal/deploy). A step either edits rows, in the transaction of
// its checkpoint and so exactly once; or works outside, at least once; or waits
// for rows to say something. No step starts or stops anything that runs: steps
// edit intent and wait for fact, and reconcilers make intent fact. So undoing
// is one more edit, and there are no compensations.
//
// What is on disk after a crash at any point is told in docs/flows.md; the
// next process claims the operation and goes on from its last checkpoint.
package operation
