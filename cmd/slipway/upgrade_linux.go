package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/daemon"
)

type upgradeCommand struct {
	m           *Main
	program     string
	environment bool
}

func newUpgradeCommand(m *Main) *cobra.Command {
	u := &upgradeCommand{m: m}
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the server that runs by its program as it is installed now",
		Long: `Upgrade has the server that runs on this machine start its program again, which takes
over from it: after the program's file was replaced, that is the new version. No request
to a service is lost. Calls of the API wait for a moment. Builds that are under way start
again. The arguments are those of the server that runs, and so is the environment, unless
--environment is given.

Upgrade returns once the new server serves. If it cannot start, upgrade fails and says
why, and the server that runs goes on. ` + "`systemctl reload slipway`" + ` does the same.`,
		Example: `  slipway upgrade
  slipway upgrade --program /opt/slipway/slipway`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return u.run(cmd) },
	}
	cmd.Flags().StringVar(&u.program, "program", "", "`file` of the program to start (default: the one that the server was started from)")
	cmd.Flags().BoolVar(&u.environment, "environment", false, "take the variables SLIPWAY_... from this command's environment in place of the server's")
	return cmd
}

func (u *upgradeCommand) run(cmd *cobra.Command) error {
	dir, err := client.DataDir(u.m.settings.DataDir, u.m.Getenv)
	if err != nil {
		return err
	}
	r := daemon.Renewal{}
	if u.program != "" {
		if r.Program, err = filepath.Abs(u.program); err != nil {
			return err
		}
	}
	if u.environment {
		r.Environment = slices.DeleteFunc(os.Environ(), func(v string) bool { return !isSetting(v) })
		if r.Environment == nil {
			r.Environment = []string{}
		}
	}
	err = daemon.Upgrade(cmd.Context(), dir, r)
	switch {
	case errors.Is(err, daemon.ErrNobody):
		return &client.Problem{
			Text: fmt.Sprintf("no server that can be replaced runs on %s", dir), Err: err,
			Hint: "Name its --data-dir. A server of a version before this command is restarted: systemctl restart slipway.",
		}
	case errors.Is(err, os.ErrPermission):
		return &client.Problem{Text: "upgrade needs root, as `slipway serve` does", Hint: "Run it with sudo.", Err: err}
	case err != nil && cmd.Context().Err() != nil:
		return err
	case err != nil:
		return &client.Problem{Text: "the server was not replaced and serves on: " + err.Error(), Err: err}
	}
	if u.m.json {
		return u.m.printJSON(struct{}{})
	}
	fmt.Fprintln(u.m.Stderr, "The new server has taken over.")
	return nil
}
