// Package awshttp is the HTTP endpoint that AWS's clients call: POST /, where
// the X-Amz-Target header names the operation, or a form's Action does for the
// services of the query protocol. It turns a request into a call of package
// gateway: it finds the operation, bounds and reads the body, verifies the
// signature, takes an SDK's attempts at one call for one call, and encodes the
// reply.
//
// It decides nothing about a call: permissions, constraints, audit records and
// exceptions are package gateway's. The command serves the [Handler].
package awshttp
