package iam

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// managed adds the operations on managed policies.
func (i *IAM) managed() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("CreatePolicy", i.createPolicy, func(_ *store.Tx, in *iam.CreatePolicyInput) ([]gateway.Permission, error) {
			return permissionsToCreate("iam:TagPolicy", i.policyARN(aws.ToString(in.Path), aws.ToString(in.PolicyName)), in.Tags), nil
		}),
		gateway.Read("GetPolicy", i.getPolicy, onPolicy(func(in *iam.GetPolicyInput) *string { return in.PolicyArn })),
		gateway.Read("ListPolicies", i.listPolicies, gateway.AnyResource),
		gateway.Mutate("DeletePolicy", i.deletePolicy, onPolicy(func(in *iam.DeletePolicyInput) *string { return in.PolicyArn })),
	}
}

// versions adds the operations on the versions of managed policies.
func (i *IAM) versions() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("CreatePolicyVersion", i.createVersion, onPolicy(func(in *iam.CreatePolicyVersionInput) *string { return in.PolicyArn })),
		gateway.Read("GetPolicyVersion", i.getVersion, onPolicy(func(in *iam.GetPolicyVersionInput) *string { return in.PolicyArn })),
		gateway.Read("ListPolicyVersions", i.listVersions, onPolicy(func(in *iam.ListPolicyVersionsInput) *string { return in.PolicyArn })),
		gateway.Mutate("SetDefaultPolicyVersion", i.setDefaultVersion, onPolicy(func(in *iam.SetDefaultPolicyVersionInput) *string { return in.PolicyArn })),
		gateway.Mutate("DeletePolicyVersion", i.deleteVersion, onPolicy(func(in *iam.DeletePolicyVersionInput) *string { return in.PolicyArn })),
	}
}

// onPolicy returns the permission required by an operation on a managed policy.
func onPolicy[I any](arn func(*I) *string) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		if v := aws.ToString(arn(in)); v != "" {
			return []gateway.Permission{{Resource: v}}, nil
		}
		return []gateway.Permission{{Resource: "*"}}, nil
	}
}

func (i *IAM) policyARN(path, name string) string {
	if path == "" {
		path = "/"
	}
	return "arn:aws:iam::" + i.cfg.Account + ":policy" + path + name
}

// policy returns the managed policy of an ARN, including an AWS-managed one.
func (i *IAM) policy(tx *store.Tx, v *string) (slipway.ManagedPolicy, error) {
	arn, err := required("policyArn", v)
	if err != nil {
		return slipway.ManagedPolicy{}, err
	}
	if p, ok := awsManagedPolicy(arn); ok {
		return p.ManagedPolicy, nil
	}
	p, err := tx.Policy(arn)
	if errors.Is(err, store.ErrNotFound) {
		return p, noSuchEntity("Policy %s was not found.", arn)
	}
	return p, err
}

// customerPolicy is policy for calls that change it; AWS-managed ones are refused.
func (i *IAM) customerPolicy(tx *store.Tx, arn *string) (slipway.ManagedPolicy, error) {
	p, err := i.policy(tx, arn)
	if err == nil && strings.HasPrefix(p.ARN, awsManagedPrefix) {
		return p, invalid("Policy %s is managed by AWS and cannot be changed.", p.ARN)
	}
	return p, err
}

func (i *IAM) viewPolicy(tx *store.Tx, p slipway.ManagedPolicy) (*types.Policy, error) {
	users, err := tx.PolicyUsers(p.ARN)
	if err != nil {
		return nil, err
	}
	tags, err := tx.Tags(p.ARN)
	v := &types.Policy{
		Arn: &p.ARN, PolicyId: &p.ID, PolicyName: &p.Name, Path: &p.Path, DefaultVersionId: versionID(p.DefaultVersion), IsAttachable: true,
		AttachmentCount: aws.Int32(int32(len(users))), PermissionsBoundaryUsageCount: aws.Int32(0),
		CreateDate: &p.CreatedAt, UpdateDate: &p.UpdatedAt, Tags: viewTags(tags),
	}
	if p.Description != "" {
		v.Description = &p.Description
	}
	return v, err
}

func versionID(n int) *string { return aws.String("v" + strconv.Itoa(n)) }

func (i *IAM) createPolicy(ctx context.Context, call *gateway.Call, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	name, err := validName("policyName", in.PolicyName, maxPolicyName)
	if err != nil {
		return nil, err
	}
	path, err := validPath("path", in.Path)
	if err != nil {
		return nil, err
	}
	document, err := validManagedDocument(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	tags, err := validTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(aws.ToString(in.Description)) > 1000 {
		return nil, invalid("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 1000")
	}
	p := slipway.ManagedPolicy{
		ARN: i.policyARN(path, name), ID: newID("ANPA", 17), Name: name, Path: path, Description: aws.ToString(in.Description),
		DefaultVersion: 1, CreatedAt: i.now(), UpdatedAt: i.now(),
	}
	var out iam.CreatePolicyOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertPolicy(p, document); errors.Is(err, store.ErrNameTaken) {
			return exists("A policy called %s already exists. Duplicate names are not allowed.", name)
		} else if err != nil {
			return err
		}
		if err := errors.Join(tx.SetTags(p.ARN, tags), take(tx, call, share.Policies, p.ARN)); err != nil {
			return err
		}
		out.Policy, err = i.viewPolicy(tx, p)
		return err
	})
	return &out, err
}

// validManagedDocument is validDocument with the limit of managed policies.
func validManagedDocument(v *string) (string, error) {
	document, err := validDocument(v)
	if err == nil && sizeOf(document) > maxManagedDocument {
		err = quota("Cannot exceed quota for PolicySize: %d", maxManagedDocument)
	}
	return document, err
}

