package iam

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// inline adds the operations on inline policies of users.
func (i *IAM) inline() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("PutUserPolicy", i.putInline, onUser(i, func(in *iam.PutUserPolicyInput) *string { return in.UserName })),
		gateway.Read("GetUserPolicy", i.getInline, onUser(i, func(in *iam.GetUserPolicyInput) *string { return in.UserName })),
		gateway.Read("ListUserPolicies", i.listInline, onUser(i, func(in *iam.ListUserPoliciesInput) *string { return in.UserName })),
		gateway.Mutate("DeleteUserPolicy", i.deleteInline, onUser(i, func(in *iam.DeleteUserPolicyInput) *string { return in.UserName })),
	}
}

func (i *IAM) putInline(ctx context.Context, call *gateway.Call, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	name, err := validName("policyName", in.PolicyName, maxPolicyName)
	if err != nil {
		return nil, err
	}
	document, err := validDocument(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	return &iam.PutUserPolicyOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		have, err := tx.InlinePolicies(u.Name)
		if err != nil {
			return err
		}
		size := sizeOf(document)
		for _, p := range have {
			if p.Name != name {
				size += sizeOf(p.Document)
			}
		}
		if size > maxInlineDocuments {
			return quota("Maximum policy size of %d bytes exceeded for user %s", maxInlineDocuments, u.Name)
		}
		return tx.PutInlinePolicy(u.Name, slipway.InlinePolicy{Name: name, Document: document})
	})
}

func (i *IAM) getInline(ctx context.Context, _ *gateway.Call, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	name, err := required("policyName", in.PolicyName)
	if err != nil {
		return nil, err
	}
	var out iam.GetUserPolicyOutput
	err = i.withUser(ctx, in.UserName, i.cfg.Store.View, func(tx *store.Tx, u slipway.User) error {
		have, err := tx.InlinePolicies(u.Name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(have, func(p slipway.InlinePolicy) bool { return p.Name == name })
		if at < 0 {
			return noInline(name)
		}
		out.UserName, out.PolicyName, out.PolicyDocument = &u.Name, &name, encoded(have[at].Document)
		return nil
	})
	return &out, err
}

func noInline(name string) error {
	return noSuchEntity("The user policy with name %.128s cannot be found.", name)
}

func (i *IAM) listInline(ctx context.Context, _ *gateway.Call, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	out := iam.ListUserPoliciesOutput{PolicyNames: []string{}}
	err := i.withUser(ctx, in.UserName, i.cfg.Store.View, func(tx *store.Tx, u slipway.User) error {
		have, err := tx.InlinePolicies(u.Name)
		if err != nil {
			return err
		}
		have, out.Marker, err = paginate(have, in.Marker, in.MaxItems, func(p slipway.InlinePolicy) string { return p.Name })
		out.IsTruncated = out.Marker != nil
		for _, p := range have {
			out.PolicyNames = append(out.PolicyNames, p.Name)
		}
		return err
	})
	return &out, err
}

func (i *IAM) deleteInline(ctx context.Context, call *gateway.Call, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	name, err := required("policyName", in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.DeleteUserPolicyOutput{}, i.withUser(ctx, in.UserName, call.Update, func(tx *store.Tx, u slipway.User) error {
		err := tx.DeleteInlinePolicy(u.Name, name)
		if errors.Is(err, store.ErrNotFound) {
			return noInline(name)
		}
		return err
	})
}
