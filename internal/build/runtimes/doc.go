// Package runtimes provides the managed runtimes: root file systems with a language and
// its package manager, as images of the image store.
package runtimes
