// Package ecr is the part of Amazon ECR's API that push-and-deploy scripts and
// Terraform use, over the server's own registry.
//
// Images are the image store's, pushed and pulled through internal/registry;
// here are the calls about them, what is set of repositories, and the tokens
// with which `docker login` logs in. A repository that was never created exists
// while it holds an image, since the registry takes a push to any name.
//
// It neither stores images nor serves layers: layers are uploaded through the
// registry alone. Repository policies are kept and not enforced; users are held
// to their own policies.
package ecr
