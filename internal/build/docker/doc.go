// Package docker builds images of Dockerfiles.
//
// The grammar is BuildKit's: its program frontend (module builder) turns a Dockerfile
// into a graph of steps (package graph). This package resolves the base images with the
// image store, runs the steps, keeps what they changed for the next build of the
// service, and returns the layers of the image. internal/build is its only caller; it
// prepares the build context and adopts the image.
//
// Everything that a stranger wrote is read in a sandbox: the Dockerfile by frontend, a
// job without a network; the files of COPY, ADD and WORKDIR by the program files, in a
// job whose root is the file system that is changed; and each RUN is a job. The daemon
// itself moves directories and hashes them.
//
// # Files
//
// The files of a step are a stack of layers: those of a base image, in the image store,
// and over them a directory for each step that changed something. Nothing is copied to
// begin a step, and nothing is packed to end one.
//
// # Keys
//
// A RUN has the key of its command and of the files that it sees, and is not run again
// for a key that is known. Files that are copied from the context have the key of their
// contents, without times: so a RUN after a COPY runs again when what was copied is
// different, and not when another file of the commit is. Values of secrets and the way
// to the network are in no key.
package docker
