// Package harness starts `slipway serve` for the end-to-end tests, and holds what
// they share: clients (the Go SDK, the slipway command, the AWS CLI, boto3,
// Terraform), images for services, and a check for everything that a server
// leaves on a machine.
//
// Only the test packages beside it use it. The tests need root, since instances
// are made of namespaces, mounts and cgroups. A test is skipped where its client is
// not installed. Each server has its own data directory and ports, so tests and
// test packages run in parallel.
package harness
