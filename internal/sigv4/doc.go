// Package sigv4 verifies AWS Signature Version 4 on received HTTP requests:
// that the holder of an access key's secret sent exactly this request, for this
// service and region, a short while ago.
//
// It signs the received request again, over exactly the headers that the caller
// signed, and compares. The canonical form is the signing library's. This
// package keeps no keys and decides no permissions: package gateway passes a
// lookup and decides what an authenticated caller may do. Pre-signed URLs and
// chunked signatures are not supported, since no App Runner client sends them.
package sigv4
