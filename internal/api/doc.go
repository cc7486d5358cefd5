// Package api is App Runner's API: it holds the handler of each operation, which
// internal/gateway calls.
//
// A handler checks what the model's constraints can't express, runs one
// transaction and shapes the reply. It starts nothing: it inserts an operation,
// which internal/operation executes. The gateway does what all handlers share:
// decoding, permissions, the model's constraints, audit, logging and errors.
//
// # Adding an operation
//
// Write its handler, a method (ctx, *gateway.Call, *Input) (*Output, error), in
// the file of its resource, and declare it in handlers.go with the permissions
// that it requires. It changes rows through [gateway.Call.Update]. Return
// *slipway.Error for the caller's mistakes. An exception that the model does not
// list for the operation becomes an InvalidRequestException, because SDKs know no
// other. The conformance test tries every constraint without further code.
package api
