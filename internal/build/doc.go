// Package build turns a directory of source code and the settings of its build into an
// image of the image store.
//
// It fetches no code, reads no configuration files, chooses no settings and starts no
// instances: whoever deploys calls it with all of these resolved. Commands run by
// package step only, in sandboxes, on root file systems from package runtimes.
//
// # Stages
//
// A stage is commands on one root file system: the layers of the runtime's image, a
// layer with the source tree in /app, and the changes of the stages that it continues.
// There are three ways of building (see [plan]):
//
//   - original: pre-build and build in a build stage, then build again in the run
//     stage, which has only /app of the build stage;
//   - revised: pre-build and build in a build stage, then pre-run in the run stage,
//     which has only /app of the build stage;
//   - keep, which App Runner does not have: all in one stage.
//
// The image is the run stage. Post-build runs last, in the build stage, and what it
// changed is dropped, though its failure fails the build.
//
// "Only /app" copies nothing. The changes of a stage are a directory: what is outside
// /app in it is renamed out of it, and told in the log. The directories become the
// image's layers as they are (image.Store.Adopt).
//
// # On disk
//
//	<dir>/work/<build>/...   of running builds; removed when a server starts
//	<dir>/cache/...          see package cache
//	<dir>/programs/...       the programs of package docker
package build
