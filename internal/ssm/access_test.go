package ssm_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// The required permissions are on the ARNs of parameters, in whichever form a call
// names them.
func TestNeeds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const arn = "arn:aws:ssm:us-east-1:000000000000:parameter/"
	for _, c := range []struct {
		operation string
		in        any
		want      []string
	}{
		{"GetParameter", &sdk.GetParameterInput{Name: aws.String("/a/b:3")}, []string{arn + "a/b"}},
		{"GetParameter", &sdk.GetParameterInput{Name: aws.String(arn + "a/b:3")}, []string{arn + "a/b"}},
		{"PutParameter", &sdk.PutParameterInput{Name: aws.String("a")}, []string{arn + "a"}},
		{"PutParameter", &sdk.PutParameterInput{}, []string{arn}},
		{"GetParameters", &sdk.GetParametersInput{Names: []string{"a", "/b"}}, []string{arn + "a", arn + "b"}},
		{"GetParameters", &sdk.GetParametersInput{}, []string{"*"}},
		{"GetParametersByPath", &sdk.GetParametersByPathInput{Path: aws.String("/a")}, []string{arn + "a/"}},
		{"ListTagsForResource", &sdk.ListTagsForResourceInput{ResourceId: aws.String("/a/b")}, []string{arn + "a/b"}},
		{"DescribeParameters", &sdk.DescribeParametersInput{}, []string{"*"}},
	} {
		var got []string
		for _, n := range b.RequiredPermissions(c.operation, c.in) {
			got = append(got, n.Resource)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.operation, got, c.want)
		}
	}
	required := b.RequiredPermissions("PutParameter", &sdk.PutParameterInput{Name: aws.String("a"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}})
	if len(required) != 2 || required[1].Action != "ssm:AddTagsToResource" || required[1].Resource != arn+"a" {
		t.Fatalf("a parameter with tags: %+v", required)
	}
	for key, want := range map[string]string{"aws:RequestTag/team": "a", "aws:TagKeys": "team"} {
		for _, n := range required {
			if got, _ := n.Context.Lookup(key); !slices.Equal(got, []string{want}) {
				t.Errorf("condition key %s is %q, want %q", key, got, want)
			}
		}
	}
}
