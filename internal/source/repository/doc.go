// Package repository makes images of commits of code repositories: it fetches a
// commit, reads its configuration (apprunner.yaml, or the values of the API) and
// builds it.
//
// It decides nothing about services and keeps nothing but what package build keeps:
// the directories with source code are by operation, and removed at the end of each
// build and at the start of the server. The steps commit and build of internal/deploy
// call it through the daemon.
package repository
