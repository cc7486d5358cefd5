// Package image is the local store of container images: content-addressed
// blobs, the repositories of this server's own registry, and unpacked layers.
// It pulls from other registries, imports from files, and collects garbage.
//
// It does not speak the registry protocol to clients (internal/registry does,
// over this store), builds nothing and runs nothing. Deployments pull, drivers
// ask for layers, the registry reads and writes content.
//
// # On disk
//
//	blobs/sha256/<hex>                content: layers, configurations, manifests
//	repositories/<name>/_tags/<tag>   the digest of the tag's manifest
//	repositories/<name>/_manifests/<hex>         descriptor of a manifest of the repository
//	repositories/<name>/_blobs/<hex>             an empty file for a blob of the repository
//	repositories/<name>/_referrers/<hex>/<hex>   descriptor of a manifest whose subject is the former
//	origins/<host>/<hex>              an empty file for a blob that a registry delivered
//	images/<hex>                      what is remembered of an image by manifest digest
//	layers/<hex>/fs                   a layer unpacked, by diff id; one that needed those below it, by theirs too
//	tmp/                              whatever is not finished
//	lock                              held by the process that has the store open
//
// Blobs are named as in an OCI layout. Everything is written under tmp and
// renamed when complete, so that a name always stands for complete content; tmp
// is emptied when the store is opened. Blobs and small files are synced before
// they get their name. Unpacked layers are not: syncing hundreds of megabytes
// would delay a deployment. Each unpacked layer records the boot of the machine
// it was made in until a collection has synced it; one of an earlier boot is
// unpacked again.
//
// The layers of images that were built here are adopted: there is only the
// directory, synced at once, and its tar is made whenever somebody reads the blob
// (see [Store.Adopt]).
package image
