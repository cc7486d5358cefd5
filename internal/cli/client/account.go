package client

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway"
)

// Account returns the id of the server's account. App Runner has no call for it,
// but every account has an auto scaling configuration, whose ARN contains it.
func (c *Client) Account(ctx context.Context) (string, error) {
	out, err := c.API.ListAutoScalingConfigurations(ctx, &apprunner.ListAutoScalingConfigurationsInput{MaxResults: aws.Int32(1)})
	if err != nil {
		return "", err
	}
	if len(out.AutoScalingConfigurationSummaryList) == 0 {
		return "", fmt.Errorf("the server lists no auto scaling configuration, not even the default one")
	}
	arn, err := slipway.ParseARN(aws.ToString(out.AutoScalingConfigurationSummaryList[0].AutoScalingConfigurationArn))
	if err != nil {
		return "", fmt.Errorf("the server's auto scaling configuration: %w", err)
	}
	return arn.Account, nil
}
