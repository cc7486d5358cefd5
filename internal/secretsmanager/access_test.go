package secretsmanager_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// The required permissions are on the full ARN of a secret, in whichever form a
// call names it. A refusal does not reveal whether the secret exists.
func TestNeeds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.OK("CreateSecret", `{"Name":"prod/db"}`)["ARN"].(string)
	const none, get = "arn:aws:secretsmanager:us-east-1:000000000000:secret:none", "secretsmanager:GetSecretValue"
	for _, c := range []struct {
		operation string
		in        any
		want      []string // actions where they are not the operation's, and resources
	}{
		{"GetSecretValue", &sdk.GetSecretValueInput{SecretId: aws.String("prod/db")}, []string{" " + arn}},
		{"GetSecretValue", &sdk.GetSecretValueInput{SecretId: aws.String(arn[:len(arn)-7])}, []string{" " + arn}},
		{"DeleteSecret", &sdk.DeleteSecretInput{SecretId: &arn}, []string{" " + arn}},
		{"PutSecretValue", &sdk.PutSecretValueInput{SecretId: aws.String("none")}, []string{" " + none + "-??????"}},
		{"PutSecretValue", &sdk.PutSecretValueInput{}, []string{" arn:aws:secretsmanager:us-east-1:000000000000:secret:-??????"}},
		{"CreateSecret", &sdk.CreateSecretInput{Name: aws.String("none")}, []string{" " + none}},
		{"CreateSecret", &sdk.CreateSecretInput{Name: aws.String("none"), Tags: []types.Tag{{}}}, []string{" " + none, "secretsmanager:TagResource " + none}},
		{"ListSecrets", &sdk.ListSecretsInput{}, []string{" *"}},
		{"BatchGetSecretValue", &sdk.BatchGetSecretValueInput{SecretIdList: []string{"prod/db", "none"}}, []string{" *", get + " " + arn, get + " " + none + "-??????"}},
		{"BatchGetSecretValue", &sdk.BatchGetSecretValueInput{Filters: []types.Filter{{}}}, []string{" *", "secretsmanager:ListSecrets *"}},
	} {
		var got []string
		for _, n := range b.RequiredPermissions(c.operation, c.in) {
			got = append(got, n.Action+" "+n.Resource)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.operation, got, c.want)
		}
	}
	required := b.RequiredPermissions("TagResource", &sdk.TagResourceInput{SecretId: &arn, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}})
	for key, want := range map[string]string{"aws:RequestTag/team": "a", "aws:TagKeys": "team"} {
		if got, _ := required[0].Context.Lookup(key); !slices.Equal(got, []string{want}) {
			t.Errorf("condition key %s is %q, want %q", key, got, want)
		}
	}
}
