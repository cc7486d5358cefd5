package iam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// absent adds the lists of what users have in IAM and never here. Whoever
// deletes a user takes all that away first: Terraform asks for groups always,
// and for the rest under force_destroy.
func (i *IAM) absent(m map[string]gateway.Operation) {
	none(i, m, "ListGroupsForUser", func(in *iam.ListGroupsForUserInput) *string { return in.UserName },
		iam.ListGroupsForUserOutput{Groups: []types.Group{}})
	none(i, m, "ListMFADevices", func(in *iam.ListMFADevicesInput) *string { return in.UserName },
		iam.ListMFADevicesOutput{MFADevices: []types.MFADevice{}})
	none(i, m, "ListSSHPublicKeys", func(in *iam.ListSSHPublicKeysInput) *string { return in.UserName },
		iam.ListSSHPublicKeysOutput{SSHPublicKeys: []types.SSHPublicKeyMetadata{}})
	none(i, m, "ListSigningCertificates", func(in *iam.ListSigningCertificatesInput) *string { return in.UserName },
		iam.ListSigningCertificatesOutput{Certificates: []types.SigningCertificate{}})
	none(i, m, "ListServiceSpecificCredentials", func(in *iam.ListServiceSpecificCredentialsInput) *string { return in.UserName },
		iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []types.ServiceSpecificCredentialMetadata{}})
	add(m, "ListVirtualMFADevices", false, gateway.OwnAction,
		func(context.Context, gateway.Caller, *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
			return &iam.ListVirtualMFADevicesOutput{VirtualMFADevices: []types.VirtualMFADevice{}}, nil
		})
	add(m, "DeleteLoginProfile", true, onUser(i, func(in *iam.DeleteLoginProfileInput) *string { return in.UserName }), i.deleteLoginProfile)
}

// none adds a list about a user, the caller where the input names none, that
// is always empty.
func none[I, O any](i *IAM, m map[string]gateway.Operation, name string, user func(*I) *string, empty O) {
	add(m, name, false, onUser(i, user), func(ctx context.Context, _ gateway.Caller, in *I) (*O, error) {
		if aws.ToString(user(in)) == "" {
			return &empty, nil
		}
		return &empty, i.aboutUser(ctx, user(in), i.cfg.Store.View, func(*store.Tx, slipway.User) error { return nil })
	})
}

func (i *IAM) deleteLoginProfile(ctx context.Context, c gateway.Caller, in *iam.DeleteLoginProfileInput) (*iam.DeleteLoginProfileOutput, error) {
	name := aws.ToString(in.UserName)
	if name == "" {
		name = c.User
	}
	return nil, i.aboutUser(ctx, &name, i.cfg.Store.View, func(*store.Tx, slipway.User) error {
		return noSuchEntity("Login Profile for User %s cannot be found.", name)
	})
}
