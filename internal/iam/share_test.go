package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

// A user who may call IAM makes a bounded number of users and policies. A deletion gives
// its place back, a new name keeps it.
func TestShare(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("ann")}))
	must(b.iam.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}))
	made, err := b.iam.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("ann")})
	must(made, err)
	ann := b.as(*made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, "")
	id := ""
	b.Update(func(tx *store.Tx) error {
		u, err := tx.User("ann")
		id = u.ID
		for i := range 999 {
			for _, k := range []share.Kind{share.Users, share.Policies} {
				if err := tx.SetMaker(fmt.Sprint(k, i), string(k), id); err != nil {
					return err
				}
			}
		}
		return err
	})
	user := func(name string) error {
		_, err := ann.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name})
		return err
	}
	policy := func(name string) error {
		_, err := ann.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)})
		return err
	}
	must(nil, user("one"))
	must(nil, policy("one"))
	must(ann.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: aws.String("one"), NewUserName: aws.String("uno")}))
	refused(t, user("two"), "LimitExceeded", "1000 users")
	refused(t, policy("two"), "LimitExceeded", "1000 managed policies")
	must(b.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("roots")}))
	must(ann.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: aws.String("uno")}))
	must(nil, user("two"))
}
