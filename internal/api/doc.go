// Package api is App Runner's API: a handler for each of its operations, which
// internal/gateway calls.
//
// A handler checks its input against what the model can't say, does one
// transaction and shapes the reply. It starts nothing: what it asks for is an
// operation's row, which internal/operation takes from there. Signatures,
// decoding, the model's constraints, logging and errors are done once around
// all handlers, in the gateway.
//
// # Adding an operation
//
// Write its handler, a method (ctx, *gateway.Call, *Input) (*Output, error), in
// the file of its resource, and declare it in handlers.go with the permissions
// that it requires. It changes rows through [gateway.Call.Update]. Return
// *slipway.Error for the caller's mistakes; an exception that the model does not
// list for the operation becomes an InvalidRequestException, because SDKs know
// no other. The conformance test then tries every constraint by itself.
package api
