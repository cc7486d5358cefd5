package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/term"
)

func newKeyAddCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "add USER",
		Short: "Make an access key",
		Long: `Add makes an access key of a user and prints it as a profile for an AWS
credentials file. The secret is shown this once.`,
		Example: "  slipway iam key add ann >> ~/.aws/credentials",
		Args:    argCount(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.connect(cmd.Context())
			if err != nil {
				return err
			}
			return m.addKey(cmd.Context(), c, args[0])
		},
	}
}

func newKeyLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls USER",
		Aliases: []string{"list"},
		Short:   "List a user's access keys",
		Long: `Ls lists the access keys of a user without their secrets. With --json it prints
what ListAccessKeys answers, all pages in one.`,
		Args: argCount(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error { return m.listKeys(cmd.Context(), args[0]) },
	}
}

func (m *Main) listKeys(ctx context.Context, user string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	owner, err := c.KeyOwner(ctx, user)
	if err != nil {
		return err
	}
	keys, err := c.AccessKeys(ctx, owner)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ AccessKeyMetadata []apiJSON }{apiList(keys)})
	}
	t := term.Table{Head: []string{"ID", "STATUS", "CREATED"}}
	for _, k := range keys {
		tone := term.Good
		if k.Status != types.StatusTypeActive {
			tone = term.Faint
		}
		t.Add(term.Cell{Text: aws.ToString(k.AccessKeyId)}, term.Cell{Text: string(k.Status), Tone: tone}, term.Cell{Text: term.Ago(m.Now(), aws.ToTime(k.CreateDate))})
	}
	return t.Write(m.Stdout, m.outStyle())
}

// newKeyStatusCommand is enable or disable.
func newKeyStatusCommand(m *Main, active bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable USER KEY",
		Short: "Forbid the use of an access key",
		Long:  "Disable forbids the use of an access key, until `slipway iam key enable` allows it\nagain.",
		Args:  argCount(2, 2, "the name of a user and the id of an access key"),
	}
	status, done := types.StatusTypeInactive, "Disabled"
	if active {
		status, done = types.StatusTypeActive, "Enabled"
		cmd.Use, cmd.Short, cmd.Long = "enable USER KEY", "Allow the use of an access key again", "Enable allows the use of an access key that was disabled."
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return m.onKey(cmd.Context(), args, done, func(c *iam.Client, owner, id *string) error {
			_, err := c.UpdateAccessKey(cmd.Context(), &iam.UpdateAccessKeyInput{UserName: owner, AccessKeyId: id, Status: status})
			return err
		})
	}
	return cmd
}

func newKeyRmCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "rm USER KEY",
		Short: "Remove an access key",
		Long:  "Rm removes an access key. Its secret is gone with it.",
		Args:  argCount(2, 2, "the name of a user and the id of an access key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.onKey(cmd.Context(), args, "Removed", func(c *iam.Client, owner, id *string) error {
				_, err := c.DeleteAccessKey(cmd.Context(), &iam.DeleteAccessKeyInput{UserName: owner, AccessKeyId: id})
				return err
			})
		},
	}
}

// onKey does something to the key that args (user, id) name.
func (m *Main) onKey(ctx context.Context, args []string, done string, do func(c *iam.Client, owner, id *string) error) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	owner, err := c.KeyOwner(ctx, args[0])
	if err != nil {
		return err
	}
	if err := do(c.IAM, owner, &args[1]); err != nil {
		return c.Target.Explain(err)
	}
	m.progress().Say(term.Plain, "%s access key %s of %s", done, args[1], args[0])
	return nil
}
