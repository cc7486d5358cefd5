package iam

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// simulations adds the operation that explains decisions.
func (i *IAM) simulations() []gateway.Operation {
	return []gateway.Operation{
		gateway.Read("SimulatePrincipalPolicy", i.simulate, func(_ *store.Tx, in *iam.SimulatePrincipalPolicyInput) ([]gateway.Permission, error) {
			if in.PolicySourceArn == nil {
				return []gateway.Permission{{Resource: "*"}}, nil
			}
			return []gateway.Permission{{Resource: *in.PolicySourceArn}}, nil
		}),
	}
}

// simulate decides as the gateway would, for every action on every resource, and
// names the deciding statement. It knows the tags of the resources and the user;
// the call gives every other condition key.
func (i *IAM) simulate(ctx context.Context, _ *gateway.Call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	arn, err := required("policySourceArn", in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	if len(in.ActionNames) == 0 {
		_, err := required("actionNames", nil)
		return nil, err
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	if len(resources)*len(in.ActionNames) > 1000 {
		return nil, invalid("ActionNames and ResourceArns together must not ask for more than 1000 decisions.")
	}
	out := iam.SimulatePrincipalPolicyOutput{EvaluationResults: []types.EvaluationResult{}}
	err = i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		u, err := i.userOf(tx, arn)
		if err != nil {
			return err
		}
		sources, err := i.sources(tx, u.Name)
		if err != nil {
			return err
		}
		more, err := simulated(in.PolicyInputList)
		if err != nil {
			return err
		}
		sources = append(sources, more...)
		keys, err := i.simulatedKeys(tx, u, in.ContextEntries)
		if err != nil {
			return err
		}
		for _, action := range in.ActionNames {
			for _, resource := range resources {
				result, err := evaluate(tx, policy.Request{Action: action, Resource: resource, Context: keys}, sources)
				if err != nil {
					return err
				}
				out.EvaluationResults = append(out.EvaluationResults, result)
			}
		}
		return nil
	})
	return &out, err
}

// userOf returns the user of an ARN.
func (i *IAM) userOf(tx *store.Tx, arn string) (slipway.User, error) {
	u, err := i.user(tx, arn[strings.LastIndexByte(arn, '/')+1:])
	if err == nil && i.arnOf(u) != arn {
		err = noSuchEntity("The user with ARN %s cannot be found.", arn)
	}
	return u, err
}

// simulated are the policies that a call adds to those of the user.
func simulated(texts []string) ([]source, error) {
	var list []source
	for n := range texts {
		text, err := validDocument(&texts[n])
		if err != nil {
			return nil, err
		}
		d, err := policy.Parse([]byte(text))
		if err != nil {
			return nil, err
		}
		list = append(list, source{policy.Policy{Name: "PolicyInputList." + *versionID(n + 1), Document: d}, text, false})
	}
	return list, nil
}

func (i *IAM) simulatedKeys(tx *store.Tx, u slipway.User, entries []types.ContextEntry) (policy.Context, error) {
	keys := policy.NewContext()
	keys.Set("aws:username", u.Name)
	keys.Set("aws:userid", u.ID)
	keys.Set("aws:PrincipalArn", i.arnOf(u))
	keys.Set("aws:PrincipalAccount", i.cfg.Account)
	keys.Set("aws:PrincipalType", "User")
	tags, err := tx.Tags(i.arnOf(u))
	for _, t := range tags {
		keys.Add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	for _, e := range entries {
		keys.Set(aws.ToString(e.ContextKeyName), e.ContextKeyValues...)
	}
	return keys, err
}

func evaluate(tx *store.Tx, r policy.Request, sources []source) (types.EvaluationResult, error) {
	tags, err := tx.Tags(r.Resource)
	if err != nil {
		return types.EvaluationResult{}, err
	}
	own := policy.NewContext()
	for _, t := range tags {
		own.Add("aws:ResourceTag/"+t.Key, t.Value)
	}
	r.Context = own.With(r.Context)
	policies := make([]policy.Policy, len(sources))
	for n, s := range sources {
		policies[n] = s.Policy
	}
	d := policy.Decide(r, policies)
	result := types.EvaluationResult{
		EvalActionName: &r.Action, EvalResourceName: &r.Resource, EvalDecision: types.PolicyEvaluationDecisionTypeImplicitDeny,
		MatchedStatements: []types.Statement{}, MissingContextValues: []string{},
	}
	switch d.Effect {
	case policy.Allow:
		result.EvalDecision = types.PolicyEvaluationDecisionTypeAllowed
	case policy.Deny:
		result.EvalDecision = types.PolicyEvaluationDecisionTypeExplicitDeny
	default:
		return result, nil
	}
	for _, s := range sources {
		if s.Name == d.Policy {
			result.MatchedStatements = append(result.MatchedStatements, matched(s, d))
			break
		}
	}
	return result, nil
}

// matched is where a decision was made.
func matched(s source, d policy.Decision) types.Statement {
	kind := types.PolicySourceTypeUser
	switch {
	case strings.HasPrefix(s.Name, awsManagedPrefix):
		kind = types.PolicySourceTypeAwsManaged
	case s.managed:
		kind = types.PolicySourceTypeUserManaged
	}
	from, to := policy.Locate([]byte(s.text), d.Statement)
	return types.Statement{
		SourcePolicyId: &s.Name, SourcePolicyType: kind, StartPosition: position(s.text, from), EndPosition: position(s.text, to),
	}
}

// position turns an offset in a text into line and column, counted from 1.
func position(text string, at int) *types.Position {
	before := text[:at]
	line := strings.Count(before, "\n")
	return &types.Position{Line: int32(line + 1), Column: int32(at - strings.LastIndexByte(before, '\n'))}
}
