// Package runtimetest holds the contract suite that every runtime.Driver must
// pass (Run) and a driver without processes for everybody's tests (Fake).
//
// Both speak of instances in terms of a Program: what an application does from
// its start to its end. The Fake plays it in process, with package time and
// net.Pipe alone, so that it works inside a testing/synctest bubble; real
// drivers run the executable in ./program, which does the same for real.
//
// A World is what outlives a daemon: instances, their output, their exits. To
// crash a daemon in a test, sever its Fake (Fake.Kill, or a Failpoint) and go
// on with a new Fake on the same World. Only tests import this package.
package runtimetest
