// Package client is a Slipway server as the command line sees it: where it is,
// who we are to it, its App Runner API, its logs and its registry, and how to
// follow an operation to its end.
//
// It uses the public wire API and nothing else, as any AWS client would, and it
// prints nothing. Only cmd/slipway uses it.
package client
