// Package gateway makes the calls of all AWS services of Slipway, without
// knowing how they arrive. A service is a package beside this one (internal/api
// is App Runner, internal/cloudwatch the readers of CloudWatch Logs) that returns
// a [Service]: a list of operations, each a handler beside the permissions that
// it requires.
//
// [Gateway.Invoke] does once what every call needs, in this order: find the
// operation, decode the input, check the caller's permissions, check the model's
// constraints, run the handler, complete the audit record, choose the exception,
// log and count. The handler changes rows through [Call.Update], which writes
// the audit record in the same transaction.
//
// The package has no HTTP: package awshttp is the transport that AWS's clients
// use, and a program in the same process calls Invoke.
package gateway
