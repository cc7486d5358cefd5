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
		Use:               "create USER",
		ValidArgsFunction: m.completing(listUsers),
		Aliases:           []string{"add"},
		Short:             "Create an access key",
		Long: `Create creates an access key for a user and prints it as a profile of an AWS
credentials file. The secret access key is shown only once.`,
		Example: "  slipway iam key create ann >> ~/.aws/credentials",
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
		Use:               "ls USER",
		ValidArgsFunction: m.completing(listUsers),
		Aliases:           []string{"list"},
		Short:             "List a user's access keys",
		Long: `Ls lists the access keys of a user, without their secrets. With --json it prints
the reply of ListAccessKeys, all pages in one.`,
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

// newKeyStatusCommand returns the verb activate or deactivate.
func newKeyStatusCommand(m *Main, active bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "deactivate USER KEY",
		ValidArgsFunction: m.completing(listUsers, listKeys),
		Aliases:           []string{"disable"},
		Short:             "Deactivate an access key",
		Long:              "Deactivate deactivates an access key. `slipway iam key activate` activates it\nagain.",
		Args:              argCount(2, 2, "the name of a user and the id of an access key"),
	}
	status, done := types.StatusTypeInactive, "Deactivated"
	if active {
		status, done = types.StatusTypeActive, "Activated"
		cmd.Use, cmd.Aliases = "activate USER KEY", []string{"enable"}
		cmd.Short, cmd.Long = "Activate an access key", "Activate activates an access key that was deactivated."
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
	yes := false
	cmd := &cobra.Command{
		Use:               "rm USER KEY",
		ValidArgsFunction: m.completing(listUsers, listKeys),
		Short:             "Delete an access key",
		Long:              "Rm deletes an access key." + confirmNote,
		Args:              argCount(2, 2, "the name of a user and the id of an access key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Delete access key %s of %s?", args[1], args[0]); err != nil {
				return err
			}
			return m.onKey(cmd.Context(), args, "Deleted", func(c *iam.Client, owner, id *string) error {
				_, err := c.DeleteAccessKey(cmd.Context(), &iam.DeleteAccessKeyInput{UserName: owner, AccessKeyId: id})
				return err
			})
		},
	}
	addYesFlag(cmd, &yes)
	return cmd
}

// onKey calls do with the key that args (user, id) name.
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
