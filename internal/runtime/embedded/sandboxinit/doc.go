// Package sandboxinit is the first process of a sandbox, and the two that it
// descends from: the shim, which outlives the daemon, and the spawner.
//
// cmd/slipway-init is this package as a small program of its own, which
// `make build` embeds into slipway. A slipway built without it serves as its own
// init: it calls Main when it was started as one (Wanted). No other code calls
// this package, and the daemon starts its processes (package embedded).
//
// Started by the daemon, the process is the spawner: in a mount namespace that
// holds nothing of the host but what a sandbox is made from, it starts a shim
// each time it is asked. (The daemon could do that itself, but
// a fork with a user namespace copies the caller's page tables, which are large
// there and small here.)
//
// Started by the spawner, the process is a shim: process 1 of a pid namespace in which
// nothing runs but what it starts, and all of that ends with it. It starts an init in
// the namespaces of a sandbox, gives up every privilege, and becomes a user that no
// sandbox has. It keeps the output of the application and records how it ended. From
// the application's start on it talks to nobody, so the daemon may come and go.
//
// Started by a shim, the process is an init: process 1 of the sandbox. It mounts what
// every sandbox needs and waits. It enters the root file system that it is handed and
// carries out its order: it drops what an application may not have, and executes the
// application, which so is process 1. Where the order says so, it starts the
// application as its child instead, forwards signals and reaps orphans.
//
// One shim runs for each instance, so this package is kept small: it imports
// neither os nor fmt, starts no goroutines and allocates nothing once the
// application runs. An init holds nothing that an escape from the sandbox could
// start from, and a shim of the host three plain files and no directory.
package sandboxinit
