// Package sigv4 verifies AWS Signature Version 4 on received HTTP requests:
// that the holder of an access key's secret sent exactly this request, for this
// service and region, a short while ago.
//
// It signs the received request once more, over exactly the headers the caller
// signed, and compares: the canonical form is the signing library's, not ours.
// It keeps no keys and decides no permissions; package gateway hands it a lookup
// and decides what an authenticated caller may do. Pre-signed URLs and chunked
// signatures are not supported, since no App Runner client sends them.
package sigv4
