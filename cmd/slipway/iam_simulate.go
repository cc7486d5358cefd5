package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type simulateCommand struct {
	m       *Main
	context []string
}

func newSimulateCommand(m *Main) *cobra.Command {
	s := simulateCommand{m: m}
	cmd := &cobra.Command{
		Use:               "simulate USER ACTION [RESOURCE...]",
		ValidArgsFunction: m.completing(listUsers),
		Short:             "Explain whether policies allow a user an action",
		Long: `Simulate decides, as the server would, whether a user may perform an action on
resources, and shows which statement of which policy decides. The default
resource is "*". The tags of resources are taken into account. Condition keys of
the request, such as aws:SourceIp, are given with --context; repeat it for a key
with several values.

The exit code is 0 if the action is allowed on every resource, else 1.`,
		Example: `  slipway iam simulate ann apprunner:ListServices
  slipway iam simulate ann apprunner:DeleteService arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c
  slipway iam simulate ann apprunner:CreateService --context aws:SourceIp=10.1.2.3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError(cmd, "%s needs the name of a user and an action", verb(cmd))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0], args[1], args[2:]) },
	}
	cmd.Flags().StringArrayVar(&s.context, "context", nil, "a condition key of the request and its value, as `key=value`; may be repeated")
	return cmd
}

func (s *simulateCommand) run(cmd *cobra.Command, user, action string, resources []string) error {
	ctx, m := cmd.Context(), s.m
	if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" {
		return usageError(cmd, "%s is no action; an action is service:Name, such as apprunner:ListServices", shownValue(action))
	}
	for _, r := range resources {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return usageError(cmd, "%s is no resource; a resource is an ARN or *", shownValue(r))
		}
	}
	entries, err := s.entries(cmd)
	if err != nil {
		return err
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	u, err := c.IAM.GetUser(ctx, &iam.GetUserInput{UserName: &user})
	if err != nil {
		return c.Target.Explain(err)
	}
	out, err := c.IAM.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: u.User.Arn, ActionNames: []string{action}, ResourceArns: resources, ContextEntries: entries,
	})
	if err != nil {
		return c.Target.Explain(err)
	}
	if m.json {
		if err := m.printJSON(apiJSON{out}); err != nil {
			return err
		}
		return denied(user, action, out.EvaluationResults)
	}
	for _, r := range out.EvaluationResults {
		fmt.Fprintf(m.Stdout, "%s %s: %s\n", aws.ToString(r.EvalActionName), aws.ToString(r.EvalResourceName), s.explain(r))
	}
	return denied(user, action, out.EvaluationResults)
}

// denied is the error of an action that is not allowed on all resources.
func denied(user, action string, results []types.EvaluationResult) error {
	for _, r := range results {
		if r.EvalDecision != types.PolicyEvaluationDecisionTypeAllowed {
			return &client.Problem{Text: fmt.Sprintf("%s may not %s on %s", user, action, aws.ToString(r.EvalResourceName))}
		}
	}
	return nil
}

// explain describes a decision.
func (s *simulateCommand) explain(r types.EvaluationResult) string {
	style := s.m.outStyle()
	text := style.Render(term.Bad, "denied") + ", no policy allows it"
	switch r.EvalDecision {
	case types.PolicyEvaluationDecisionTypeAllowed:
		text = style.Render(term.Good, "allowed")
	case types.PolicyEvaluationDecisionTypeExplicitDeny:
		text = style.Render(term.Bad, "denied")
	}
	for _, m := range r.MatchedStatements {
		text += " by policy " + aws.ToString(m.SourcePolicyId)
		if m.StartPosition != nil {
			text += fmt.Sprintf(", the statement at line %d", m.StartPosition.Line)
		}
	}
	return text
}

func (s *simulateCommand) entries(cmd *cobra.Command) ([]types.ContextEntry, error) {
	var list []types.ContextEntry
	at := map[string]int{}
	for _, text := range s.context {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, usageError(cmd, "--context is %q; it must be key=value", text)
		}
		if i, again := at[key]; again {
			list[i].ContextKeyValues = append(list[i].ContextKeyValues, value)
			list[i].ContextKeyType = types.ContextKeyTypeEnumStringList
			continue
		}
		at[key] = len(list)
		list = append(list, types.ContextEntry{ContextKeyName: &key, ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{value}})
	}
	return list, nil
}
