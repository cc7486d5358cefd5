package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/plan"
	"github.com/openslipway/slipway/internal/cli/term"
)

const chooseUsage = "decide what is ambiguous: `KIND=VALUE`, as the error names them (can be repeated)"

func newPlanCommand(m *Main) *cobra.Command {
	var choices []string
	cmd := &cobra.Command{
		Use:   "plan [PATH]",
		Short: "Show how a directory is built, and why",
		Long: `Plan shows how a directory with source code (default: the current one) is built and
started, without a server: the stages with their commands, what reaches the image,
the directories that are cached, the start command, the port and the names of
variables, never their values. Nothing is executed.

An apprunner.yaml wins over everything else. Without one, a Dockerfile does; else the
language, the framework and the commands are found from the files of the directory,
and each conclusion is printed with its reason. docs/detection.md lists the rules.

Where the files allow more than one answer, plan asks on a terminal; elsewhere it
fails and says which --choose decides it. With --json it prints the same as data.`,
		Example: "  slipway plan\n  slipway plan services/shop --json\n  slipway plan --choose main=./cmd/shop",
		Args:    argCount(0, 1, "a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := plan.Read(m.planRequest(args, choices))
			if err != nil {
				return err
			}
			if m.json {
				return m.printJSON(a.Graph())
			}
			return plan.Print(m.Stdout, m.outStyle(), a.Graph())
		},
	}
	cmd.Flags().StringArrayVar(&choices, "choose", nil, chooseUsage)
	return cmd
}

func newInitCommand(m *Main) *cobra.Command {
	var choices []string
	var force bool
	cmd := &cobra.Command{
		Use:   "init [PATH]",
		Short: "Write an apprunner.yaml for a directory",
		Long: `Init writes what ` + "`slipway plan`" + ` finds out about a directory with source code
(default: the current one) into its apprunner.yaml, which App Runner reads too. What
is different there is said in comments: a runtime that App Runner does not have, with
the nearest one that it has.

An existing apprunner.yaml is kept, unless --force replaces it by what is detected
without it. Where the files allow more than one answer, init asks on a terminal;
elsewhere it fails and says which --choose decides it.`,
		Example: "  slipway init\n  slipway init services/shop --choose language=python",
		Args:    argCount(0, 1, "a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			r := m.planRequest(args, choices)
			r.Anew = force
			a, err := plan.Read(r)
			if err != nil {
				return err
			}
			name, err := plan.Write(a, force)
			if err != nil {
				return err
			}
			if m.json {
				return m.printJSON(initialised{name, a.Graph().Warnings})
			}
			for _, w := range a.Graph().Warnings {
				fmt.Fprintf(m.Stderr, "- %s\n", term.Printable(w))
			}
			_, err = fmt.Fprintf(m.Stdout, "Wrote %s.\n", term.Printable(name))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&choices, "choose", nil, chooseUsage)
	cmd.Flags().BoolVar(&force, "force", false, "replace an existing apprunner.yaml")
	return cmd
}

// initialised is what `init --json` prints.
type initialised struct {
	Path     string
	Warnings []string `json:",omitempty"`
}

// planRequest asks questions only on a terminal, and never in the way of JSON.
func (m *Main) planRequest(args, choices []string) plan.Request {
	r := plan.Request{Path: ".", Choices: choices, Out: m.Stderr}
	if len(args) > 0 {
		r.Path = args[0]
	}
	if term.IsTerminal(m.Stdin) && !m.json {
		r.In = bufio.NewReader(m.Stdin)
	}
	return r
}
