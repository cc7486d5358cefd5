// Package uploads answers the calls by which users send directories of source code, and
// keeps what they sent for as long as something is built from it.
//
// An upload is a row of its owner's: the user who sent it. Each user has a directory
// with a store of contents of its own (internal/source/upload), so that a digest is no
// permission: whoever names the digest of another user's file must still send the file,
// and gets no answer that depends on what others have. A service names an upload by its
// URL, upload:// and a random id; package api allows that to the owner only.
//
// The package makes no services and builds nothing: packages api and repository do. The
// command line is the client, by `slipway up DIR` and `slipway check`.
package uploads
