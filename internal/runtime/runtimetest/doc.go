// Package runtimetest holds the contract suites of drivers, Run for
// runtime.Driver and RunJobs for runtime.Job, and a driver without processes for
// the tests of all other packages (Fake).
//
// Both describe an application as a Program: what it does from its start to its
// end. The Fake plays it in process, with only package time and net.Pipe, so that
// it works inside a testing/synctest bubble. Images of real drivers hold the
// executable in ./program, which does the same with a real process.
//
// A Machine is what outlives a daemon: instances, their output and how they ended. A
// test crashes a daemon by severing its Fake (Fake.Kill, or a Failpoint) and goes
// on with a new Fake on the same Machine. Jobs do not outlive their Fake. Only tests
// import this package.
package runtimetest
