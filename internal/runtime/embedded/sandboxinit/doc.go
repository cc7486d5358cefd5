// Package sandboxinit is the first process of a sandbox, and the process that
// starts such processes.
//
// cmd/slipway-init is this package as a small program of its own, which
// `make build` embeds into slipway. A slipway built without it serves as its own
// init: it calls Main when it was started as one (Wanted). No other code calls
// this package, and the daemon starts its processes (package embedded).
//
// Started by the daemon, the process is the spawner: in a mount namespace that
// holds nothing of the host but what a sandbox is made from, it starts an init
// in new namespaces each time it is asked. (The daemon could do that itself, but
// a fork with a user namespace copies the caller's page tables, which are large
// there and small here.)
//
// Started by the spawner, the process is an init: process 1 of the new pid
// namespace. It mounts what every sandbox needs and waits. It enters the root
// file system that it is handed and carries out its order: it starts the
// application, writes the application's output to files, reaps orphans and
// records how the application ended. From then on it talks to nobody, so the
// daemon may come and go.
//
// One init runs for each instance, so this package is kept small: it imports
// neither os nor fmt, starts no goroutines and allocates nothing once the
// application runs. It holds nothing that an escape from the sandbox could start
// from: of the host it has three plain files and no directory.
package sandboxinit
