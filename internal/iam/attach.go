package iam

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// attachments adds the operations that attach managed policies to users.
func (i *IAM) attachments() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("AttachUserPolicy", i.attach, func(tx *store.Tx, in *iam.AttachUserPolicyInput) ([]gateway.Permission, error) {
			return i.attachPermissions(tx, in.UserName, in.PolicyArn), nil
		}),
		gateway.Mutate("DetachUserPolicy", i.detach, func(tx *store.Tx, in *iam.DetachUserPolicyInput) ([]gateway.Permission, error) {
			return i.attachPermissions(tx, in.UserName, in.PolicyArn), nil
		}),
		gateway.Read("ListAttachedUserPolicies", i.listAttached, onUser(i, func(in *iam.ListAttachedUserPoliciesInput) *string { return in.UserName })),
		gateway.Read("ListEntitiesForPolicy", i.listEntities, onPolicy(func(in *iam.ListEntitiesForPolicyInput) *string { return in.PolicyArn })),
	}
}

// attachPermissions: besides the user, the policy may be a condition.
func (i *IAM) attachPermissions(tx *store.Tx, user, arn *string) []gateway.Permission {
	keys := policy.NewContext()
	keys.Set("iam:PolicyARN", aws.ToString(arn))
	return []gateway.Permission{{Resource: i.userARN(tx, user), Context: keys}}
}

func (i *IAM) attach(ctx context.Context, call *gateway.Call, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return &iam.AttachUserPolicyOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		have, err := tx.AttachedPolicies(u.Name)
		if err != nil {
			return err
		}
		if len(have) >= maxAttached && !slices.Contains(have, p.ARN) {
			return quota("Cannot exceed quota for PoliciesPerUser: %d", maxAttached)
		}
		return tx.AttachPolicy(u.Name, p.ARN)
	})
}

func (i *IAM) detach(ctx context.Context, call *gateway.Call, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return &iam.DetachUserPolicyOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		arn, err := required("policyArn", in.PolicyArn)
		if err != nil {
			return err
		}
		err = tx.DetachPolicy(u.Name, arn)
		if errors.Is(err, store.ErrNotFound) {
			return noSuchEntity("Policy %s was not found.", arn)
		}
		return err
	})
}

func (i *IAM) listAttached(ctx context.Context, _ *gateway.Call, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	out := iam.ListAttachedUserPoliciesOutput{AttachedPolicies: []types.AttachedPolicy{}}
	err := i.withUser(ctx, in.UserName, i.cfg.Store.View, func(tx *store.Tx, u slipway.User) error {
		arns, err := tx.AttachedPolicies(u.Name)
		if err != nil {
			return err
		}
		arns, out.Marker, err = paginate(arns, in.Marker, in.MaxItems, func(arn string) string { return arn })
		out.IsTruncated = out.Marker != nil
		if err != nil {
			return err
		}
		for _, arn := range arns {
			p, err := i.policy(tx, &arn)
			if err != nil {
				return err
			}
			out.AttachedPolicies = append(out.AttachedPolicies, types.AttachedPolicy{PolicyArn: &p.ARN, PolicyName: &p.Name})
		}
		return nil
	})
	return &out, err
}

func (i *IAM) listEntities(ctx context.Context, call *gateway.Call, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	out := iam.ListEntitiesForPolicyOutput{PolicyGroups: []types.PolicyGroup{}, PolicyRoles: []types.PolicyRole{}, PolicyUsers: []types.PolicyUser{}}
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		names, err := tx.PolicyUsers(p.ARN)
		if err != nil {
			return err
		}
		names, err = gateway.Permitted(tx, call, names, func(name string) gateway.Permission {
			return gateway.Permission{Resource: i.userARN(tx, &name), DenyOnly: true}
		})
		if err != nil {
			return err
		}
		names, out.Marker, err = paginate(names, in.Marker, in.MaxItems, func(name string) string { return name })
		out.IsTruncated = out.Marker != nil
		for _, name := range names {
			u, err := i.user(tx, name)
			if err != nil {
				return err
			}
			out.PolicyUsers = append(out.PolicyUsers, types.PolicyUser{UserName: &u.Name, UserId: &u.ID})
		}
		return err
	})
	return &out, err
}
