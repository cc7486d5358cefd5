package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestDocs compares docs/cli.md with the commands' help; -update rewrites it.
// Cobra's own generator writes a file per command and needs two more modules.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file = "../../docs/cli.md"
	m := &Main{Getenv: func(string) string { return "" }, Now: time.Now}
	var b bytes.Buffer
	b.WriteString("# The command line\n\n<!-- Written by `go test ./cmd/slipway -run TestDocs -update`. -->\n")
	root := m.newRoot()
	root.InitDefaultCompletionCmd()
	document(&b, root)
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("%s is not current (go test ./cmd/slipway -run TestDocs -update):\n%s", file, diff)
	}
}

// document writes a command and those below it.
func document(b *bytes.Buffer, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n", cmd.CommandPath())
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	b.WriteString(long + "\n")
	if cmd.Runnable() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nFor example:\n\n```\n%s\n```\n", cmd.Example)
	}
	cmd.InitDefaultHelpFlag()
	if usages := cmd.NonInheritedFlags().FlagUsages(); strings.TrimSpace(usages) != "" {
		title := "Flags"
		if !cmd.HasParent() {
			title = "Flags of every command"
		}
		fmt.Fprintf(b, "\n%s:\n\n```\n%s```\n", title, usages)
	}
	if cmd.Name() == "completion" {
		return // cobra's own, one per shell
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			document(b, c)
		}
	}
}
