package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// newHelpCommand replaces cobra's help command, which ends with success when there is
// nothing to describe.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Describe a command",
		Long: `Help describes a command with its flags, as --help after the command does. Without
a command it lists them all. The exit code is 2 if the command does not exist.`,
		Example:           "  slipway help up\n  slipway help iam user",
		ValidArgsFunction: completeHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := cmd.Root()
			for _, word := range args {
				next := child(at, word)
				switch {
				case next != nil:
					at = next
				case !at.HasSubCommands():
					return usageError(at, "%s has no commands; unexpected %q", verb(at), word)
				default:
					return unknownCommand(at, word)
				}
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// child returns the command below cmd with this name or alias, nil if there is none.
func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}

func completeHelp(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	at := cmd.Root()
	for _, word := range args {
		if at = child(at, word); at == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	var names []string
	for _, c := range at.Commands() {
		if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begin) {
			names = append(names, c.Name()+"\t"+c.Short)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// refuseOtherShells makes cobra's completion command fail for a shell that it does not
// know, instead of printing its help.
func refuseOtherShells(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}
