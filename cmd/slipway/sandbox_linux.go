package main

import (
	"os"

	"github.com/openslipway/slipway/internal/runtime/embedded/sandboxinit"
	"github.com/openslipway/slipway/internal/source/git/confine"
)

// serveSandbox does not return in a process that a server of this program has started:
// the first one of a sandbox, only in programs that do not embed the small
// slipway-init, one that confines the program git, or one that starts another server.
func serveSandbox() {
	if sandboxinit.Wanted(os.Args) {
		sandboxinit.Main()
	}
	if confine.Wanted(os.Args) {
		confine.Main()
	}
	if launchWanted(os.Args) {
		os.Exit(launchMain(os.Args))
	}
}
