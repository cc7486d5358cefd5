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
func (i *IAM) stubs() []gateway.Operation {
	return []gateway.Operation{
		emptyList(i, "ListGroupsForUser", func(in *iam.ListGroupsForUserInput) *string { return in.UserName },
			iam.ListGroupsForUserOutput{Groups: []types.Group{}}),
		emptyList(i, "ListMFADevices", func(in *iam.ListMFADevicesInput) *string { return in.UserName },
			iam.ListMFADevicesOutput{MFADevices: []types.MFADevice{}}),
		emptyList(i, "ListSSHPublicKeys", func(in *iam.ListSSHPublicKeysInput) *string { return in.UserName },
			iam.ListSSHPublicKeysOutput{SSHPublicKeys: []types.SSHPublicKeyMetadata{}}),
		emptyList(i, "ListSigningCertificates", func(in *iam.ListSigningCertificatesInput) *string { return in.UserName },
			iam.ListSigningCertificatesOutput{Certificates: []types.SigningCertificate{}}),
		emptyList(i, "ListServiceSpecificCredentials", func(in *iam.ListServiceSpecificCredentialsInput) *string { return in.UserName },
			iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []types.ServiceSpecificCredentialMetadata{}}),
		gateway.Read("ListVirtualMFADevices", func(context.Context, *gateway.Call, *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
			return &iam.ListVirtualMFADevicesOutput{VirtualMFADevices: []types.VirtualMFADevice{}}, nil
		}, gateway.AnyResource),
		gateway.Mutate("DeleteLoginProfile", i.deleteLoginProfile, onUser(i, func(in *iam.DeleteLoginProfileInput) *string { return in.UserName })),
	}
}

// emptyList adds a list operation on a user whose list is always empty. The user
// is the caller when the input names none.
func emptyList[I, O any](i *IAM, name string, user func(*I) *string, empty O) gateway.Operation {
	return gateway.Read(name, func(ctx context.Context, _ *gateway.Call, in *I) (*O, error) {
		if aws.ToString(user(in)) == "" {
			return &empty, nil
		}
		return &empty, i.withUser(ctx, user(in), i.cfg.Store.View, func(*store.Tx, slipway.User) error { return nil })
	}, onUser(i, user))
}

func (i *IAM) deleteLoginProfile(ctx context.Context, call *gateway.Call, in *iam.DeleteLoginProfileInput) (*iam.DeleteLoginProfileOutput, error) {
	name := aws.ToString(in.UserName)
	if name == "" {
		name = call.Caller.User
	}
	return nil, i.withUser(ctx, &name, i.cfg.Store.View, func(*store.Tx, slipway.User) error {
		return noSuchEntity("Login Profile for User %s cannot be found.", name)
	})
}
