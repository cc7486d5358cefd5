// Package checks answers the calls of `slipway check`: it builds an upload as a
// deployment would, and boots its start command once, in a sandbox of its own, to see
// whether it listens where a service must.
//
// A check leaves no service, release or row behind, only what builds keep: caches, and an
// image that is collected soon. It lives in memory and ends with the server, or when
// nobody asks for it any more. Package deploy builds; this package starts nothing but
// the job that boots.
package checks
