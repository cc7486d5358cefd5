// Package ecr is the part of Amazon ECR's API that push-and-deploy scripts and
// Terraform use, over the server's own registry.
//
// The image store has the images; clients push and pull them through
// internal/registry. This package has the calls about images, the settings of
// repositories, and the tokens for `docker login`. The registry accepts a push to
// any name: a repository that was never created exists while it holds an image.
//
// It neither stores images nor serves layers: layers are uploaded only through
// the registry. Repository policies are stored but not enforced; the policies of
// users are enforced.
package ecr
