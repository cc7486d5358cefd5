// Package wire is App Runner's API as bytes: the AWS JSON 1.0 coding of the
// SDK's own request and response structs, the exceptions, and the constraints
// that the service model puts on every request member.
//
// It knows neither HTTP routing nor what an operation does; package api calls
// it once around every handler. Nothing here is specific to Slipway except the
// one deliberate widening of the model, which gen/main.go names.
package wire

//go:generate go run ./gen -model model/apprunner-2020-05-15.service-2.json -out model_gen.go
