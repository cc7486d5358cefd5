// Package detect finds out from the files of a source tree how its web service is
// built and started: language, framework, version, commands and port. Every
// conclusion comes with its reason. The result is a config.File, as if the tree had
// an apprunner.yaml, and Configuration writes that file.
//
// It executes nothing and reads through an fs.FS only: a bounded number of directories,
// entries and files, and no file of more than maxParsed bytes as a whole. Callers that
// read from a disk pass the FS of an os.Root, so that links do not lead out of the tree.
// It does not build; internal/build does. `slipway plan`, `slipway init` and builds of
// sources without a configuration call it.
package detect
