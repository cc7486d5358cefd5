// Package client is the command line's client of a server: it finds the server and
// the access key, calls App Runner's API, reads logs, uses the registry, and waits
// for operations.
//
// It uses only the public wire API, as any AWS client does. It prints nothing. Only
// cmd/slipway imports it.
package client