func (i *IAM) getPolicy(ctx context.Context, _ *gateway.Call, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	var out iam.GetPolicyOutput
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		out.Policy, err = i.viewPolicy(tx, p)
		return err
	})
	return &out, err
}

func (i *IAM) listPolicies(ctx context.Context, call *gateway.Call, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	out := iam.ListPoliciesOutput{Policies: []types.Policy{}}
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		var list []slipway.ManagedPolicy
		if in.Scope != types.PolicyScopeTypeLocal {
			for _, p := range awsManagedPolicies() {
				list = append(list, p.ManagedPolicy)
			}
		}
		if in.Scope != types.PolicyScopeTypeAws {
			own, err := tx.Policies()
			if err != nil {
				return err
			}
			list = append(list, own...)
		}
		var views []types.Policy
		for _, p := range list {
			v, err := i.viewPolicy(tx, p)
			if err != nil {
				return err
			}
			if strings.HasPrefix(p.Path, aws.ToString(in.PathPrefix)) && (!in.OnlyAttached || *v.AttachmentCount > 0) {
				v.Description, v.Tags = nil, nil // as in IAM's lists
				views = append(views, *v)
			}
		}
		views, err := gateway.Shown(tx, call, views, func(p types.Policy) string { return *p.Arn })
		if err != nil {
			return err
		}
		slices.SortFunc(views, func(a, b types.Policy) int { return strings.Compare(*a.Arn, *b.Arn) })
		out.Policies, out.Marker, err = paginate(views, in.Marker, in.MaxItems, func(p types.Policy) string { return *p.Arn })
		out.IsTruncated = out.Marker != nil
		return err
	})
	return &out, err
}

func (i *IAM) deletePolicy(ctx context.Context, call *gateway.Call, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return &iam.DeletePolicyOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		users, err := tx.PolicyUsers(p.ARN)
		if err != nil {
			return err
		}
		versions, err := tx.PolicyVersions(p.ARN)
		switch {
		case err != nil:
			return err
		case len(users) > 0:
			return inUse("Cannot delete a policy attached to entities.")
		case len(versions) > 1:
			return inUse("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return tx.DeletePolicy(p.ARN)
	})
}

func (i *IAM) createVersion(ctx context.Context, call *gateway.Call, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	document, err := validManagedDocument(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	var out iam.CreatePolicyVersionOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		versions, err := tx.PolicyVersions(p.ARN)
		if err != nil {
			return err
		}
		if len(versions) >= maxVersions {
			return quota("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		now := i.now()
		n, err := tx.InsertPolicyVersion(p.ARN, document, now)
		if err != nil {
			return err
		}
		out.PolicyVersion = &types.PolicyVersion{VersionId: versionID(n), IsDefaultVersion: in.SetAsDefault, CreateDate: &now}
		if in.SetAsDefault {
			return tx.SetDefaultPolicyVersion(p.ARN, n, now)
		}
		return nil
	})
	return &out, err
}

// documentsOf returns the versions of a managed policy, including an AWS-managed one.
func documentsOf(tx *store.Tx, p slipway.ManagedPolicy) ([]slipway.PolicyVersion, error) {
	if own, ok := awsManagedPolicy(p.ARN); ok {
		return []slipway.PolicyVersion{{Version: 1, Document: own.document, CreatedAt: p.CreatedAt}}, nil
	}
	return tx.PolicyVersions(p.ARN)
}

// version returns the version of a policy that a call names.
func version(tx *store.Tx, p slipway.ManagedPolicy, id *string) (slipway.PolicyVersion, error) {
	wanted, err := required("versionId", id)
	if err != nil {
		return slipway.PolicyVersion{}, err
	}
	versions, err := documentsOf(tx, p)
	if err != nil {
		return slipway.PolicyVersion{}, err
	}
	for _, v := range versions {
		if *versionID(v.Version) == wanted {
			return v, nil
		}
	}
	return slipway.PolicyVersion{}, noSuchEntity("Policy %s version %.20s does not exist or is not attachable.", p.ARN, wanted)
}

func (i *IAM) getVersion(ctx context.Context, _ *gateway.Call, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	var out iam.GetPolicyVersionOutput
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		v, err := version(tx, p, in.VersionId)
		out.PolicyVersion = &types.PolicyVersion{
			VersionId: versionID(v.Version), Document: encoded(v.Document), IsDefaultVersion: v.Version == p.DefaultVersion, CreateDate: &v.CreatedAt,
		}
		return err
	})
	return &out, err
}

func (i *IAM) listVersions(ctx context.Context, _ *gateway.Call, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	out := iam.ListPolicyVersionsOutput{Versions: []types.PolicyVersion{}}
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := i.policy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		versions, err := documentsOf(tx, p)
		for _, v := range versions {
			out.Versions = append(out.Versions, types.PolicyVersion{
				VersionId: versionID(v.Version), IsDefaultVersion: v.Version == p.DefaultVersion, CreateDate: &v.CreatedAt,
			})
		}
		return err
	})
	return &out, err
}

func (i *IAM) setDefaultVersion(ctx context.Context, call *gateway.Call, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	return &iam.SetDefaultPolicyVersionOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		v, err := version(tx, p, in.VersionId)
		if err != nil {
			return err
		}
		return tx.SetDefaultPolicyVersion(p.ARN, v.Version, i.now())
	})
}

func (i *IAM) deleteVersion(ctx context.Context, call *gateway.Call, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	return &iam.DeletePolicyVersionOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		p, err := i.customerPolicy(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		v, err := version(tx, p, in.VersionId)
		if err != nil {
			return err
		}
		if v.Version == p.DefaultVersion {
			return inUse("Cannot delete the default version of a policy.")
		}
		return tx.DeletePolicyVersion(p.ARN, v.Version)
	})
}
