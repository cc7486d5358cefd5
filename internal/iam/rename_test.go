package iam_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// A user who gets another name and path keeps keys, policies and tags.
func TestUpdateUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	arn := aws.String("arn:aws:iam::aws:policy/AWSAppRunnerReadOnlyAccess")
	ann := b.user("ann", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetUser","Resource":"*"}}`)
	must(t, second(b.iam.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn})))
	must(t, second(b.iam.TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("ann"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})))
	before, err := b.iam.GetUser(ctx, &awsiam.GetUserInput{UserName: aws.String("ann")})
	must(t, err)
	update := func(name, newName, path *string) error {
		return second(b.iam.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: name, NewUserName: newName, NewPath: path}))
	}

	must(t, update(aws.String("ann"), nil, aws.String("/team/")))
	must(t, update(aws.String("ann"), aws.String("Anna"), nil))
	me, err := ann.GetUser(ctx, &awsiam.GetUserInput{})
	must(t, err)
	if u := me.User; *u.Arn != "arn:aws:iam::000000000000:user/team/Anna" || *u.UserId != *before.User.UserId || len(u.Tags) != 1 || *u.Tags[0].Value != "v" {
		t.Errorf("she is %+v", u)
	}
	attached, err := b.iam.ListAttachedUserPolicies(ctx, &awsiam.ListAttachedUserPoliciesInput{UserName: aws.String("Anna")})
	if err != nil || len(attached.AttachedPolicies) != 1 {
		t.Errorf("%+v, %v", attached, err)
	}
	must(t, update(aws.String("Anna"), aws.String("anna"), nil))
	refused(t, update(aws.String("ann"), aws.String("x"), nil), "NoSuchEntity", "The user with name ann cannot be found.")

	b.user("bob", "")
	for _, name := range []string{"bob", "BOB", "root"} {
		refused(t, update(aws.String("anna"), &name, nil), "EntityAlreadyExists", "User with name "+name+" already exists.")
	}
	refused(t, update(aws.String("anna"), aws.String("a b"), nil), "ValidationError", "newUserName")
	refused(t, update(aws.String("anna"), nil, aws.String("team")), "ValidationError", "newPath")
	refused(t, update(aws.String(""), aws.String("x"), nil), "ValidationError", "userName")

	// Renaming requires the permission on the old name and on the new one.
	carl := b.user("carl", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:UpdateUser","Resource":["arn:aws:iam::000000000000:user/bob","arn:aws:iam::000000000000:user/bobby"]}}`)
	refused(t, second(carl.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: aws.String("bob"), NewUserName: aws.String("boss")})), "AccessDenied", "user/boss")
	must(t, second(carl.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: aws.String("bob"), NewUserName: aws.String("bobby")})))
}
