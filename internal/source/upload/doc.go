// Package upload keeps directories of users as content-addressed snapshots: a
// manifest that lists files with their digests, and the files' contents by digest. A
// client makes a manifest of a directory ([Scan]), asks which contents the server
// lacks, sends only those, and the server makes the directory again ([Store.Materialize]).
//
// Manifests and contents are a stranger's. The package knows no HTTP and no service:
// the API of uploads and package source call it.
package upload
