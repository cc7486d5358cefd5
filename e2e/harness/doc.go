// Package harness is what the end-to-end tests share: a `slipway serve` of a
// test's own in a process of its own, its clients (the Go SDK, the slipway
// command, the AWS CLI, boto3, Terraform), the images that its services run, and
// a look at everything that a server leaves on a machine.
//
// Only the packages of tests beside it use it. They need root, for instances are
// namespaces, mounts and cgroups; clients that the machine lacks are skipped by
// name. Each server has its own data directory and ports, so tests and packages
// of tests run beside one another.
package harness
