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

// stubs adds operations on what users have in IAM and never here. Clients empty
// these lists before they delete a user: Terraform always lists groups, and lists
// the rest under force_destroy.
func (i *IAM) stubs(m map[string]gateway.Operation) {
	emptyList(i, m, "ListGroupsForUser", func(in *iam.ListGroupsForUserInput) *string { return in.UserName },
		iam.ListGroupsForUserOutput{Groups: []types.Group{}})
	emptyList(i, m, "ListMFADevices", func(in *iam.ListMFADevicesInput) *string { return in.UserName },
		iam.ListMFADevicesOutput{MFADevices: []types.MFADevice{}})
	emptyList(i, m, "ListSSHPublicKeys", func(in *iam.ListSSHPublicKeysInput) *string { return in.UserName },
		iam.ListSSHPublicKeysOutput{SSHPublicKeys: []types.SSHPublicKeyMetadata{}})
	emptyList(i, m, "ListSigningCertificates", func(in *iam.ListSigningCertificatesInput) *string { return in.UserName },
		iam.ListSigningCertificatesOutput{Certificates: []types.SigningCertificate{}})
	emptyList(i, m, "ListServiceSpecificCredentials", func(in *iam.ListServiceSpecificCredentialsInput) *string { return in.UserName },
		iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []types.ServiceSpecificCredentialMetadata{}})
	add(m, "ListVirtualMFADevices", false, gateway.OwnAction,
		func(context.Context, gateway.Caller, *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
			return &iam.ListVirtualMFADevicesOutput{VirtualMFADevices: []types.VirtualMFADevice{}}, nil
		})
	add(m, "DeleteLoginProfile", true, onUser(i, func(in *iam.DeleteLoginProfileInput) *string { return in.UserName }), i.deleteLoginProfile)
}

// emptyList adds a list operation on a user whose list is always empty. The user
// is the caller when the input names none.
func emptyList[I, O any](i *IAM, m map[string]gateway.Operation, name string, user func(*I) *string, empty O) {
	add(m, name, false, onUser(i, user), func(ctx context.Context, _ gateway.Caller, in *I) (*O, error) {
		if aws.ToString(user(in)) == "" {
			return &empty, nil
		}
		return &empty, i.withUser(ctx, user(in), i.cfg.Store.View, func(*store.Tx, slipway.User) error { return nil })
	})
}

func (i *IAM) deleteLoginProfile(ctx context.Context, c gateway.Caller, in *iam.DeleteLoginProfileInput) (*iam.DeleteLoginProfileOutput, error) {
	name := aws.ToString(in.UserName)
	if name == "" {
		name = c.User
	}
	return nil, i.withUser(ctx, &name, i.cfg.Store.View, func(*store.Tx, slipway.User) error {
		return noSuchEntity("Login Profile for User %s cannot be found.", name)
	})
}
