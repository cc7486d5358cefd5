// Package fleet reconciles instances with releases: it starts, probes, replaces
// and stops instances, and writes what it observes.
//
// It is the only part of Slipway that starts or stops an instance, and the only
// writer of instance rows. Operations and the scaler write the desired state
// (Release.Desired and Size); the driver's List returns what exists. A pure
// function, plan, decides what to do; the rest of the package gathers its inputs
// and carries out its actions. The fleet keeps no state that a new process could
// not read again, so start-up, drift and steady state share one path. The server
// runs it; everybody else reads its rows.
//
// # Passes
//
// A pass handles the services that a commit, the driver, a worker or a timer
// marked as due, and every few seconds all services. It reads their rows in one
// transaction, plans, writes the changed rows in one transaction, and gives slow
// calls (Prepare, Ensure, Remove) to workers, so that no service waits for
// another one. A healthy start costs one write, when the instance is ready.
//
// # What instance rows say
//
// CreatedAt is when the fleet decided to start the instance. States:
//
//   - No row: nothing exists, or an instance is younger than a second and has no
//     problem. If its release is not to run, each existing instance has a row.
//   - starting: it has not passed its health check yet. Problem says what the
//     last check found, or why the instance could not be created yet (the fleet
//     retries).
//   - ready: it passed HealthyThreshold checks in a row and may take requests.
//   - unhealthy: it was ready and failed UnhealthyThreshold checks in a row.
//     Problem says how. It becomes ready again or is replaced. The same goes for one of
//     which a router says that it answers no request (Hung): it becomes ready again only
//     if the router says that it answers. A new process forgets that, and is told again.
//   - draining: it takes no new requests and will be stopped, once routers report
//     it empty or the drain limit passes.
//   - kept: it is frozen for a paused service. A release that runs again has it thawed,
//     and it is ready once it has passed one check, or removed if the release says that
//     it must not be used again.
//   - ended: no process of it lives. Exit is set exactly when it ended by itself:
//     its process exited, was killed or could not start; it could not be created
//     in several tries; or it did not become healthy in time (Reason then says
//     so). Exit is nil when the fleet stopped it or the machine died, and of an instance
//     that was kept. A
//     deployment may therefore fail at the first row that has an Exit and
//     the number of its release's current run. The fleet keeps starting
//     instances, with growing delays, until the release is no longer to run.
//
// Run is the release's run that the fleet started the instance for, or thawed it for. In a
// release that runs, live instances of earlier runs are removed. No time in a row decides
// which run an instance is of: CreatedAt, ReadyAt and EndedAt are for people.
//
// A release that is to stop has no rows once none of its instances exist. For a
// release that runs or drains, or keeps instances, the newest ended rows stay.
package fleet
