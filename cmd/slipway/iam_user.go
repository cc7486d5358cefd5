package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type userAdd struct {
	m        *Main
	policies []string
	key      bool
}

func newUserAddCommand(m *Main) *cobra.Command {
	add := userAdd{m: m}
	cmd := &cobra.Command{
		Use:     "create NAME",
		Aliases: []string{"add"},
		Short:   "Create a user",
		Long: `Create creates a user, who may do nothing until a policy allows it. With --policy
managed policies are attached. With --key an access key is created and printed as
a profile of an AWS credentials file; its secret access key is shown only once.`,
		Example: "  slipway iam user create ann --policy AWSAppRunnerReadOnlyAccess --key > ann.credentials",
		Args:    argCount(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := userNames.check(args[0]); err != nil {
				return usageError(cmd, "%v", err)
			}
			return add.run(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&add.policies, "policy", nil, "`name` or ARN of a managed policy to attach; may be repeated")
	f.BoolVar(&add.key, "key", false, "create an access key")
	return cmd
}

func (add *userAdd) run(ctx context.Context, name string) error {
	m := add.m
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	var arns []*string
	for _, p := range add.policies {
		arn, err := c.PolicyARN(ctx, p)
		if err != nil {
			return err
		}
		arns = append(arns, arn)
	}
	out, err := c.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	if err != nil {
		return c.Target.Explain(err)
	}
	for _, arn := range arns {
		if _, err := c.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: arn}); err != nil {
			return c.Target.Explain(err)
		}
	}
	if add.key {
		return m.addKey(ctx, c, name)
	}
	if m.json {
		return m.printJSON(apiJSON{out})
	}
	m.progress().Say(term.Plain, "Created user %s", name)
	return nil
}

func newUserLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List users",
		Long: `Ls lists the users by name, without the root user. With --json it prints the reply
of ListUsers, all pages in one.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.listUsers(cmd.Context()) },
	}
}

func (m *Main) listUsers(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	users, err := c.Users(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Users []apiJSON }{apiList(users)})
	}
	if len(users) == 0 {
		m.progress().Say(term.Plain, "No users yet. `slipway iam user create NAME` creates one.")
		return nil
	}
	t := term.Table{Head: []string{"NAME", "ID", "CREATED"}}
	for _, u := range users {
		t.Add(term.Cell{Text: aws.ToString(u.UserName)}, term.Cell{Text: aws.ToString(u.UserId)}, term.Cell{Text: term.Ago(m.Now(), aws.ToTime(u.CreateDate))})
	}
	return t.Write(m.Stdout, m.outStyle())
}

func newUserRmCommand(m *Main) *cobra.Command {
	force, yes := false, false
	cmd := &cobra.Command{
		Use:               "rm NAME",
		ValidArgsFunction: m.completing(listUsers),
		Short:             "Delete a user",
		Long: `Rm deletes a user without access keys and policies; with --force these are deleted
or detached first. The user's temporary credentials become invalid.` + confirmNote,
		Args: argCount(1, 1, "the name of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Delete user %s?", args[0]); err != nil {
				return err
			}
			return m.removeUser(cmd.Context(), args[0], force)
		},
	}
	addYesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&force, "force", false, "delete the user's access keys and inline policies, and detach managed ones, first")
	return cmd
}

func (m *Main) removeUser(ctx context.Context, name string, force bool) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	if force {
		if err := c.EmptyUser(ctx, name); err != nil {
			return err
		}
	}
	if _, err := c.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name}); err != nil {
		p := c.Target.Explain(err)
		if _, inUse := errors.AsType[*types.DeleteConflictException](err); inUse {
			p.Hint = "--force deletes the user's access keys and inline policies, and detaches managed ones."
		}
		return p
	}
	m.progress().Say(term.Plain, "Deleted user %s", name)
	return nil
}

// addKey creates an access key and prints it.
func (m *Main) addKey(ctx context.Context, c *client.Client, user string) error {
	owner, err := c.KeyOwner(ctx, user)
	if err != nil {
		return err
	}
	out, err := c.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: owner})
	if err != nil {
		return c.Target.Explain(err)
	}
	if m.json {
		return m.printJSON(apiJSON{out})
	}
	k := out.AccessKey
	_, err = fmt.Fprintf(m.Stdout, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", user, *k.AccessKeyId, *k.SecretAccessKey, c.Identity.Region)
	return err
}
