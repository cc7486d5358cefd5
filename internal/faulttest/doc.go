// Package faulttest shows what a program does when the file system fails and after a power
// loss, in tests: it receives the system calls of a process and all that descend from it,
// before the kernel carries them out.
//
// A [Supervisor] hands each call that concerns a directory to a function of the test, which
// lets it through or has it fail with an error. A [Recording] keeps the calls that change
// files, and makes from them the states of the directory that a power loss at any moment
// could have left on disk: see [Recording.PowerLosses].
//
// The kernel does the interception (a seccomp filter with a listener, Linux 5.19), so that
// the product needs no layer of its own, and what is tested is what users run, with SQLite
// and all libraries. What is written through a mapping of memory is not seen: a recording
// fails where a file is mapped for that, but SQLite's index of its log (-shm), which it
// makes anew. Nothing here is for the product.
package faulttest
