// Package registry answers the OCI distribution API (/v2/) over the image
// store: docker, skopeo, crane and podman push to it and pull from it.
//
// It keeps only uploads in progress. Content, tags and references belong to the
// store (internal/image). Functions of its configuration decide who may use it.
package registry
