package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// rootUser is the root user's name on the command line. IAM's calls have no name
// for it.
const rootUser = "root"

// KeyOwner returns the user name for calls about access keys: nil for the root
// user, whose keys only the root user can work with.
func (c *Client) KeyOwner(ctx context.Context, name string) (*string, error) {
	if name != rootUser {
		return &name, nil
	}
	me, err := c.IAM.GetUser(ctx, &iam.GetUserInput{})
	if err != nil {
		return nil, c.Target.Explain(err)
	}
	if !strings.HasSuffix(aws.ToString(me.User.Arn), ":root") {
		return nil, &Problem{Text: "only the root user can work with its access keys; this is user " + aws.ToString(me.User.UserName)}
	}
	return nil, nil
}

// Users returns all users.
func (c *Client) Users(ctx context.Context) ([]types.User, error) {
	var list []types.User
	pages := iam.NewListUsersPaginator(c.IAM, &iam.ListUsersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.Target.Explain(err)
		}
		list = append(list, page.Users...)
	}
	return list, nil
}

// AccessKeys returns a user's access keys; user is as KeyOwner returns it.
func (c *Client) AccessKeys(ctx context.Context, user *string) ([]types.AccessKeyMetadata, error) {
	var list []types.AccessKeyMetadata
	pages := iam.NewListAccessKeysPaginator(c.IAM, &iam.ListAccessKeysInput{UserName: user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.Target.Explain(err)
		}
		list = append(list, page.AccessKeyMetadata...)
	}
	return list, nil
}

// Policies returns all managed policies.
func (c *Client) Policies(ctx context.Context) ([]types.Policy, error) {
	var list []types.Policy
	pages := iam.NewListPoliciesPaginator(c.IAM, &iam.ListPoliciesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.Target.Explain(err)
		}
		list = append(list, page.Policies...)
	}
	return list, nil
}

// Policy returns the managed policy with a name or ARN, nil if there is none. A name
// that a customer managed and an AWS managed policy bear is refused.
func (c *Client) Policy(ctx context.Context, nameOrARN string) (*types.Policy, error) {
	own, aws, err := c.policies(ctx, nameOrARN)
	switch {
	case err != nil:
		return nil, err
	case own != nil && aws != nil:
		return nil, &Problem{
			Text: fmt.Sprintf("%q is the name of two policies", nameOrARN),
			Hint: fmt.Sprintf("Give the ARN of the one that is meant: %s or %s.", *own.Arn, *aws.Arn),
		}
	case own != nil:
		return own, nil
	}
	return aws, nil
}

// policies returns the customer managed and the AWS managed policy that a name or ARN
// names; nil for none.
func (c *Client) policies(ctx context.Context, nameOrARN string) (own, aws *types.Policy, err error) {
	list, err := c.Policies(ctx)
	for i, p := range list {
		if *p.Arn != nameOrARN && *p.PolicyName != nameOrARN {
			continue
		}
		if strings.HasPrefix(*p.Arn, "arn:aws:iam::aws:") {
			aws = &list[i]
		} else {
			own = &list[i]
		}
	}
	return own, aws, err
}

// PolicyARN returns the ARN of the managed policy of a name or ARN.
func (c *Client) PolicyARN(ctx context.Context, nameOrARN string) (*string, error) {
	p, err := c.Policy(ctx, nameOrARN)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, &Problem{Text: "there is no managed policy " + nameOrARN, Hint: "`slipway iam policy ls` lists them."}
	}
	return p.Arn, nil
}

