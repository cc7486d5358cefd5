// Package runtimes provides the managed runtimes: root file systems with a language and
// its package manager, as images of the image store.
//
// One table (runtimes.yaml, which operators can override by name) says where each comes
// from: the publisher's image where it can be reached, and otherwise a recipe that makes
// an equal root file system of Debian's packages, the npm registry and the Go module
// proxy. No command of a recipe runs outside a sandbox: recipes are stages of package
// step, like builds. A runtime is made once, under a lock, and shared by all builds,
// read-only. It is made again when its entry changes or its image is gone, and in the
// background when its packages have newer versions (see [Set.Refresh]). Builds take what
// is there: a service gets a newer runtime at its next deployment.
//
// Only internal/build asks for runtimes; whoever lists or collects images asks for what
// is there.
//
// # Bases
//
// A recipe's base is made by the host's own apt and dpkg, so that the operator's mirrors
// and keys are used: in a sandbox that sees /usr, the configuration of apt and nothing
// else of the host, read-only. It downloads and unpacks the essential packages; a second
// sandbox, whose root these are, configures them.
//
// # On disk
//
//	<dir>/made/<name>@<version>.json   which image a runtime is, and what it was made from
//	<dir>/made/<name>@.json            the same for what a recipe makes, if that is one version
//	<dir>/made/base-<name>.json        the same for a base
//	<dir>/made/slim-<name>.json        the same for the image of a runtime's static programs
//	<dir>/made/<name>@<version>.used   when a build has last asked for it: the time of this file
//	<dir>/work/...                     unfinished ones; removed when a server starts
package runtimes
