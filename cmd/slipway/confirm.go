package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// confirmNote is the last sentence of the help of each verb that asks.
const confirmNote = "\n\nIt asks for confirmation; --yes answers yes, and is required where standard input\nis not a terminal."

// addYesFlag adds the flag of a verb that destroys something.
func addYesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask for confirmation")
}

// mayAsk returns an error if a verb must ask before it destroys something, and nobody is
// there to answer. It is called before anything else, so that a script fails at once.
func (m *Main) mayAsk(cmd *cobra.Command, yes bool) error {
	if yes || term.IsTerminal(m.Stdin) {
		return nil
	}
	return usageError(cmd, "%s asks for confirmation, and standard input is not a terminal; add --yes", verb(cmd))
}

// confirm asks a question on the terminal, unless yes. Any answer but yes is an error.
func (m *Main) confirm(cmd *cobra.Command, yes bool, format string, args ...any) error {
	if err := m.mayAsk(cmd, yes); err != nil || yes {
		return err
	}
	if !m.ask(format, args...) {
		return &client.Problem{Text: "nothing was changed"}
	}
	return nil
}

// ask asks a question and returns whether the answer is yes.
func (m *Main) ask(format string, args ...any) bool {
	fmt.Fprintf(m.Stderr, "%s [y/N] ", term.Printable(fmt.Sprintf(format, args...)))
	answer, _ := bufio.NewReader(m.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
