// Package operation is the engine that executes operations. It claims them,
// takes their steps in order, saves the outcome of each step, retries, enforces
// deadlines and rolls back.
//
// It does not know what the steps do: its caller, the server, gives it a plan
// for each kind of operation (see internal/deploy). A step either edits rows,
// exactly once, in the transaction of its checkpoint; or works outside the
// database, at least once; or waits until rows meet a condition. No step starts
// or stops an instance: steps edit the desired state and wait for the observed
// state, and reconcilers bring the two together. A rollback is therefore one
// more edit, and there are no compensations.
//
// Anybody may cancel an operation through its row. The engine reads the request in
// the transaction of each step and when it renews the lease; it then ends what runs
// and rolls back as after a failure.
//
// docs/flows.md tells what is on disk after a crash at each point. The next
// process claims the operation and continues from its last checkpoint.
package operation
