// Package git reads git repositories with the git program of the host: it finds the
// commit that a branch, a tag or HEAD is at ([Git.Resolve]), and makes a directory
// of one commit's files ([Git.Fetch]).
//
// Repositories and their servers are strangers'. The program therefore runs confined
// (package confine): it sees the system's programs, a home directory of its own and
// the directory that it works in, and it has no network but one listener. Behind the
// listener is a [relay], which connects it to the address of the repository under the
// policy of [Config], counts what it receives, and resolves names itself. Nothing of
// a repository is executed: there are no hooks, filters, prompts or shells, and
// submodules are fetched one by one under the same rules.
//
// It keeps nothing between calls. It builds nothing and does not know what a service
// is. Package source calls it.
package git
