// Package config reads apprunner.yaml, the file in which a repository says how it is
// built and started, and the values that the API takes in its place. It reports every
// mistake with its line and column, what is there and what is meant, and offers
// repairs of the text that keep comments and layout.
//
// It does no I/O: callers read and write the file. It does not decide whether a
// runtime can be provided or how; that is internal/build/runtimes, which uses the
// table of names here. `slipway lint`, the detection of source code and builds call it.
//
// The grammar is App Runner's:
// https://docs.aws.amazon.com/apprunner/latest/dg/config-file-ref.html
package config
