//go:build !linux

package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

// serveSandbox does nothing: there are no sandboxes on this system.
func serveSandbox() {}

// serverStarter returns nil: `slipway up` can't start a server here.
func (m *Main) serverStarter() StartServer { return nil }

// newServeCommand returns a command that says what serving needs. It takes any flags,
// so that those of a server on Linux get this answer, too.
func newServeCommand(*Main) *cobra.Command {
	return &cobra.Command{
		Use:                "serve",
		Short:              "Run the server (on Linux only)",
		Long:               "Serve runs the server, which needs Linux. On this system slipway is a client.",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "-h" || arg == "--help" {
					return cmd.Help()
				}
			}
			return &client.Problem{
				Text: "the server needs Linux; slipway for " + runtime.GOOS + " is only its client",
				Hint: "Run `slipway serve` on a Linux machine, and name it here with --endpoint or SLIPWAY_ENDPOINT.",
			}
		},
	}
}

// newUninstallCommand, newUpgradeCommand, newBackupCommand and newRestoreCommand return commands that say
// so: nothing of a server is here.
func newUninstallCommand(*Main) *cobra.Command {
	return newNothingHere("uninstall", "Remove a server (on Linux only)", "Delete the program to remove it.")
}

func newUpgradeCommand(*Main) *cobra.Command {
	return newNothingHere("upgrade", "Replace a server (on Linux only)", "Run `slipway upgrade` on the server's machine.")
}

func newBackupCommand(*Main) *cobra.Command {
	return newNothingHere("backup", "Write the server's state to a file (on Linux only)", "Run `slipway backup` on the server's machine.")
}

func newRestoreCommand(*Main) *cobra.Command {
	return newNothingHere("restore", "Restore a backup (on Linux only)", "Run `slipway restore` on the server's machine.")
}

func newNothingHere(name, short, hint string) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Short:              short,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &client.Problem{Text: "no server runs on " + runtime.GOOS + ", so nothing of one is here", Hint: hint}
		},
	}
}
