package api_test

import (
	"path"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/api"
)

func TestDescribeScaling(t *testing.T) {
	t.Parallel()
	asked := ""
	b := newBench(t, func(c *api.Config) {
		c.Explain = func(id string) api.DescribeScalingOutput {
			asked = id
			return api.DescribeScalingOutput{Size: &api.SizeExplanation{Wanted: aws.Int32(2), Reason: aws.String("12 requests need 2 instances")}}
		}
	})
	arn := b.create("shop")
	b.refuse(&api.DescribeScalingInput{}, "InvalidRequestException", "ServiceArn is required.")
	b.refuse(&api.DescribeScalingInput{ServiceArn: aws.String(noService)}, "ResourceNotFoundException", "Service not found")
	out := invoke[api.DescribeScalingOutput](b, &api.DescribeScalingInput{ServiceArn: &arn})
	if asked != path.Base(arn) || *out.ServiceArn != arn || *out.Size.Wanted != 2 || *out.Size.Reason != "12 requests need 2 instances" || out.Requests != nil {
		t.Errorf("asked about %q: %+v", asked, out)
	}
}
