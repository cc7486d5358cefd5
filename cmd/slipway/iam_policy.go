package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newPolicyPutCommand(m *Main) *cobra.Command {
	user := ""
	cmd := &cobra.Command{
		Use:   "put NAME FILE",
		Short: "Create a policy, or change its document",
		Long: `Put creates a managed policy from a document, or adds the document to an existing
policy as its new default version; the last five versions are kept. With --user
the policy is an inline policy of that user. FILE is - for standard input.`,
		Example: `  slipway iam policy put deployers deployers.json
  slipway iam policy put own-keys - --user ann < own-keys.json`,
		Args: argCount(2, 2, "the name of a policy and a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := policyNames.check(args[0]); err != nil {
				return usageError(cmd, "%v", err)
			}
			return m.putPolicy(cmd.Context(), user, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`name` of the user whose policy it is")
	return cmd
}

func (m *Main) putPolicy(ctx context.Context, user, name, file string) error {
	document, err := m.readDocument(file)
	if err != nil {
		return err
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	if user == "" {
		arn, err := c.PutPolicy(ctx, name, document)
		if err != nil {
			return err
		}
		if m.json {
			return m.printJSON(struct{ PolicyArn string }{arn})
		}
		m.progress().Say(term.Plain, "Put policy %s", arn)
		return nil
	}
	if _, err := c.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &document}); err != nil {
		return c.Target.Explain(err)
	}
	m.progress().Say(term.Plain, "Put policy %s of user %s", name, user)
	return nil
}

// maxPolicyFile is how many bytes of a policy's file are read; IAM's own limits
// are far lower.
const maxPolicyFile = 1 << 20

func (m *Main) readDocument(file string) (string, error) {
	in := m.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", &client.Problem{Text: err.Error(), Misuse: true}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPolicyFile))
	return string(text), err
}

func newPolicyLsCommand(m *Main) *cobra.Command {
	user := ""
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List policies",
		Long: `Ls lists the managed policies, including AWS managed ones. With --user it lists the
policies attached to that user and the user's inline policies.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user != "" {
				return m.listPoliciesOf(cmd.Context(), user)
			}
			return m.listPolicies(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`name` of the user whose policies to list")
	return cmd
}

func (m *Main) listPolicies(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	list, err := c.Policies(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Policies []apiJSON }{apiList(list)})
	}
	t := term.Table{Head: []string{"NAME", "ARN", "VERSION", "USERS"}}
	for _, p := range list {
		t.Add(term.Cell{Text: aws.ToString(p.PolicyName)}, term.Cell{Text: aws.ToString(p.Arn)},
			term.Cell{Text: aws.ToString(p.DefaultVersionId)}, term.Cell{Text: fmt.Sprint(aws.ToInt32(p.AttachmentCount))})
	}
	return t.Write(m.Stdout, m.outStyle())
}

func (m *Main) listPoliciesOf(ctx context.Context, user string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	attached, err := c.IAM.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &user})
	if err != nil {
		return c.Target.Explain(err)
	}
	own, err := c.IAM.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: &user})
	if err != nil {
		return c.Target.Explain(err)
	}
	if m.json {
		return m.printJSON(struct {
			AttachedPolicies []apiJSON
			PolicyNames      []string
		}{apiList(attached.AttachedPolicies), own.PolicyNames})
	}
	t := term.Table{Head: []string{"NAME", "ARN"}}
	for _, p := range attached.AttachedPolicies {
		t.Add(term.Cell{Text: aws.ToString(p.PolicyName)}, term.Cell{Text: aws.ToString(p.PolicyArn)})
	}
	for _, name := range own.PolicyNames {
		t.Add(term.Cell{Text: name}, term.Cell{Text: "inline", Tone: term.Faint})
	}
	return t.Write(m.Stdout, m.outStyle())
}

func newPolicyShowCommand(m *Main) *cobra.Command {
	user := ""
	cmd := &cobra.Command{
		Use:               "show NAME",
		ValidArgsFunction: m.completing(listPolicies),
		Short:             "Print a policy's document",
		Long:              "Show prints the document of a managed policy, given by its name or ARN. With --user\nit prints the document of an inline policy of that user.",
		Args:              argCount(1, 1, "the name or ARN of a policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.connect(cmd.Context())
			if err != nil {
				return err
			}
			text, err := c.PolicyDocument(cmd.Context(), user, args[0])
			if err != nil {
				return err
			}
			if m.json && json.Valid([]byte(text)) {
				return m.printJSON(json.RawMessage(text))
			}
			_, err = fmt.Fprintln(m.Stdout, strings.TrimRight(text, "\n"))
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`name` of the user whose policy it is")
	return cmd
}

func newPolicyRmCommand(m *Main) *cobra.Command {
	user, force, yes := "", false, false
	cmd := &cobra.Command{
		Use:               "rm NAME",
		ValidArgsFunction: m.completing(listPolicies),
		Short:             "Delete a policy",
		Long: `Rm deletes a managed policy with its versions; with --force it is detached from
its users first. With --user it deletes an inline policy of that user.` + confirmNote,
		Args: argCount(1, 1, "the name or ARN of a policy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Delete policy %s?", args[0]); err != nil {
				return err
			}
			return m.removePolicy(cmd.Context(), user, args[0], force)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`name` of the user whose policy it is")
	cmd.Flags().BoolVar(&force, "force", false, "detach the policy from its users first")
	addYesFlag(cmd, &yes)
	return cmd
}

func (m *Main) removePolicy(ctx context.Context, user, name string, force bool) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	if user != "" {
		if _, err := c.IAM.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &name}); err != nil {
			return c.Target.Explain(err)
		}
		m.progress().Say(term.Plain, "Deleted policy %s of user %s", name, user)
		return nil
	}
	arn, err := c.PolicyARN(ctx, name)
	if err != nil {
		return err
	}
	if err := c.DeletePolicy(ctx, arn, force); err != nil {
		return err
	}
	m.progress().Say(term.Plain, "Deleted policy %s", *arn)
	return nil
}

// newPolicyAttachCommand returns the verb attach or detach.
func newPolicyAttachCommand(m *Main, attach bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "attach USER POLICY",
		ValidArgsFunction: m.completing(listUsers, listPolicies),
		Short:             "Attach a managed policy to a user",
		Long:              "Attach attaches a managed policy, given by its name or ARN, to a user.",
		Example:           "  slipway iam policy attach ann AWSAppRunnerFullAccess",
		Args:              argCount(2, 2, "the name of a user and the name or ARN of a policy"),
	}
	done := "Attached %s to %s"
	if !attach {
		done = "Detached %s from %s"
		cmd.Use, cmd.Short, cmd.Example = "detach USER POLICY", "Detach a managed policy from a user", ""
		cmd.Long = "Detach detaches a managed policy, given by its name or ARN, from a user."
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c, err := m.connect(ctx)
		if err != nil {
			return err
		}
		arn, err := c.PolicyARN(ctx, args[1])
		if err != nil {
			return err
		}
		if attach {
			_, err = c.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &args[0], PolicyArn: arn})
		} else {
			_, err = c.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &args[0], PolicyArn: arn})
		}
		if err != nil {
			return c.Target.Explain(err)
		}
		m.progress().Say(term.Plain, done, *arn, args[0])
		return nil
	}
	return cmd
}
