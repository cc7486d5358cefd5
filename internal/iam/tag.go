package iam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// policyTags adds the operations on the tags of managed policies.
func (i *IAM) policyTags() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("TagPolicy", i.tagPolicy, onPolicy(func(in *iam.TagPolicyInput) *string { return in.PolicyArn }).With(func(in *iam.TagPolicyInput) policy.Context { return tagKeys(in.Tags) })),
		gateway.Mutate("UntagPolicy", i.untagPolicy, onPolicy(func(in *iam.UntagPolicyInput) *string { return in.PolicyArn }).With(func(in *iam.UntagPolicyInput) policy.Context { return tags.Removed(in.TagKeys) })),
		gateway.Read("ListPolicyTags", i.listPolicyTags, onPolicy(func(in *iam.ListPolicyTagsInput) *string { return in.PolicyArn })),
	}
}

// permissionsToCreate returns the permissions required to create a resource with
// tags: setting them is a separate action.
func permissionsToCreate(action, arn string, tags []types.Tag) []gateway.Permission {
	return gateway.Permission{Resource: arn, Context: tagKeys(tags)}.WithTagging(action, len(tags) > 0)
}

// tagsOf returns the tags of a call.
func tagsOf(in []types.Tag) []slipway.Tag {
	return tags.Of(in, func(t types.Tag) (key, value *string) { return t.Key, t.Value })
}

// tagKeys are the condition keys of a call that sets tags.
func tagKeys(in []types.Tag) policy.Context { return tags.Set(tagsOf(in)) }

func viewTags(tags []slipway.Tag) (list []types.Tag) {
	for _, t := range tags {
		list = append(list, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	return list
}

func (i *IAM) tagPolicy(ctx context.Context, call *gateway.Call, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	tags, err := validTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &iam.TagPolicyOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		return tagRules().Add(tx, p.ARN, tags)
	})
}

func (i *IAM) untagPolicy(ctx context.Context, call *gateway.Call, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return &iam.UntagPolicyOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		return tx.DeleteTags(p.ARN, in.TagKeys)
	})
}

func (i *IAM) listPolicyTags(ctx context.Context, _ *gateway.Call, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	out := iam.ListPolicyTagsOutput{Tags: []types.Tag{}}
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		tags, err := tx.Tags(p.ARN)
		out.Tags = append(out.Tags, viewTags(tags)...)
		return err
	})
	return &out, err
}
