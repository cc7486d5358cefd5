package iam_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// The lists that clients read before they delete a user are empty.
func TestUsersHaveNothingElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	ann := b.user("ann", allowAll)
	for name, c := range map[*string]func(error){
		nil:               func(err error) { must(t, err) },
		aws.String("ann"): func(err error) { must(t, err) },
		aws.String("bob"): func(err error) { refused(t, err, "NoSuchEntity", "bob cannot be found") },
	} {
		c(second(ann.ListMFADevices(ctx, &awsiam.ListMFADevicesInput{UserName: name})))
		c(second(ann.ListSSHPublicKeys(ctx, &awsiam.ListSSHPublicKeysInput{UserName: name})))
		c(second(ann.ListSigningCertificates(ctx, &awsiam.ListSigningCertificatesInput{UserName: name})))
		c(second(ann.ListServiceSpecificCredentials(ctx, &awsiam.ListServiceSpecificCredentialsInput{UserName: name})))
	}
	must(t, second(ann.ListVirtualMFADevices(ctx, &awsiam.ListVirtualMFADevicesInput{})))
	for _, name := range []*string{nil, aws.String("ann")} {
		_, err := ann.DeleteLoginProfile(ctx, &awsiam.DeleteLoginProfileInput{UserName: name})
		if _, ok := errors.AsType[*types.NoSuchEntityException](err); !ok {
			t.Errorf("%v is not typed", err)
		}
	}
}
