// Package e2e drives the real binary from outside, as its users do: `slipway
// serve` in a process of its own, real containers, and the AWS CLI, boto3, the
// Go SDK and Terraform as clients.
//
// All of it is tests. They need root, for instances are namespaces, mounts and
// cgroups; clients that the machine lacks are skipped by name. Each server has
// its own data directory and ports, so tests run beside one another.
package e2e
