package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// misuse is a wrong command line.
type misuse struct {
	text string
	cmd  string // the command whose help to read
}

func (e *misuse) Error() string { return e.text }

func usageError(cmd *cobra.Command, format string, args ...any) error {
	return &misuse{text: fmt.Sprintf(format, args...), cmd: cmd.CommandPath()}
}

// failure is how a command failed, as it is reported.
type failure struct {
	exit int    `json:"-"`
	Code string // the API's, or one of the constants below
	Text string `json:"Message"`
	Hint string `json:",omitempty"`
}

// The codes of failures that are not the API's.
const (
	codeUsage       = "InvalidCommandLine"
	codeUnreachable = "ServerUnreachable"
	codeInterrupted = "Interrupted"
	codeFailed      = "Failed"
)

// report prints an error and what to do about it, and returns the exit code. With
// --json a command that has not printed its document prints the error as one.
func (m *Main) report(err error) int {
	if err == nil {
		return exitOK
	}
	f := m.explain(err)
	fmt.Fprintf(m.Stderr, "%s %s\n", m.errStyle().Render(term.Bad, "slipway:"), strings.Join(term.Lines(f.Text), "\n"))
	if f.Hint != "" {
		fmt.Fprintf(m.Stderr, "%s\n", f.Hint)
	}
	if m.json && (m.streams || !m.printed) {
		m.printFailure(f)
	}
	return f.exit
}

// printFailure prints {"Error": ...}: a document of its own, or the last line of a
// stream of documents.
func (m *Main) printFailure(f failure) {
	doc, err := json.Marshal(struct{ Error failure }{f})
	switch {
	case err != nil: // of strings; it can't be
	case m.streams:
		_ = term.JSONLine(m.Stdout, doc)
	default:
		_ = term.JSON(m.Stdout, doc) // the error was said on standard error
	}
}

func (m *Main) explain(err error) failure {
	if e, ok := errors.AsType[*misuse](err); ok {
		return failure{exit: exitUsage, Code: codeUsage, Text: e.text, Hint: fmt.Sprintf("See `%s --help`.", e.cmd)}
	}
	t, terr := m.target()
	if terr != nil { // err has the same cause
		t, err = client.Target{}, terr
	}
	p := explain(t, err)
	f := failure{exit: exitFailed, Code: codeFailed, Text: p.Text, Hint: p.Hint}
	api, fromAPI := errors.AsType[smithy.APIError](err)
	switch {
	case errors.Is(err, context.Canceled):
		f.exit, f.Code = exitInterrupted, codeInterrupted
	case p.Misuse:
		f.exit, f.Code = exitUsage, codeUsage
	case p.Code != "":
		f.Code = p.Code
	case fromAPI && api.ErrorCode() != "":
		f.Code = api.ErrorCode()
	case client.Unreachable(err):
		f.Code = codeUnreachable
	}
	return f
}

func explain(t client.Target, err error) *client.Problem {
	if p, ok := errors.AsType[*client.Problem](err); ok || t.Endpoint == nil {
		if p == nil {
			p = &client.Problem{Text: err.Error()}
		}
		return p
	}
	return t.Explain(err)
}

// finish prints the document of a command that has succeeded without one: with --json
// every command of the client prints exactly one.
func (m *Main) finish(cmd *cobra.Command) error {
	if !m.json || m.printed || m.streams || cmd == nil || !cmd.Runnable() || cmd.HasSubCommands() && cmd.Name() != "ops" {
		return nil
	}
	if help := cmd.Flags().Lookup("help"); help != nil && help.Changed {
		return nil
	}
	for c := cmd; c != nil; c = c.Parent() {
		if slices.Contains([]string{"help", "completion", "serve", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, c.Name()) {
			return nil
		}
	}
	return m.printJSON(struct{}{})
}

// wantsJSON reports whether --json is among the arguments: if the command line is wrong,
// it may not have been parsed.
func wantsJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}
