// Package registry answers the OCI distribution API (/v2/) over the image
// store: what docker, skopeo, crane and podman push to and pull from.
//
// It keeps nothing but the uploads that are under way; content, tags and what
// belongs together are the store's business (internal/image). Who may use it is
// asked of a function.
package registry
