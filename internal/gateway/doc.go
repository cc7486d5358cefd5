// Package gateway is the one HTTP endpoint that all AWS services of Slipway
// share: POST /, where the X-Amz-Target header names the operation, or a form's
// Action does for the services of the query protocol. It does once what every
// call needs: find the operation, verify the signature, decode the body, decide
// whether the caller may make the call, check the model's constraints, have an
// audit record kept, take an SDK's attempts at one call for one, word errors, log
// and count.
//
// It knows no service. Each is a package beside this one (internal/api is App
// Runner, internal/cloudwatch the readers of CloudWatch Logs, ...) that returns
// a [Service], made of handlers by [Handle]; the command hands all of them to
// [New].
package gateway
