package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/lint"
	"github.com/openslipway/slipway/internal/cli/term"
)

type lintVerb struct {
	m      *Main
	fix    bool
	schema bool
}

func newLintCommand(m *Main) *cobra.Command {
	l := lintVerb{m: m}
	cmd := &cobra.Command{
		Use:   "lint [PATH]",
		Short: "Check an apprunner.yaml, and repair it",
		Long: `Lint checks the apprunner.yaml of a directory (default: the current one), or a file,
without a server. It prints each finding with its line and column, what was found,
what was meant and, where there is a repair, what --fix does. An error keeps App
Runner and Slipway from using the file; a warning is about what works here but is
not what it seems, not portable to App Runner or not safe. Values that look like
credentials are named by line and never printed.

--fix repairs the file in place, with its comments and layout, and prints what it
changed; a file called apprunner.yml is renamed. Repairs that could mean several
things are left to you.

The exit code is 0 without errors, also when there are warnings; 1 with errors, or
when there is no file; 2 when the command line is wrong. With --json it prints
{"Path": ..., "Errors": n, "Warnings": n, "Findings": [...], "Repaired": [...]}.

--schema prints the JSON Schema of the file, for editors. docs/apprunner-yaml.md
describes the file and every finding.`,
		Example: "  slipway lint\n  slipway lint --fix services/shop\n  slipway lint --json apprunner.yaml\n  slipway lint --schema > apprunner.schema.json",
		Args:    argCount(0, 1, "a directory or a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "."
			if len(args) > 0 {
				path = args[0]
			}
			return l.run(cmd, path, len(args) > 0)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&l.fix, "fix", false, "repair the file in place")
	f.BoolVar(&l.schema, "schema", false, "print the JSON Schema of the file")
	return cmd
}

// lintJSON is what `lint --json` prints.
type lintJSON struct {
	Path     string
	Errors   int
	Warnings int
	Findings []findingJSON
	Repaired []findingJSON `json:",omitempty"`
}

type findingJSON struct {
	Line     int
	Column   int
	Severity lint.Severity
	Code     string
	Message  string
	Fix      string `json:",omitempty"`
}

func (l *lintVerb) run(cmd *cobra.Command, path string, given bool) error {
	if l.schema {
		if l.fix || given {
			return usageError(cmd, "--schema takes no PATH and no --fix")
		}
		l.m.printed = true // the schema is a document, too
		_, err := l.m.Stdout.Write(lint.Schema())
		return err
	}
	r, err := lint.Run(path, l.fix)
	if err != nil {
		return err
	}
	if l.m.json {
		err = l.m.printJSON(lintJSON{r.Path, r.Errors(), len(r.Findings) - r.Errors(), findings(r.Findings), findings(r.Repaired)})
	} else {
		err = l.print(r)
	}
	if err != nil || r.Errors() == 0 {
		return err
	}
	return l.failed(r)
}

func findings(all []lint.Finding) []findingJSON {
	out := make([]findingJSON, len(all))
	for i, f := range all {
		out[i] = findingJSON{Line: f.Line, Column: f.Column, Severity: f.Severity, Code: f.Code, Message: f.Message}
		if f.Fix != nil {
			out[i].Fix = f.Fix.Title
		}
	}
	return out
}

// print writes the findings, and to standard error what was repaired and how many are
// left.
func (l *lintVerb) print(r lint.Result) error {
	st := l.m.outStyle()
	for _, f := range r.Findings {
		tone := term.Warn
		if f.Severity == lint.Error {
			tone = term.Bad
		}
		fmt.Fprintf(l.m.Stdout, "%s:%d:%d: %s %s %s\n", term.Printable(r.Path), f.Line, f.Column,
			st.Render(tone, string(f.Severity)+":"), term.Printable(f.Message), st.Render(term.Faint, "["+f.Code+"]"))
		if f.Fix != nil {
			fmt.Fprintf(l.m.Stdout, "    %s %s\n", st.Render(term.Faint, "--fix:"), term.Printable(f.Fix.Title))
		}
	}
	if r.Diff != "" {
		for line := range strings.Lines(r.Diff) {
			fmt.Fprintln(l.m.Stderr, term.Printable(strings.TrimSuffix(line, "\n")))
		}
		fmt.Fprintf(l.m.Stderr, "Repaired %s.\n", plural(len(r.Repaired), "mistake"))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(l.m.Stderr, "%s is right.\n", term.Printable(r.Path))
	} else if r.Errors() == 0 {
		fmt.Fprintf(l.m.Stderr, "%s can be used, with %s.\n", term.Printable(r.Path), plural(len(r.Findings), "warning"))
	}
	return nil
}

func (l *lintVerb) failed(r lint.Result) error {
	p := &client.Problem{Text: fmt.Sprintf("%s has %s", r.Path, plural(r.Errors(), "error"))}
	fixes := 0
	for _, f := range r.Findings {
		if f.Fix != nil {
			fixes++
		}
	}
	if fixes > 0 && !l.fix {
		p.Hint = fmt.Sprintf("`slipway lint --fix %s` repairs %d of %s.", r.Path, fixes, plural(len(r.Findings), "finding"))
	}
	return p
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
