// Package fleet makes the world follow the releases: it starts, probes,
// replaces and stops instances, and writes what it sees as facts.
//
// It is the only part of Slipway that starts or stops an instance and the only
// writer of instance rows. What is wanted (Release.Desired and Size) comes from
// operations and the scaler; what exists comes from the driver's List. The
// decision between the two is a pure function, plan; everything else here
// gathers its facts or carries out its actions. Nothing is remembered that a
// new process could not read again, so boot, drift and daily work are one path.
//
// # Passes
//
// A pass looks at some services: those that a commit, the driver, a worker or a
// timer named, and all of them every few seconds. It reads their rows in one
// transaction, plans, writes changed rows in one transaction, and hands slow
// calls (Prepare, Ensure, Remove) to workers, so that no service waits for
// another's. A healthy start costs one write, when the instance is ready.
//
// # Facts that others may read
//
// Instance rows, by release; CreatedAt is when the fleet decided to make it:
//
//   - No row: either nothing exists, or an instance is younger than a second
//     and nothing is wrong with it. When its release is not to run, each
//     existing instance has a row.
//   - starting: it has not passed its health check. Problem says what the last
//     check met, or why it could not be made yet (that is tried again).
//   - ready: it passed HealthyThreshold checks in a row and may take requests.
//   - unhealthy: it was ready and failed UnhealthyThreshold checks in a row.
//     Problem says how. It becomes ready again or is replaced.
//   - draining: it takes no new requests and will be stopped. Routers report it
//     empty, or the drain limit passes.
//   - ended: no process of it lives. Exit is set exactly when it ended of its
//     own: its process exited, was killed, could not start, could not be made in
//     several tries, or never became healthy in time (then Reason says so). Exit
//     is nil when the fleet stopped it or when it was lost with the machine. A
//     deployment may therefore fail at the first row with an Exit whose
//     CreatedAt is not before its own start; the fleet goes on starting
//     instances, ever more slowly, until the release is no longer to run.
//
// A release that is to stop has no rows once nothing of it exists. Of one that
// runs or drains, the newest ended rows are kept.
package fleet
