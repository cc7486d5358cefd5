package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
)

// commandLine is a slipway command in an example or a sentence, without what the shell
// does with its input and output.
var commandLine = regexp.MustCompile(`(?:^|[\s("])slipway ([^|<>)]*)`)

// TestExamples parses the examples of all commands: their commands, flags, values and
// numbers of arguments exist.
func TestExamples(t *testing.T) {
	t.Parallel()
	m := &Main{Getenv: func(string) string { return "" }, Now: time.Now}
	n := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for _, found := range commandLine.FindAllStringSubmatch(line, -1) {
				n++
				if err := m.parses(strings.TrimRight(found[1], "\"\n ")); err != nil {
					t.Errorf("the example of %s: %s: %v", cmd.CommandPath(), strings.TrimSpace(line), err)
				}
			}
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(m.newRoot())
	if n < 50 {
		t.Errorf("%d examples were found", n)
	}
	for _, bad := range []string{"frob", "ls --frob", "up . --min many", "rm", "secret frob"} {
		if m.parses(bad) == nil {
			t.Errorf("slipway %s is accepted", bad)
		}
	}
}

// parses parses a command line as far as the command's own checks.
func (m *Main) parses(line string) error {
	words, err := shellquote.Split(line)
	if err != nil {
		return err
	}
	root := m.newRoot()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
