package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/daemon"
)

type uninstallCommand struct {
	m        *Main
	yes      bool
	keepData bool
}

func newUninstallCommand(m *Main) *cobra.Command {
	u := &uninstallCommand{m: m}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove a server's instances and all that it made on this machine",
		Long: `Uninstall ends the instances of a server that does not run any more, and removes
what the server made on this machine: mounts, control groups, network links,
addresses and firewall rules, and then the data directory with services, images,
logs and keys. While a server runs on the data directory, it refuses.

The program, its manual pages and its systemd unit stay: remove them as they were
installed, by the package manager or by deleting the files. A key file outside of
the data directory stays, too.` + confirmNote,
		Example: `  systemctl disable --now slipway
  slipway uninstall
  slipway uninstall --keep-data --yes`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return u.run(cmd) },
	}
	addYesFlag(cmd, &u.yes)
	cmd.Flags().BoolVar(&u.keepData, "keep-data", false, "keep the data directory: the next `slipway serve` starts the services again")
	return cmd
}

func (u *uninstallCommand) run(cmd *cobra.Command) error {
	if err := u.m.mayAsk(cmd, u.yes); err != nil {
		return err
	}
	dir, err := client.DataDir(u.m.settings.DataDir, u.m.Getenv)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return &client.Problem{Text: "uninstall needs root, as `slipway serve` does", Hint: "Run it with sudo, and with --data-dir if the server had one."}
	}
	log := slog.New(slog.NewTextHandler(u.m.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	left, err := daemon.OpenLeftovers(cmd.Context(), dir, log)
	if err != nil {
		return &client.Problem{Text: "nothing was removed: " + err.Error(), Hint: uninstallHint, Err: err}
	}
	defer left.Close()
	if err := u.m.confirm(cmd, u.yes, "%s", u.question(dir, left.Instances)); err != nil {
		return err
	}
	return u.remove(cmd.Context(), dir, left)
}

const uninstallHint = "--data-dir or SLIPWAY_DATA_DIR names the server's data directory. A server that runs is ended by `systemctl stop slipway` or SIGTERM."

// question says what is about to happen.
func (u *uninstallCommand) question(dir string, instances int) string {
	if u.keepData {
		return fmt.Sprintf("End %s? %s stays.", counted(instances, "instance"), dir)
	}
	return fmt.Sprintf("End %s, and remove %s with all services, images, logs and keys?", counted(instances, "instance"), dir)
}

func (u *uninstallCommand) remove(ctx context.Context, dir string, left *daemon.Leftovers) error {
	p := u.m.progress()
	again := "Run it again: what is removed already does no harm."
	if err := left.Remove(ctx); err != nil {
		return &client.Problem{Text: err.Error(), Hint: again, Err: err}
	}
	p.Say(term.Plain, "Ended %s, and removed their mounts, control groups and network", counted(left.Instances, "instance"))
	if u.keepData {
		return nil
	}
	if err := left.RemoveData(); err != nil {
		return &client.Problem{Text: err.Error(), Hint: again, Err: err}
	}
	p.Say(term.Plain, "Removed %s", dir)
	return nil
}