// PolicyDocument returns the document of a managed policy, or of a user's own
// policy.
func (c *Client) PolicyDocument(ctx context.Context, user, nameOrARN string) (string, error) {
	var encoded *string
	if user != "" {
		out, err := c.IAM.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &user, PolicyName: &nameOrARN})
		if err != nil {
			return "", c.Target.Explain(err)
		}
		encoded = out.PolicyDocument
	} else {
		p, err := c.Policy(ctx, nameOrARN)
		if err != nil {
			return "", err
		}
		if p == nil {
			return "", &Problem{Text: "there is no managed policy " + nameOrARN, Hint: "`slipway iam policy ls` lists them; --user names the user of an inline one."}
		}
		out, err := c.IAM.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})
		if err != nil {
			return "", c.Target.Explain(err)
		}
		encoded = out.PolicyVersion.Document
	}
	return url.PathUnescape(aws.ToString(encoded))
}

// PutPolicy creates a managed policy, or adds a new default version to the
// existing one. It deletes the oldest version if there are too many.
func (c *Client) PutPolicy(ctx context.Context, name, document string) (arn string, err error) {
	p, aws, err := c.policies(ctx, name) // AWS's are nobody's to change
	if err != nil {
		return "", err
	}
	if p == nil && aws != nil && *aws.Arn == name {
		p = aws // for the server to refuse
	}
	if p == nil {
		out, err := c.IAM.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
		if err != nil {
			return "", c.Target.Explain(err)
		}
		return *out.Policy.Arn, nil
	}
	version := &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: &document, SetAsDefault: true}
	_, err = c.IAM.CreatePolicyVersion(ctx, version)
	if _, full := errors.AsType[*types.LimitExceededException](err); full {
		if err := c.dropVersion(ctx, p); err != nil {
			return "", err
		}
		_, err = c.IAM.CreatePolicyVersion(ctx, version)
	}
	if err != nil {
		return "", c.Target.Explain(err)
	}
	return *p.Arn, nil
}

// dropVersion deletes the oldest version that is not the default.
func (c *Client) dropVersion(ctx context.Context, p *types.Policy) error {
	out, err := c.IAM.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: p.Arn})
	if err != nil {
		return c.Target.Explain(err)
	}
	for i := len(out.Versions) - 1; i >= 0; i-- {
		if v := out.Versions[i]; !v.IsDefaultVersion {
			if _, err := c.IAM.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: v.VersionId}); err != nil {
				return c.Target.Explain(err)
			}
			return nil
		}
	}
	return nil
}

// DeletePolicy deletes a managed policy with its versions. With force it is first
// detached from all users.
func (c *Client) DeletePolicy(ctx context.Context, arn *string, force bool) error {
	if force {
		out, err := c.IAM.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: arn})
		if err != nil {
			return c.Target.Explain(err)
		}
		for _, u := range out.PolicyUsers {
			if _, err := c.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: u.UserName, PolicyArn: arn}); err != nil {
				return c.Target.Explain(err)
			}
		}
	}
	versions, err := c.IAM.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})
	if err != nil {
		return c.Target.Explain(err)
	}
	for _, v := range versions.Versions {
		if v.IsDefaultVersion {
			continue
		}
		if _, err := c.IAM.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId}); err != nil {
			return c.Target.Explain(err)
		}
	}
	if _, err = c.IAM.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}); err != nil {
		return c.Target.Explain(err)
	}
	return nil
}

// EmptyUser deletes a user's access keys and inline policies and detaches managed
// ones, so that the user can be deleted.
func (c *Client) EmptyUser(ctx context.Context, name string) error {
	keys, err := c.AccessKeys(ctx, &name)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := c.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: k.AccessKeyId}); err != nil {
			return c.Target.Explain(err)
		}
	}
	attached, err := c.IAM.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &name})
	if err != nil {
		return c.Target.Explain(err)
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := c.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: p.PolicyArn}); err != nil {
			return c.Target.Explain(err)
		}
	}
	inline, err := c.IAM.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: &name})
	if err != nil {
		return c.Target.Explain(err)
	}
	for _, p := range inline.PolicyNames {
		if _, err := c.IAM.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &p}); err != nil {
			return c.Target.Explain(err)
		}
	}
	return nil
}
