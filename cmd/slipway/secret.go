package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newSecretCommand(m *Main) *cobra.Command {
	cmd := group("secret", "Manage secrets of services", `Secret manages the secrets that the server stores, encrypted, for the
RuntimeEnvironmentSecrets of services. Clients of AWS Secrets Manager see the same
secrets. A service reads them when it is deployed or resumed: a new value takes
effect with the next deployment.`)
	cmd.AddCommand(newSecretPutCommand(m), newSecretGetCommand(m), newSecretLsCommand(m), newSecretRmCommand(m))
	return cmd
}

// maxSecret is the largest value in bytes.
const maxSecret = 64 << 10

type secretPut struct {
	m           *Main
	file        string
	description string
	raw         bool
}

func newSecretPutCommand(m *Main) *cobra.Command {
	put := secretPut{m: m}
	cmd := &cobra.Command{
		Use:               "put NAME",
		ValidArgsFunction: m.completing(listSecrets),
		Short:             "Create a secret, or set its value",
		Long: `Put sets the value of a secret, and creates the secret if it does not exist. The
value is read from standard input, or from a file with --file; on a terminal put
asks for it without echo. It is never an argument, which every user of the host
could see. One trailing line break is removed, unless --raw is given. A value that
is not valid UTF-8 is stored as binary.

It prints the secret's ARN, which RuntimeEnvironmentSecrets refer to.`,
		Example: `  slipway secret put shop/db < password.txt
  slipway secret put shop/config --file config.json`,
		Args: argCount(1, 1, "the name of a secret"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !strings.HasPrefix(args[0], "arn:") {
				if err := secretNames.check(args[0]); err != nil {
					return usageError(cmd, "%v", err)
				}
			}
			return put.run(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVarP(&put.file, "file", "f", "", "`file` with the value (default: standard input)")
	f.StringVar(&put.description, "description", "", "what the secret is for")
	f.BoolVar(&put.raw, "raw", false, "keep the trailing line break")
	return cmd
}

func (put *secretPut) run(ctx context.Context, name string) error {
	value, err := put.value(name)
	if err != nil {
		return err
	}
	c, err := put.m.connect(ctx)
	if err != nil {
		return err
	}
	arn, version, existed, err := c.PutSecret(ctx, name, value, !utf8.Valid(value), put.description)
	if err != nil {
		return err
	}
	if put.m.json {
		return put.m.printJSON(struct {
			ARN       string
			VersionID string `json:"VersionId"`
		}{arn, version})
	}
	said := "Secret %s is created"
	if existed {
		said = "Secret %s has a new value; services read it at their next deployment"
	}
	put.m.progress().Say(term.Good, said, name)
	_, err = fmt.Fprintln(put.m.Stdout, arn)
	return err
}

func (put *secretPut) value(name string) ([]byte, error) {
	b, err := put.read(name)
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecret+2 {
		return nil, &client.Problem{Misuse: true, Text: fmt.Sprintf("the value has more than %d bytes, the most that a secret can have", maxSecret)}
	}
	if !put.raw {
		b = []byte(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"))
	}
	if len(b) == 0 {
		return nil, &client.Problem{Misuse: true, Text: "no value was given", Hint: "Give it on standard input or with --file."}
	}
	return b, nil
}

func (put *secretPut) read(name string) ([]byte, error) {
	in := put.m.Stdin
	switch {
	case put.file != "" && put.file != "-":
		f, err := os.Open(put.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	case term.IsTerminal(in):
		fmt.Fprintf(put.m.Stderr, "Value of %s: ", name)
		typed, err := xterm.ReadPassword(int(in.(*os.File).Fd()))
		fmt.Fprintln(put.m.Stderr)
		return typed, err
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSecret+3))
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	return b, nil
}

func newSecretGetCommand(m *Main) *cobra.Command {
	stage := ""
	cmd := &cobra.Command{
		Use:               "get NAME|ARN",
		ValidArgsFunction: m.completing(listSecrets),
		Short:             "Print the value of a secret",
		Long: `Get prints a secret's value verbatim; on a terminal a line break follows. With
--json it prints the reply of GetSecretValue.`,
		Example: "  slipway secret get shop/db --stage AWSPREVIOUS",
		Args:    argCount(1, 1, "the name of a secret"),
		RunE:    func(cmd *cobra.Command, args []string) error { return m.getSecret(cmd.Context(), args[0], stage) },
	}
	cmd.Flags().StringVar(&stage, "stage", "AWSCURRENT", "`stage` of the version to print")
	return cmd
}

func (m *Main) getSecret(ctx context.Context, id, stage string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	out, err := c.SecretValue(ctx, id, stage)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(apiJSON{out})
	}
	value := out.SecretBinary
	if out.SecretString != nil {
		value = []byte(*out.SecretString)
	}
	if term.IsTerminal(m.Stdout) {
		value = append(value, '\n')
	}
	_, err = m.Stdout.Write(value)
	return err
}

func newSecretLsCommand(m *Main) *cobra.Command {
	deleted := false
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List secrets",
		Long: `Ls lists secrets by name, without their values. With --json it prints the reply of
ListSecrets, all pages in one.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.listSecrets(cmd.Context(), deleted) },
	}
	cmd.Flags().BoolVar(&deleted, "deleted", false, "also list secrets that are scheduled for deletion")
	return cmd
}

func (m *Main) listSecrets(ctx context.Context, deleted bool) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	list, err := c.ListSecrets(ctx, deleted)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ SecretList []apiJSON }{apiList(list)})
	}
	if len(list) == 0 {
		m.progress().Say(term.Plain, "No secrets yet. `slipway secret put NAME` creates one.")
		return nil
	}
	t := term.Table{Head: []string{"NAME", "VERSIONS", "CHANGED", "DESCRIPTION"}}
	for _, s := range list {
		changed := term.Cell{Text: term.Ago(m.Now(), aws.ToTime(s.LastChangedDate))}
		if s.DeletedDate != nil {
			changed = term.Cell{Text: "deleted " + term.Ago(m.Now(), *s.DeletedDate), Tone: term.Faint}
		}
		t.Add(
			term.Cell{Text: aws.ToString(s.Name)},
			term.Cell{Text: fmt.Sprint(len(s.SecretVersionsToStages))},
			changed,
			term.Cell{Text: aws.ToString(s.Description)},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}

type secretRm struct {
	m       *Main
	now     bool
	yes     bool
	restore bool
	days    int64
}

func newSecretRmCommand(m *Main) *cobra.Command {
	rm := secretRm{m: m}
	cmd := &cobra.Command{
		Use:               "rm NAME|ARN",
		ValidArgsFunction: m.completing(listSecrets),
		Short:             "Delete a secret",
		Long: `Rm schedules a secret for deletion. Until then --restore cancels the deletion; with
--now the secret is deleted immediately. Services that refer to it keep running,
but can't be deployed.` + confirmNote,
		Args: argCount(1, 1, "the name of a secret"),
		RunE: func(cmd *cobra.Command, args []string) error { return rm.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&rm.now, "now", false, "delete the secret immediately")
	f.BoolVar(&rm.restore, "restore", false, "cancel a scheduled deletion")
	f.Int64Var(&rm.days, "days", 30, "`days` until the deletion, 7 to 30")
	addYesFlag(cmd, &rm.yes)
	return cmd
}

func (rm *secretRm) run(cmd *cobra.Command, id string) error {
	if rm.now && rm.restore {
		return usageError(cmd, "--now and --restore exclude each other")
	}
	if rm.days < 7 || rm.days > 30 {
		return usageError(cmd, "--days is %d; it must be 7 to 30, and --now deletes the secret immediately", rm.days)
	}
	if err := rm.m.confirm(cmd, rm.yes || rm.restore, "Delete secret %s? Services that refer to it can't be deployed then.", id); err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := rm.m.connect(ctx)
	if err != nil {
		return err
	}
	if rm.restore {
		out, err := c.RestoreSecret(ctx, id)
		if err != nil {
			return err
		}
		if rm.m.json {
			return rm.m.printJSON(apiJSON{out})
		}
		rm.m.progress().Say(term.Good, "Secret %s is restored", id)
		return nil
	}
	out, err := c.DeleteSecret(ctx, id, rm.now, rm.days)
	if err != nil {
		return err
	}
	switch {
	case rm.m.json:
		return rm.m.printJSON(apiJSON{out})
	case rm.now:
		rm.m.progress().Say(term.Good, "Secret %s is deleted", id)
	default:
		rm.m.progress().Say(term.Good, "Secret %s will be deleted on %s; until then --restore cancels the deletion", id, aws.ToTime(out.DeletionDate).Format("2006-01-02"))
	}
	return nil
}
